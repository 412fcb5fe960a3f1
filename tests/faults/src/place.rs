//! Where an installation stands for one run: its folder, its database, its part of the broker,
//! its workspaces with their keys, and the bad network between it and its servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::objects::s3::{Credentials, S3Objects, S3Options, S3Place};
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_core::api_key;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::ids::{IdSource, PrincipalId, WorkspaceId};
use quaestor_core::model::Role;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::store::{NewAuditEntry, NewKey, NewWorkspace, Store};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::proxy::Proxy;
use crate::servers::{Servers, of_process};

/// What a process is started with.
pub type Settings = Vec<(String, String)>;

/// What the program stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One process and its folder.
    Embedded,
    /// Fronts and workers on PostgreSQL, RabbitMQ, Redis and S3.
    Services,
}

impl Kind {
    /// The name on the command line and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Services => "services",
        }
    }
}

/// A tenant of the run.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// The key of its one administrator.
    pub key: SecretString,
    /// A word that stands in its documents and answers alone: seen anywhere else, it leaked.
    pub canary: String,
}

/// The network between the program and each of its servers.
#[derive(Debug)]
pub struct Network {
    /// Before PostgreSQL.
    pub postgres: Proxy,
    /// Before RabbitMQ.
    pub rabbitmq: Proxy,
    /// Before Redis.
    pub redis: Proxy,
    /// Before the object store.
    pub s3: Proxy,
}

/// The place of an installation.
#[derive(Debug)]
pub struct Place {
    /// What it stands on.
    pub kind: Kind,
    /// Its tenants.
    pub workspaces: Vec<Workspace>,
    /// The program.
    pub program: PathBuf,
    /// The servers, where it has any.
    pub servers: Option<Arc<Servers>>,
    /// The way to them.
    pub network: Option<Network>,
    name: String,
    folder: TempDir,
    settings: Settings,
}

