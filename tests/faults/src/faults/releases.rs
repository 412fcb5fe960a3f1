//! One release takes another's place while both run.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt;
use rustix::process::Signal;

use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
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

/// Longer than any process takes to stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

async fn rolling(bench: &mut Bench) -> anyhow::Result<()> {
    let previous = bench.options.previous.clone();
    let previous = previous.context("`--previous` names no program of the release before")?;
    let mut unread: f64 = 0.0;
    for program in [previous, bench.options.program.clone()] {
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
            // Asked while both run: what a process counted is gone with it.
            let told = bench.fleet.metrics().await;
            unread = told.iter().map(|text| unreadable(text)).fold(unread, f64::max);
        }
    }
    bench.at_most("messages that could not be read", unread, 0.0);
    Ok(())
}

fn unreadable(metrics: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with("quaestor_messages_undecodable"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).fold(0.0, f64::max)
}
