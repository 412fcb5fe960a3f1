//! The whole program from outside, on both sets of backends: started as processes, used over
//! HTTP and WebSocket, killed and started again.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

mod answers;
mod audit;
mod backups;
mod batches;
mod collector;
mod doctor;
mod drain;
mod embedding;
mod eval;
mod exports;
mod fairness;
#[cfg(feature = "failpoints")]
mod faults;
mod first_starts;
mod following;
mod given_again;
mod installation;
#[cfg(feature = "failpoints")]
mod kills;
mod leaving;
mod metrics;
mod model;
mod model_faults;
mod money;
mod moving;
mod overload;
mod poison;
mod program;
mod providers;
mod recovery;
mod reindexing;
mod restarts;
mod resume;
mod servers;
mod sweeping;
mod tls;
mod tls_servers;
mod traces;
