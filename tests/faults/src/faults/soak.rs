//! Half an hour of one random fault after another, and then five minutes of none.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt;
use quaestor_model_server::Reply;

use super::{BOTH, processes, redis};
use crate::bench::{Bench, Fault};
use crate::dice::Dice;
use crate::place::Kind;
use crate::proxy::Network;
use crate::report::say;
use crate::workload::{Shape, answer_well};

/// Everything, in an order that the seed gives.
pub(super) const SOAK: Fault = Fault {
    name: "soak",
    what: "a random fault every 20 to 60 s, and none in the last five minutes",
    expected: "memory stays as it is",
    kinds: BOTH,
    fast: false,
    shape: Shape { upload_every: Some(Duration::from_secs(6)), ..Shape::STANDARD },
    settings: &[],
    inject: |bench| soak(bench).boxed(),
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
    // Memory is compared within one life of the processes.
    bench.fleet.start_anew().await?;
    tokio::time::sleep(quiet / 5).await;
    let (first, first_at) = (bench.fleet.resident_bytes().await, Instant::now());
    tokio::time::sleep(quiet * 4 / 5).await;
    let last = bench.fleet.resident_bytes().await;
    let hours = first_at.elapsed().as_secs_f64() / 3_600.0;
    bench.figure("memory MiB", last as f64 / f64::from(1 << 20));
    bench.figure("memory slope %/h", 100.0 * (last as f64 / first as f64 - 1.0) / hours);
    Ok(())
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
