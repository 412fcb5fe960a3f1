//! The servers that an installation stands on: those of the whole test run, or a set of a
//! test's own, which it may stop and start.

use std::path::Path;
use std::sync::Arc;

use quaestor_faults::servers;

/// Where servers are.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Kind>);

enum Kind {
    OfProcess,
    Own(servers::Servers),
}

impl Servers {
    /// Those that `make test` has started.
    pub(crate) fn of_process() -> Self {
        Self(Arc::new(Kind::OfProcess))
    }

    /// PostgreSQL, RabbitMQ and Redis of the test's own, stopped and removed with the last
    /// who has them. Files are where those of all tests are.
    pub(crate) fn own() -> Self {
        Self(Arc::new(Kind::Own(servers::Servers::start().unwrap())))
    }

    /// A setting. A test without its servers fails: nothing is skipped in silence.
    pub(crate) fn setting(&self, name: &str) -> String {
        let setting = match &*self.0 {
            Kind::OfProcess => servers::of_process(name),
            Kind::Own(servers) => servers.setting(name),
        };
        setting.unwrap()
    }

    /// Stops a server of the test's own and starts it again.
    pub(crate) fn restart(&self, server: &str) {
        self.own_ones().act_now("down", &[server]).unwrap();
        self.own_ones().act_now("up", &[server]).unwrap();
    }

    /// Holds servers of the test's own still: they accept connections and say nothing.
    pub(crate) fn pause(&self, servers: &[&str]) {
        self.own_ones().act_now("pause", servers).unwrap();
    }

    /// Lets them go on.
    pub(crate) fn resume(&self, servers: &[&str]) {
        self.own_ones().act_now("resume", servers).unwrap();
    }

    pub(crate) fn own_folder(&self) -> &Path {
        self.own_ones().folder()
    }

    fn own_ones(&self) -> &servers::Servers {
        match &*self.0 {
            Kind::Own(servers) => servers,
            Kind::OfProcess => panic!("these servers are not this test's own"),
        }
    }
}
