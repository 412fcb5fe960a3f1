//! One release takes another's place while both run.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt;
use rustix::process::Signal;

use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::fleet::Program;
use crate::workload::Shape;

/// The database has this release's schema, as it is migrated first.
pub(super) const ROLLING: Fault = Fault {
    name: "F48",
    what: "every process is taken back to the previous release, one after another, and forward",
    expected: "both work side by side, and read each other's messages and rows",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| rolling(bench).boxed(),
};

/// Settings of the bench that came after the previous release, by what they begin with: it
/// would refuse them.
const CAME_SINCE: &[&str] = &[];

/// Longer than any process takes to stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

async fn rolling(bench: &mut Bench) -> anyhow::Result<()> {
    let path = bench.options.previous.clone();
    let path = path.context("`--previous` names no program of the release before")?;
    let this = Program { path: bench.options.program.clone(), unknown: &[] };
    for program in [Program { path, unknown: CAME_SINCE }, this] {
        bench.fleet.set_program(program).await;
        for seat in bench.fleet.all().to_vec() {
            if let Some(process) = seat.process().await {
                process.signal(Signal::TERM);
                let told_at = Instant::now();
                while !process.has_ended() {
                    anyhow::ensure!(told_at.elapsed() < LONGEST_DRAIN, "{} stays", seat.role);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            bench.fleet.wait_whole(Duration::from_secs(60)).await?;
            bench.progress(bench.shape.clients as u64).await?;
        }
    }
    let told = bench.fleet.metrics().await;
    let unread = told.iter().map(|text| unreadable(text)).fold(0.0, f64::max);
    bench.at_most("messages that could not be read", unread, 0.0);
    Ok(())
}

fn unreadable(metrics: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with("quaestor_messages_undecodable"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
}
