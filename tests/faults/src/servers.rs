//! The servers that an installation stands on, started for this run alone.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// PostgreSQL, RabbitMQ and Redis of this run. They are stopped and removed with the value.
/// Files are where those of all tests are.
#[derive(Debug)]
pub struct Servers {
    folder: TempDir,
    settings: HashMap<String, String>,
}

impl Servers {
    /// Starts them, which takes some ten seconds.
    ///
    /// # Errors
    /// The run was not started among the servers of all tests (`scripts/services.sh with`),
    /// or they do not start.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for the servers")?;
        services(folder.path(), &["up", "postgres", "rabbitmq", "redis"])?;
        let text = std::fs::read_to_string(folder.path().join("env"))
            .context("reading the servers' settings")?;
        let settings = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self { folder, settings })
    }

    /// A setting, as the program's environment has it.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn setting(&self, name: &str) -> anyhow::Result<String> {
        if name.starts_with("AWS_") || name.contains("OBJECTS") {
            return of_process(name);
        }
        self.settings.get(name).cloned().with_context(|| format!("the servers have no {name}"))
    }

    /// Does something to servers: `down`, `up`, `kill` (as SIGKILL does), `pause`, `resume`.
    ///
    /// # Errors
    /// It could not be done.
    pub async fn act(&self, verb: &str, servers: &[&str]) -> anyhow::Result<()> {
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> =
            std::iter::once(verb).chain(servers.iter().copied()).map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            services(&folder, &arguments)
        })
        .await
        .context("waiting for the servers")?
    }

    /// As [`Servers::act`], for those who may wait on their thread.
    ///
    /// # Errors
    /// As there.
    pub fn act_now(&self, verb: &str, servers: &[&str]) -> anyhow::Result<()> {
        services(self.folder.path(), &[&[verb], servers].concat())
    }

    /// Where their data and logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Tells RabbitMQ something by its own command line.
    ///
    /// # Errors
    /// It refused, or the servers are not run from packages.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let url: reqwest::Url =
            self.setting("QUAESTOR_QUEUE_URL")?.parse().context("its address")?;
        // The port mapper has the third port after AMQP's (`scripts/services/servers.sh`).
        let mapper = format!("ERL_EPMD_PORT={}", url.port().context("its port")? + 3);
        let command = ["env", "HOME=/data/rabbitmq", &mapper, "ERL_EPMD_ADDRESS=127.0.0.1"];
        let tool = ["rabbitmqctl", "-n", "quaestor@localhost"];
        self.act("exec", &[&command[..], &tool, arguments].concat()).await
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Err(error) = services(self.folder.path(), &["destroy"]) {
            crate::report::say(&format!("the servers could not be removed: {error:#}"));
        }
    }
}

/// A setting of the environment, as the servers of all tests have it.
///
/// # Errors
/// It is not set.
pub fn of_process(name: &str) -> anyhow::Result<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).with_context(|| {
        format!(
            "{name} is not set: this needs the real servers; `make test` and `make faults` start \
             them, or `make services` and then `set -a; . .dev/env; set +a`"
        )
    })
}

fn services(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(of_process("QUAESTOR_TEST_SERVICES")?)
        .args(arguments)
        .env("SERVICES_FOLDER", folder)
        .output()
        .context("starting the script of the servers")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "services {arguments:?}: {said}");
    Ok(())
}
