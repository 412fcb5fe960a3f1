//! Where rows, full text and vectors are kept: one folder per technology, and `sql` for
//! what is said to both in the same words.
//!
//! The files in `sql` are compiled twice, each time under a module named `dialect` that
//! says what a connection, a row and a lock are. So a statement and the reading of its
//! rows are written once, and checked against both databases by type.

#[expect(clippy::duplicate_mod, reason = "what is shared is compiled for each database")]
pub mod postgres;
#[expect(clippy::duplicate_mod, reason = "what is shared is compiled for each database")]
pub mod sqlite;

/// Tells how a pool of connections stands, as metrics.
fn tell_pool(name: &'static str, open: u32, idle: usize, most: u32) {
    use quaestor_core::metrics::{DATABASE_CONNECTIONS, DATABASE_CONNECTIONS_MAX};
    let idle = u32::try_from(idle).unwrap_or(u32::MAX);
    let used = open.saturating_sub(idle);
    DATABASE_CONNECTIONS.of([name.into(), "used".into()]).set(f64::from(used));
    DATABASE_CONNECTIONS.of([name.into(), "idle".into()]).set(f64::from(idle));
    DATABASE_CONNECTIONS_MAX.of([name.into()]).set(f64::from(most));
}