/// Settings by which faults show in seconds: a dead worker's job is taken up after three.
const QUICK: [(&str, &str); 16] = [
    ("QUAESTOR_WORKERS__LEASE_S", "4"),
    ("QUAESTOR_WORKERS__HEARTBEAT_S", "1"),
    ("QUAESTOR_JOBS__MAX_ATTEMPTS", "40"),
    ("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "16"),
    ("QUAESTOR_WORKERS__CHAT_PER_WORKSPACE", "16"),
    // Longer than any transaction here is held up.
    ("QUAESTOR_AUDIT__SEAL_AFTER_S", "40"),
    ("QUAESTOR_MODELS__RETRY__PAUSE_MS", "20"),
    ("QUAESTOR_MODELS__TIMEOUTS__CONNECT_S", "2"),
    ("QUAESTOR_MODELS__BREAKER__OPEN_S", "2"),
    ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "8"),
    ("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "1000000"),
    ("QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE", "1000000"),
    ("QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST", "1000000"),
    ("QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE", "1000000"),
    ("QUAESTOR_SERVER__QUOTAS__UPLOADS_BURST", "1000000"),
    ("QUAESTOR_SERVER__QUOTAS__UPLOADS_PER_MINUTE", "1000000"),
];

impl Place {
    /// Makes a place with so many workspaces, for a program that is started elsewhere. The
    /// models are at `model_url`.
    ///
    /// # Errors
    /// The servers refuse, or the program does.
    pub async fn make(
        kind: Kind,
        program: &Path,
        servers: Option<Arc<Servers>>,
        number: u32,
        workspaces: usize,
        model_url: &str,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let name = format!("qs_faults_{}_{number}", std::process::id());
        let mut settings: Settings = vec![
            ("QUAESTOR_LISTEN".into(), "127.0.0.1:0".into()),
            ("QUAESTOR_DATA_DIR".into(), folder.path().display().to_string()),
            ("QUAESTOR_ADMIN_KEY".into(), "a-key-that-the-bench-does-not-use".into()),
            ("QUAESTOR_CHAT".into(), "openai:scripted".into()),
            ("QUAESTOR_EMBED".into(), "openai:vectors".into()),
            ("OPENAI_BASE_URL".into(), model_url.to_owned()),
            ("OPENAI_API_KEY".into(), "sk-none".into()),
        ];
        settings.extend(QUICK.map(|(name, value)| (name.into(), value.into())));
        let mut place = Self {
            kind,
            workspaces: Vec::new(),
            program: program.to_owned(),
            servers,
            network: None,
            name,
            folder,
            settings,
        };
        if kind == Kind::Services {
            place.prepare_servers().await?;
        }
        place.run(&["migrate"]).await?;
        if kind == Kind::Services {
            place.run(&["topology", "apply"]).await?;
        }
        place.workspaces = place.make_workspaces(workspaces).await?;
        Ok(place)
    }

    fn servers(&self) -> anyhow::Result<&Servers> {
        self.servers.as_deref().context("this place has no servers")
    }

    /// The network of an installation on servers.
    ///
    /// # Errors
    /// It is an embedded one.
    pub fn network(&self) -> anyhow::Result<&Network> {
        self.network.as_ref().context("an embedded installation has no network")
    }

    async fn prepare_servers(&mut self) -> anyhow::Result<()> {
        self.sql_on_server(&format!("CREATE DATABASE {}", self.name)).await?;
        self.vhost(reqwest::Method::PUT).await?;
        let servers = self.servers()?;
        let endpoint = of_process("AWS_ENDPOINT_URL_S3")?;
        let network = Network {
            postgres: before(&servers.setting("QUAESTOR_DATABASE_URL")?).await?,
            rabbitmq: before(&servers.setting("QUAESTOR_QUEUE_URL")?).await?,
            redis: before(&servers.setting("QUAESTOR_EVENTS_URL")?).await?,
            s3: before(&endpoint).await?,
        };
        let database = with_last(&servers.setting("QUAESTOR_DATABASE_URL")?, &self.name)?;
        let queue = with_last(&servers.setting("QUAESTOR_QUEUE_URL")?, &self.name)?;
        let objects = servers.setting("QUAESTOR_OBJECTS_URL")?;
        let mut settings = vec![
            ("QUAESTOR_DATABASE_URL", through(&database, &network.postgres)?),
            ("QUAESTOR_QUEUE_URL", through(&queue, &network.rabbitmq)?),
            (
                "QUAESTOR_EVENTS_URL",
                through(&servers.setting("QUAESTOR_EVENTS_URL")?, &network.redis)?,
            ),
            ("QUAESTOR_OBJECTS_URL", format!("{objects}/{}", self.name.replace('_', "-"))),
            ("AWS_ENDPOINT_URL_S3", through(&endpoint, &network.s3)?),
        ];
        for same in [
            "QUAESTOR_QUEUE_MANAGEMENT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
        ] {
            settings.push((same, servers.setting(same)?));
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.settings.extend(settings);
        self.network = Some(network);
        Ok(())
    }

    /// Where its files and logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its folder stays when the run is over.
    pub fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// What every process of it is started with.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// Changes a setting of the processes that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(each, _)| each != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a command of the program to its end.
    ///
    /// # Errors
    /// It fails; the error has what it said.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = tokio::process::Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .output()
            .await
            .context("running the program")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "quaestor {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where its rows are, without the bad network between.
    ///
    /// # Errors
    /// The servers are not known.
    pub fn database_url(&self) -> anyhow::Result<String> {
        match self.kind {
            Kind::Embedded => {
                Ok(format!("sqlite:{}", self.folder.path().join("quaestor.db").display()))
            }
            Kind::Services => {
                with_last(&self.servers()?.setting("QUAESTOR_DATABASE_URL")?, &self.name)
            }
        }
    }

    /// The broker's management interface and the vhost there.
    ///
    /// # Errors
    /// The servers are not known.
    pub fn broker(&self) -> anyhow::Result<(String, &str)> {
        let url = self.servers()?.setting("QUAESTOR_QUEUE_MANAGEMENT_URL")?;
        Ok((url.trim_end_matches('/').to_owned(), &self.name))
    }

    /// The store, opened beside the program.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let url = self.database_url()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(match self.kind {
            Kind::Embedded => Arc::new(SqliteStore::open(&url, SqliteOptions::default()).await?),
            Kind::Services => Arc::new(PgStore::connect(PgOptions::new(url), clock).await?),
        })
    }

    /// Every key under which a file is stored, read past the program.
    ///
    /// # Errors
    /// The folder or the bucket cannot be read.
    pub async fn object_keys(&self) -> anyhow::Result<BTreeSet<String>> {
        if self.kind == Kind::Embedded {
            // Opened as a backend, the folder would lose what is coming in.
            let (mut keys, folder) = (BTreeSet::new(), self.folder.path().join("objects/objects"));
            files_under(&folder, &folder, &mut keys)?;
            return Ok(keys);
        }
        let setting = |name: &str| {
            let found = self.settings.iter().find(|(each, _)| each == name);
            found.map(|(_, value)| value.clone()).with_context(|| format!("{name} is not set"))
        };
        let options = S3Options {
            place: S3Place::parse(&setting("QUAESTOR_OBJECTS_URL")?).map_err(anyhow::Error::msg)?,
            region: setting("AWS_REGION")?,
            endpoint: Some(of_process("AWS_ENDPOINT_URL_S3")?),
            credentials: Credentials {
                access_key_id: setting("AWS_ACCESS_KEY_ID")?.into(),
                secret_access_key: setting("AWS_SECRET_ACCESS_KEY")?.into(),
                session_token: None,
            },
            encryption: None,
            scratch: self.folder.path().join("bench-scratch"),
        };
        let bucket = S3Objects::open(options, Arc::new(SystemClock), TaskTracker::new()).await?;
        let (mut keys, mut after) = (BTreeSet::new(), None);
        loop {
            let page = bucket.list(after.as_ref(), 1_000).await?;
            keys.extend(page.objects.iter().map(|object| object.key.to_string()));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    }

    /// Makes workspaces behind the program's back: it has no way to.
    async fn make_workspaces(&self, count: usize) -> anyhow::Result<Vec<Workspace>> {
        let store = self.store().await?;
        let mut made = Vec::new();
        for number in 0..count {
            made.push(make_workspace(&*store, &format!("workspace {number}")).await?);
        }
        Ok(made)
    }

    async fn sql_on_server(&self, statement: &str) -> anyhow::Result<()> {
        let url = self.servers()?.setting("QUAESTOR_DATABASE_URL")?;
        let mut server = PgConnection::connect(&url).await.context("connecting to PostgreSQL")?;
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut server).await?;
        Ok(())
    }

    async fn vhost(&self, method: reqwest::Method) -> anyhow::Result<()> {
        let (base, vhost) = self.broker()?;
        let client = http(Duration::from_secs(30))?;
        let request = client.request(method, format!("{base}/api/vhosts/{vhost}"));
        let response = request.header("content-type", "application/json").send().await?;
        ensure!(response.status().is_success(), "the broker's vhost: {}", response.status());
        Ok(())
    }

    /// Removes what it has on the servers. Files stay: they stand under a prefix of their own,
    /// in a bucket for tests.
    ///
    /// # Errors
    /// The servers refuse.
    pub async fn remove(&self) -> anyhow::Result<()> {
        if self.kind == Kind::Services {
            self.sql_on_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
                .await?;
            self.vhost(reqwest::Method::DELETE).await?;
        }
        Ok(())
    }
}

