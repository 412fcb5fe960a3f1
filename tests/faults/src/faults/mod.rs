//! The catalogue of faults. The names are those of `RELIABILITY.md`.

mod broker;
mod broker_api;
mod clients;
mod database;
mod messages;
mod models;
mod processes;
mod redis;
mod releases;
mod soak;

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::bench::{Bench, Fault};
use crate::place::Kind;

/// Where most faults can happen.
const BOTH: &[Kind] = &[Kind::Embedded, Kind::Services];
/// In one process.
const EMBEDDED: &[Kind] = &[Kind::Embedded];
/// Too long for every day.
const NOWHERE: &[Kind] = &[];
/// What needs servers.
const SERVICES: &[Kind] = &[Kind::Services];

/// Every fault.
pub const CATALOGUE: &[&Fault] = &[
    &processes::NONE,
    &processes::KILLS,
    &processes::MID_STREAM,
    &processes::MID_EMBEDDING,
    &processes::RELAY,
    &processes::FRONT,
    &processes::FROZEN,
    &processes::PANIC,
    &processes::ERRORS,
    &processes::DRAIN,
    &broker::RESTART,
    &broker::AWAY,
    &broker::MEMORY_ALARM,
    &broker::DISK_ALARM,
    &broker::FULL,
    &broker::UNROUTABLE,
    &broker::HALF_OPEN,
    &redis::RESTART,
    &redis::FLUSHED,
    &redis::NO_MEMORY,
    &redis::SLOW,
    &redis::HALF_OPEN,
    &database::RESTART,
    &database::LOCKED,
    &database::CUT,
    &database::HALF_OPEN,
    &models::ERRORS,
    &models::AWAY,
    &models::CUT,
    &clients::SLOW_READERS,
    &clients::STORM,
    &clients::HALF_OPEN,
    &messages::DUPLICATES,
    &releases::ROLLING,
    &soak::SOAK,
    &soak::STEADY,
];

/// Faults that need the program as it was released before.
pub const BETWEEN_RELEASES: &[&str] = &[releases::ROLLING.name];

/// Restarts a server so often, in order and by SIGKILL by turns, and sees that work goes on
/// each time.
async fn restarts_of(bench: &mut Bench, server: &str, times: u64) -> anyhow::Result<()> {
    let servers = bench.place.servers.clone().context("this place has no servers")?;
    let mut slowest = Duration::ZERO;
    for number in 0..times {
        let how = if number % 2 == 0 { "down" } else { "kill" };
        servers.act(how, &[server]).await?;
        servers.act("up", &[server]).await?;
        let up_at = Instant::now();
        bench.progress(bench.shape.clients as u64).await?;
        slowest = slowest.max(up_at.elapsed());
    }
    bench.figure("restarts", times as f64);
    bench.at_most("slowest return to work s", slowest.as_secs_f64(), 60.0);
    if server != "redis" {
        return Ok(());
    }
    let book = bench.workload.ledger.book().clone();
    let whole = book.asked.iter().filter(|asked| asked.gaps == 0).count();
    bench.figure("streams whole, %", 100.0 * whole as f64 / book.asked.len().max(1) as f64);
    Ok(())
}
