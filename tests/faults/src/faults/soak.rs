//! Half an hour of one random fault after another, and then five minutes of none; and half
//! an hour of none at all.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt;
use quaestor_model_server::Reply;

use super::{BOTH, NOWHERE, processes, redis};
use crate::bench::{Bench, Fault};
use crate::beside;
use crate::dice::Dice;
use crate::place::Kind;
use crate::proxy::Network;
use crate::report::say;
use crate::workload::{Shape, answer_well};

/// Everything, in an order that the seed gives.
pub(super) const SOAK: Fault = Fault {
    name: "soak",
    what: "a random fault every 20 to 60 s, and none in the last five minutes",
    expected: "nothing but a clean check",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape { upload_every: Some(Duration::from_secs(6)), beside: true, ..Shape::STANDARD },
    settings: beside::SETTINGS,
    inject: |bench| soak(bench).boxed(),
};

/// The same load for as long, and nothing goes wrong.
pub(super) const STEADY: Fault = Fault {
    name: "steady",
    what: "an even load; memory is watched over the last three quarters of it",
    expected: "memory grows by 1 % an hour at the most",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape { upload_every: Some(Duration::from_secs(6)), ..Shape::STANDARD },
    settings: &[],
    inject: |bench| steady(bench).boxed(),
};

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Kill,
    Freeze,
    Drain,
    ServerRestart(&'static str),
    ServerKill(&'static str),
    ServerPause(&'static str),
    Flush,
    NetworkCut,
    NetworkSlow,
    ModelErrors,
    ModelAway,
}

/// What may happen to one process without servers.
const EMBEDDED: &[Trouble] =
    &[Trouble::Kill, Trouble::Drain, Trouble::ModelErrors, Trouble::ModelAway];

/// What may happen to several with servers.
const SERVICES: &[Trouble] = &[
    Trouble::Kill,
    Trouble::Kill,
    Trouble::Freeze,
    Trouble::Drain,
    Trouble::ServerRestart("postgres"),
    Trouble::ServerRestart("rabbitmq"),
    Trouble::ServerRestart("redis"),
    Trouble::ServerKill("postgres"),
    Trouble::ServerKill("rabbitmq"),
    Trouble::ServerKill("redis"),
    Trouble::ServerPause("postgres"),
    Trouble::ServerPause("rabbitmq"),
    Trouble::ServerPause("redis"),
    Trouble::Flush,
    Trouble::NetworkCut,
    Trouble::NetworkSlow,
    Trouble::ModelErrors,
    Trouble::ModelAway,
];

async fn soak(bench: &mut Bench) -> anyhow::Result<()> {
    let minutes = bench.options.minutes;
    let quiet = Duration::from_secs(60 * 5.min(minutes / 6 + 1));
    let mut dice = bench.dice.part(9);
    let troubles = if bench.place.kind == Kind::Embedded { EMBEDDED } else { SERVICES };
    let begun = Instant::now();
    let mut happened = 0;
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        tokio::time::sleep(Duration::from_secs(dice.between(20, 61))).await;
        if let Some(trouble) = dice.pick(troubles).copied() {
            say(&format!("     {:>5.0} s: {trouble:?}", begun.elapsed().as_secs_f64()));
            make(bench, trouble, &mut dice).await?;
            happened += 1;
        }
        bench.progress(1).await?;
    }
    bench.figure("faults", f64::from(happened));
    bench.fleet.wait_whole(Duration::from_secs(60)).await?;
    let (mebibytes, slope) = memory_over(bench, quiet).await?;
    bench.figure("memory MiB", mebibytes);
    bench.figure("memory slope in the quiet minutes %/h", slope);
    Ok(())
}

async fn steady(bench: &mut Bench) -> anyhow::Result<()> {
    let all = Duration::from_secs(60 * bench.options.minutes);
    tokio::time::sleep(all / 4).await;
    let (mebibytes, slope) = memory_over(bench, all * 3 / 4).await?;
    bench.figure("memory MiB", mebibytes);
    bench.at_most("memory slope %/h", slope, 1.0);
    Ok(())
}

/// Resident memory of all processes together in the mean, in MiB, and how it changes, in per
/// cent an hour: the slope of the least squares through a sample every two seconds.
async fn memory_over(bench: &Bench, time: Duration) -> anyhow::Result<(f64, f64)> {
    let (begun, restarts) = (Instant::now(), bench.fleet.restarts());
    let mut samples = Vec::new();
    while begun.elapsed() < time {
        let at = begun.elapsed().as_secs_f64() / 3_600.0;
        samples.push((at, bench.fleet.resident_bytes().await as f64));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    anyhow::ensure!(bench.fleet.restarts() == restarts, "a process was started anew meanwhile");
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, bytes) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let with = |of: fn(f64, f64) -> f64| {
        samples.iter().map(|sample| of(sample.0 - at, sample.1 - bytes)).sum::<f64>()
    };
    let slope = with(|at, bytes| at * bytes) / with(|at, _| at * at);
    Ok((bytes / f64::from(1 << 20), 100.0 * slope / bytes))
}

async fn make(bench: &mut Bench, trouble: Trouble, dice: &mut Dice) -> anyhow::Result<()> {
    let servers = bench.place.servers.clone();
    let servers = || servers.clone().context("this place has no servers");
    match trouble {
        Trouble::Kill => processes::kill_any(bench, dice).await,
        Trouble::Freeze => processes::freeze_any(bench, dice).await,
        Trouble::Drain => processes::drain_any(bench, dice).await,
        Trouble::ServerRestart(server) => {
            servers()?.act("down", &[server]).await?;
            servers()?.act("up", &[server]).await?;
        }
        Trouble::ServerKill(server) => {
            servers()?.act("kill", &[server]).await?;
            servers()?.act("up", &[server]).await?;
        }
        Trouble::ServerPause(server) => {
            servers()?.act("pause", &[server]).await?;
            tokio::time::sleep(Duration::from_secs(dice.between(2, 12))).await;
            servers()?.act("resume", &[server]).await?;
        }
        Trouble::Flush => redis::command(bench, &["FLUSHALL"]).await?,
        Trouble::NetworkCut => {
            let network = bench.place.network()?;
            for proxy in [&network.postgres, &network.rabbitmq, &network.redis, &network.s3] {
                proxy.cut();
            }
        }
        Trouble::NetworkSlow => {
            let network = bench.place.network()?;
            let slow = [&network.postgres, &network.rabbitmq, &network.redis, &network.s3];
            slow.iter().for_each(|proxy| proxy.set(Network::Latency(Duration::from_millis(50))));
            tokio::time::sleep(Duration::from_secs(dice.between(2, 10))).await;
            slow.iter().for_each(|proxy| proxy.set(Network::Good));
        }
        Trouble::ModelErrors => {
            bench.model.respond(|_| Reply::error(500, "server_error"));
            tokio::time::sleep(Duration::from_secs(dice.between(2, 8))).await;
            answer_well(&bench.model, bench.shape);
        }
        Trouble::ModelAway => {
            bench.model_network.set(Network::Down);
            tokio::time::sleep(Duration::from_secs(dice.between(2, 8))).await;
            bench.model_network.set(Network::Good);
        }
    }
    Ok(())
}
