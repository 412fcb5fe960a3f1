//! An installation of the program for one test: its data, its servers' places, and the
//! processes that run it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::program::{Process, Program};
use crate::servers::Servers;

/// The key that every installation is given.
pub(crate) const KEY: &str = "a-key-for-tests-0123456789";

/// Which backends an installation stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backends {
    /// One process and its folder.
    Embedded,
    /// A front and a worker on PostgreSQL, RabbitMQ, Redis and S3.
    Distributed,
}

/// Data that outlives the processes on it. What it has on servers goes with it.
pub(crate) struct Installation {
    data: TempDir,
    environment: Vec<(String, String)>,
    pub(crate) backends: Backends,
    places: Option<Places>,
}

impl Installation {
    /// A new installation, not started.
    pub(crate) async fn new(backends: Backends) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut environment = Self::basics(data.path());
        let places = match backends {
            Backends::Embedded => None,
            Backends::Distributed => {
                let places = Places::make(Servers::of_process()).await;
                environment.extend(places.environment());
                Some(places)
            }
        };
        Self::prepared(data, environment, backends, places)
    }

    /// A new distributed installation on servers of the test's own.
    pub(crate) async fn on(servers: Servers) -> Self {
        let data = tempfile::tempdir().unwrap();
        let places = Places::make(servers).await;
        let mut environment = Self::basics(data.path());
        environment.extend(places.environment());
        Self::prepared(data, environment, Backends::Distributed, Some(places))
    }

    /// A distributed installation that nobody has migrated, and that is given no key.
    pub(crate) async fn bare() -> Self {
        let data = tempfile::tempdir().unwrap();
        let places = Places::make(Servers::of_process()).await;
        let mut environment = Self::basics(data.path());
        environment.retain(|(name, _)| name != "QUAESTOR_ADMIN_KEY");
        environment.extend(places.environment());
        Self { data, environment, backends: Backends::Distributed, places: Some(places) }
    }

    /// Places on servers and a folder, with nothing in either: an embedded installation that
    /// is to be moved.
    pub(crate) async fn to_be_moved() -> Self {
        let data = tempfile::tempdir().unwrap();
        let places = Places::make(Servers::of_process()).await;
        let mut environment = Self::basics(data.path());
        environment.extend(places.environment());
        Self { data, environment, backends: Backends::Distributed, places: Some(places) }
    }

    /// Starts the embedded installation in the folder, whatever there is on servers.
    pub(crate) fn start_embedded(&self, environment: &[(&str, &str)]) -> Program {
        let mut all = Self::basics(self.data.path());
        all.extend(environment.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Program::of(vec![Process::start("serve", &all, self.data.path())])
    }

    /// Runs `serve` on the folder, which is to refuse. Returns what it says.
    pub(crate) fn embedded_refusal(&self) -> String {
        refusal(&["serve"], Self::basics(self.data.path()), self.data.path())
    }

    /// Runs a command that is to be refused, or killed. Returns what it says.
    pub(crate) fn refusal(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut all = self.environment.clone();
        all.extend(environment.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        refusal(arguments, all, self.data.path())
    }

    fn basics(data: &Path) -> Vec<(String, String)> {
        vec![
            ("QUAESTOR_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("QUAESTOR_DATA_DIR".to_owned(), data.display().to_string()),
            ("QUAESTOR_ADMIN_KEY".to_owned(), KEY.to_owned()),
            ("QUAESTOR_EMBED".to_owned(), "none".to_owned()),
        ]
    }

    fn prepared(
        data: TempDir,
        environment: Vec<(String, String)>,
        backends: Backends,
        places: Option<Places>,
    ) -> Self {
        let installation = Self { data, environment, backends, places };
        if backends == Backends::Distributed {
            installation.run(&["migrate"]);
            installation.run(&["topology", "apply"]);
        }
        installation
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }

    /// Starts the processes, with further environment variables.
    pub(crate) fn start(&self, environment: &[(&str, &str)]) -> Program {
        let processes = match self.backends {
            Backends::Embedded => vec![self.process("serve", environment)],
            Backends::Distributed => {
                vec![self.process("front", environment), self.process("worker", environment)]
            }
        };
        Program::of(processes)
    }

    /// Starts one process.
    pub(crate) fn process(&self, command: &str, environment: &[(&str, &str)]) -> Process {
        let mut all = self.environment.clone();
        all.extend(environment.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Process::start(command, &all, self.data.path())
    }

    /// A command that is not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_quaestor"));
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.clone())
            .current_dir(self.data.path());
        command
    }

    /// A setting of its processes.
    pub(crate) fn setting(&self, name: &str) -> &str {
        &self.environment.iter().find(|(each, _)| each == name).unwrap().1
    }

    /// Runs a command to its end. Returns what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, &[])
    }

    /// Runs a command to its end, with further environment variables.
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.command(arguments).envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "quaestor {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn refusal(arguments: &[&str], environment: Vec<(String, String)>, folder: &Path) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quaestor"))
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(!output.status.success(), "quaestor {arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Drop for Installation {
    fn drop(&mut self) {
        let Some(places) = self.places.take() else { return };
        // A thread with a runtime of its own: the test's is not to be waited on here.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(places.remove());
        });
        // What could not be removed harms nobody: the next test of this name begins by it.
        let _ = removed.join();
    }
}

