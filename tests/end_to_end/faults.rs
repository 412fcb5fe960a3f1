//! The fast subset of the fault bench: `make faults` runs the rest of the catalogue.

use std::path::PathBuf;
use std::sync::Arc;

use quaestor_faults::bench::{self, Options};
use quaestor_faults::faults::CATALOGUE;
use quaestor_faults::place::Kind;
use quaestor_faults::report::{Outcome, table};
use quaestor_faults::servers::Servers;

/// Another seed is for `make faults`: a test that fails must fail again.
const SEED: u64 = 20_261_121;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_in_one_process_loses_nothing() {
    fast_on(Kind::Embedded, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_among_services_loses_nothing() {
    let servers = tokio::task::spawn_blocking(Servers::start).await.unwrap().unwrap();
    fast_on(Kind::Services, Some(Arc::new(servers))).await;
}

async fn fast_on(kind: Kind, servers: Option<Arc<Servers>>) {
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_quaestor")),
        seed: SEED,
        times: None,
        minutes: 0,
        previous: None,
    };
    let mut outcomes = Vec::new();
    for fault in CATALOGUE.iter().filter(|fault| fault.fast.contains(&kind)) {
        outcomes.push(bench::run(fault, kind, &options, servers.clone()).await);
    }
    let broken: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_well()).collect();
    assert!(!outcomes.is_empty() && broken.is_empty(), "{}\n{broken:#?}", table(&outcomes));
}