/// A client that waits so long.
///
/// # Errors
/// TLS cannot be set up.
pub fn http(patience: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(patience).build()?)
}

impl Workspace {
    /// The key as it is sent.
    #[must_use]
    pub fn token(&self) -> &str {
        self.key.expose_secret()
    }
}

/// The files under a folder, by their paths from `base`.
fn files_under(base: &Path, folder: &Path, keys: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).context("reading the object folder")? {
        let path = entry?.path();
        if path.is_dir() {
            files_under(base, &path, keys)?;
        } else {
            keys.insert(path.strip_prefix(base)?.display().to_string());
        }
    }
    Ok(())
}

/// A proxy before the server that a URL names.
async fn before(url: &str) -> anyhow::Result<Proxy> {
    let authority = authority(url)?;
    let server: SocketAddr = url[authority].parse().context("reading a server's address")?;
    Ok(Proxy::before(server).await?)
}

/// The URL with the proxy in the server's place.
fn through(url: &str, proxy: &Proxy) -> anyhow::Result<String> {
    let authority = authority(url)?;
    Ok(format!("{}{}{}", &url[..authority.start], proxy.address(), &url[authority.end..]))
}

/// Where host and port stand in a URL.
fn authority(url: &str) -> anyhow::Result<std::ops::Range<usize>> {
    let begin = url.find("://").context("a URL has a scheme")? + 3;
    let end = url[begin..].find('/').map_or(url.len(), |slash| begin + slash);
    let begin = url[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    Ok(begin..end)
}

/// A URL with another last part of its path.
fn with_last(url: &str, last: &str) -> anyhow::Result<String> {
    let (start, _) = url.rsplit_once('/').context("a URL has a path")?;
    Ok(format!("{start}/{last}"))
}

/// Makes a workspace with an administrator's key, behind the program's back.
///
/// # Errors
/// The store refuses.
pub async fn make_workspace(store: &dyn Store, name: &str) -> anyhow::Result<Workspace> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = IdSource::new(clock.clone(), Arc::new(OsEntropy));
    let (id, principal_id): (WorkspaceId, PrincipalId) = (ids.next(), ids.next());
    let now = clock.now();
    store.create_workspace(NewWorkspace { id, name: name.to_owned(), created_at: now }).await?;
    let generated = api_key::generate(&OsEntropy);
    let audit = NewAuditEntry {
        id: ids.next(),
        principal_id,
        action: "key.create",
        subject: String::new(),
        at: now,
    };
    let key = NewKey {
        id: ids.next(),
        principal_id,
        name: "bench".to_owned(),
        role: Role::Admin,
        prefix: generated.prefix.clone(),
        secret_sha256: generated.sha256,
        created_at: now,
    };
    store.create_key(id, key, audit).await?;
    let tail = id.uuid().simple().to_string();
    let canary = format!("canary{}x", &tail[tail.len() - 12..]);
    Ok(Workspace { id, key: generated.token, canary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_led_through_the_proxy() {
        for (url, host) in [
            ("postgres://user:se@cret@127.0.0.1:5432/name", "127.0.0.1:5432"),
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ] {
            assert_eq!(&url[authority(url).unwrap()], host);
        }
        assert_eq!(with_last("amqp://a:b@h:1/quaestor", "other").unwrap(), "amqp://a:b@h:1/other");
    }
}