/// What an installation has on the servers, all of one name.
struct Places {
    name: String,
    servers: Servers,
}

/// A URL with another last part of its path.
fn with_last(url: &str, last: &str) -> String {
    let (start, _) = url.rsplit_once('/').unwrap();
    format!("{start}/{last}")
}

impl Places {
    async fn make(servers: Servers) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let places = Self { name: format!("qs_e2e_{}_{number}", std::process::id()), servers };
        // A run that was killed may have left them.
        places.remove().await;
        places.sql("CREATE DATABASE").await;
        places.vhost(reqwest::Method::PUT).await;
        places
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = vec![
            (
                "QUAESTOR_DATABASE_URL".to_owned(),
                with_last(&self.servers.setting("QUAESTOR_DATABASE_URL"), &self.name),
            ),
            (
                "QUAESTOR_QUEUE_URL".to_owned(),
                with_last(&self.servers.setting("QUAESTOR_QUEUE_URL"), &self.name),
            ),
            (
                "QUAESTOR_OBJECTS_URL".to_owned(),
                format!(
                    "{}/{}",
                    self.servers.setting("QUAESTOR_OBJECTS_URL"),
                    self.name.replace('_', "-")
                ),
            ),
            // A killed worker's job is taken up soon.
            ("QUAESTOR_WORKERS__LEASE_S".to_owned(), "3".to_owned()),
            ("QUAESTOR_WORKERS__HEARTBEAT_S".to_owned(), "1".to_owned()),
            ("QUAESTOR_SERVER__LEAVE_S".to_owned(), "1".to_owned()),
        ];
        for same in [
            "QUAESTOR_QUEUE_MANAGEMENT_URL",
            "QUAESTOR_EVENTS_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
        ] {
            environment.push((same.to_owned(), self.servers.setting(same)));
        }
        environment
    }

    async fn sql(&self, statement: &str) {
        let mut server =
            PgConnection::connect(&self.servers.setting("QUAESTOR_DATABASE_URL")).await.unwrap();
        let sql = format!("{statement} {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut server).await.unwrap();
    }

    /// Makes or removes the vhost, which the management interface alone can.
    async fn vhost(&self, method: reqwest::Method) {
        let base = self.servers.setting("QUAESTOR_QUEUE_MANAGEMENT_URL");
        let url = format!("{}/api/vhosts/{}", base.trim_end_matches('/'), self.name);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let response = client
            .request(method, url)
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        let status = response.status();
        assert!(status.is_success() || status == 404, "{status}");
    }

    /// The files stay: they stand under a prefix of their own, in a bucket for tests.
    async fn remove(&self) {
        self.sql("DROP DATABASE IF EXISTS").await;
        self.vhost(reqwest::Method::DELETE).await;
    }
}

/// Makes a test of each case on both sets of backends.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::installation::Backends::Embedded).await;
                }
            )*
        }
        mod distributed {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::installation::Backends::Distributed).await;
                }
            )*
        }
    };
}
pub(crate) use on_both;
