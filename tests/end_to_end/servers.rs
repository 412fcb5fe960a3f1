//! The servers that an installation stands on: those of the whole test run, or a set of a
//! test's own, which it may stop and start.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

/// Where servers are.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Kind>);

enum Kind {
    OfProcess,
    Own { folder: TempDir, settings: HashMap<String, String> },
}

impl Servers {
    /// Those that `make test` has started.
    pub(crate) fn of_process() -> Self {
        Self(Arc::new(Kind::OfProcess))
    }

    /// PostgreSQL, RabbitMQ and Redis of the test's own, stopped and removed with the last
    /// who has them. Files are where those of all tests are.
    pub(crate) fn own() -> Self {
        let folder = tempfile::tempdir().unwrap();
        services(folder.path(), &["up", "postgres", "rabbitmq", "redis"]);
        let settings = std::fs::read_to_string(folder.path().join("env")).unwrap();
        let settings = settings
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self(Arc::new(Kind::Own { folder, settings }))
    }

    /// A setting. A test without its servers fails: nothing is skipped in silence.
    pub(crate) fn setting(&self, name: &str) -> String {
        match &*self.0 {
            Kind::OfProcess => of_process(name),
            Kind::Own { .. } if name.starts_with("AWS_") || name.contains("OBJECTS") => {
                of_process(name)
            }
            Kind::Own { settings, .. } => settings[name].clone(),
        }
    }

    /// Stops a server of the test's own and starts it again.
    pub(crate) fn restart(&self, server: &str) {
        services(self.own_folder(), &["down", server]);
        services(self.own_folder(), &["up", server]);
    }

    /// Holds servers of the test's own still: they accept connections and say nothing.
    pub(crate) fn pause(&self, servers: &[&str]) {
        services(self.own_folder(), &[&["pause"], servers].concat());
    }

    /// Lets them go on.
    pub(crate) fn resume(&self, servers: &[&str]) {
        services(self.own_folder(), &[&["resume"], servers].concat());
    }

    pub(crate) fn own_folder(&self) -> &Path {
        match &*self.0 {
            Kind::Own { folder, .. } => folder.path(),
            Kind::OfProcess => panic!("these servers are not this test's own"),
        }
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        if let Self::Own { folder, .. } = self {
            services(folder.path(), &["destroy"]);
        }
    }
}

fn of_process(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: this test needs the real servers; `make test` starts them, or \
             `make services` and then `set -a; . .dev/env; set +a`"
        ),
    }
}

fn services(folder: &Path, arguments: &[&str]) {
    let output = Command::new(of_process("QUAESTOR_TEST_SERVICES"))
        .args(arguments)
        .env("SERVICES_FOLDER", folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "services {arguments:?}: {said}");
}
