//! Where does the server listen, and what does it let in?

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use quaestor_core::ports::limits::Quota;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::app::Role;

/// The `[server]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port (`QUAESTOR_LISTEN`). Loopback unless authentication is configured.
    pub listen: SocketAddr,
    /// The first key of a new installation, for automation (`QUAESTOR_ADMIN_KEY`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub admin_key: Option<SecretString>,
    /// The largest file of an upload, in bytes.
    pub max_upload_bytes: u64,
    /// The largest JSON body, in bytes.
    pub max_json_bytes: u64,
    /// Origins of browsers that may call: `https://desk.example.org`.
    pub allowed_origins: Vec<String>,
    /// The most connections at once.
    pub max_connections: u32,
    /// How long a process that is to stop goes on serving after `/ready` says no, in
    /// seconds, so that a load balancer stops sending.
    pub leave_s: Option<u64>,
    /// How often one principal may call.
    pub quotas: Quotas,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_key: None,
            max_upload_bytes: 2 << 30,
            max_json_bytes: 1 << 20,
            allowed_origins: Vec::new(),
            max_connections: 16_384,
            leave_s: None,
            quotas: Quotas::default(),
        }
    }
}

/// How long a front stays that nobody gave a time: most balancers look every few seconds.
const FRONT_LEAVES_AFTER: Duration = Duration::from_secs(5);

impl Server {
    /// How long a process of this role goes on serving once it is to stop. Nobody balances
    /// between a single process and another one, or sends requests to a worker.
    #[must_use]
    pub fn leave(&self, role: &Role) -> Duration {
        match (self.leave_s, role) {
            (Some(seconds), _) => Duration::from_secs(seconds),
            (None, Role::Front) => FRONT_LEAVES_AFTER,
            (None, Role::Serve | Role::Worker(_) | Role::Scaler(_)) => Duration::ZERO,
        }
    }
}

/// The `[server.quotas]` section: how many at once, and how many a minute on average.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Requests of any sort at once.
    pub requests_burst: u32,
    /// Requests of any sort a minute.
    pub requests_per_minute: u32,
    /// Questions at once.
    pub asks_burst: u32,
    /// Questions a minute.
    pub asks_per_minute: u32,
    /// Uploads at once.
    pub uploads_burst: u32,
    /// Uploads a minute.
    pub uploads_per_minute: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            requests_burst: 600,
            requests_per_minute: 6_000,
            asks_burst: 120,
            asks_per_minute: 1_200,
            uploads_burst: 600,
            uploads_per_minute: 6_000,
        }
    }
}

impl Quotas {
    /// The quota for requests of any sort.
    #[must_use]
    pub fn requests(&self) -> Quota {
        Quota { burst: self.requests_burst, per_minute: self.requests_per_minute }
    }

    /// The quota for questions.
    #[must_use]
    pub fn asks(&self) -> Quota {
        Quota { burst: self.asks_burst, per_minute: self.asks_per_minute }
    }

    /// The quota for uploads.
    #[must_use]
    pub fn uploads(&self) -> Quota {
        Quota { burst: self.uploads_burst, per_minute: self.uploads_per_minute }
    }
}
