//! A Redis server or cluster, as the event log, the limits and the tickets share it: one
//! connection for commands, kept alive by a task of its own.

mod facts;
mod fault;
mod link;
mod opening;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Clock;
use redis::{Cmd, ErrorKind, Pipeline, ServerErrorKind, Value};
use secrecy::SecretString;

pub use facts::RedisFacts;
pub use fault::RedisFault;
pub use opening::RedisOpenError;

pub(crate) use link::{Connection, Pauses, Pushes};
use link::{Dial, Link};

/// How long a command may take. It stands in the way of a job's tokens: rather lose an
/// event, which a watcher reads elsewhere, than hold up the answer.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where Redis is, and under which names things are kept there.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS.
    pub url: SecretString,
    /// Every key and channel begins with this and a colon. Default `qs`. Without braces.
    pub namespace: String,
}

impl RedisSettings {
    /// The usual namespace.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self { url, namespace: "qs".to_owned() }
    }
}

impl fmt::Debug for RedisSettings {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A Redis that was found fit: reachable, new enough, and with the rights that are needed.
///
/// While it is away, commands fail at once instead of waiting, and a task reconnects.
#[derive(Clone)]
pub struct RedisServer {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: String,
    dial: Dial,
    clock: Arc<dyn Clock>,
    link: Link,
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("address", &self.shared.dial.address())
            .field("namespace", &self.shared.namespace)
            .finish_non_exhaustive()
    }
}

impl RedisServer {
    /// Connects and looks whether the server will do.
    ///
    /// # Errors
    /// One sentence per cause: see [`RedisOpenError`].
    pub async fn open(
        settings: &RedisSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RedisOpenError> {
        let opened = opening::open(settings).await?;
        let dial = opened.dial;
        let link = Link::start(dial.clone(), opened.connection, opened.lost, clock.clone());
        let namespace = settings.namespace.clone();
        Ok(Self { shared: Arc::new(Shared { namespace, dial, clock, link }) })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.shared.dial.address()
    }

    /// A key or channel: the namespace and the rest.
    pub(crate) fn name(&self, rest: fmt::Arguments<'_>) -> String {
        format!("{}:{rest}", self.shared.namespace)
    }

    /// Whether this is a cluster, with sharded pub/sub.
    pub(crate) fn is_cluster(&self) -> bool {
        self.shared.dial.is_cluster()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// A connection of its own for subscriptions. What the server pushes goes to `pushes`.
    pub(crate) async fn subscriber(&self, pushes: Pushes) -> Result<Connection, RedisFault> {
        self.shared.dial.connect(Some(pushes)).await
    }

    /// Has the connection tried at once: a command did not answer in the caller's time.
    pub(crate) fn doubt(&self) {
        self.shared.link.doubt();
    }

    /// Runs a command.
    pub(crate) async fn query(&self, command: &Cmd) -> Result<Value, RedisFault> {
        self.shared.link.query(command).await
    }

    /// Runs several commands in one round trip. In a cluster all must be of one slot.
    pub(crate) async fn query_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisFault> {
        self.shared.link.query_all(commands).await
    }

    /// Runs a script by its hash; one that the server does not know is sent once.
    pub(crate) async fn run(
        &self,
        script: &Script,
        key: &str,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, RedisFault> {
        let command = |name: &str, body: &str| {
            let mut command = redis::cmd(name);
            command.arg(body).arg(1).arg(key);
            arguments(&mut command);
            command
        };
        match self.query(&command("EVALSHA", &script.hash)).await {
            Err(fault) if fault.kind() == Some(ErrorKind::Server(ServerErrorKind::NoScript)) => {
                self.query(&command("EVAL", script.text)).await
            }
            other => other,
        }
    }
}

/// A Lua script and the hash by which a server knows it.
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }
}
