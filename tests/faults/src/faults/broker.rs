//! RabbitMQ restarts, goes away, is full, loses a queue, or says nothing.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt;
use reqwest::Method;
use serde_json::json;

use super::broker_api::Broker;
use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::proxy::Network;
use crate::workload::Shape;

/// It is restarted, by turns in order and by SIGKILL.
pub(super) const RESTART: Fault = Fault {
    name: "F09",
    what: "RabbitMQ is restarted and killed under load, by turns",
    expected: "questions are accepted meanwhile, the backlog is drained in 60 s",
    kinds: SERVICES,
    fast: SERVICES,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| restarts(bench).boxed(),
};

/// It is away for a while.
pub(super) const AWAY: Fault = Fault {
    name: "F10",
    what: "RabbitMQ is away for 30 s",
    expected: "questions are accepted all the while",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| away(bench).boxed(),
};

/// It has no memory left.
pub(super) const MEMORY_ALARM: Fault = Fault {
    name: "F11",
    what: "RabbitMQ has an alarm of its memory for 15 s, and blocks who publishes",
    expected: "questions are accepted all the while, and the metric says it is blocked",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| alarm(bench, "set_vm_memory_high_watermark", ["0", "0.6"]).boxed(),
};

/// It has no room left on its disk.
pub(super) const DISK_ALARM: Fault = Fault {
    name: "F12",
    what: "RabbitMQ has an alarm of its disk for 15 s, and blocks who publishes",
    expected: "questions are accepted all the while, and the metric says it is blocked",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| alarm(bench, "set_disk_free_limit", ["999GB", "200MB"]).boxed(),
};

/// Its queues take no more.
pub(super) const FULL: Fault = Fault {
    name: "F13",
    what: "every queue takes one message at the most for 15 s (reject-publish)",
    expected: "refused messages stay in the outbox",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| full(bench).boxed(),
};

/// Its queues are deleted.
pub(super) const UNROUTABLE: Fault = Fault {
    name: "F14",
    what: "the queue of questions is deleted, and made again by `topology apply` 10 s later",
    expected: "nothing counts as sent that went nowhere, and what the queue held is sent again",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape { upload_every: None, ..Shape::STANDARD },
    settings: &[],
    inject: |bench| unroutable(bench).boxed(),
};

/// The connection is there and nothing comes.
pub(super) const HALF_OPEN: Fault = Fault {
    name: "F14b",
    what: "what RabbitMQ says does not arrive for 25 s (half-open connections)",
    expected: "the connections are given up and made again",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| half_open(bench).boxed(),
};

async fn restarts(bench: &mut Bench) -> anyhow::Result<()> {
    super::restarts_of(bench, "rabbitmq", bench.times(2)).await
}

async fn away(bench: &mut Bench) -> anyhow::Result<()> {
    let accepted = bench.workload.ledger.book().refused;
    bench.place.network()?.rabbitmq.set(Network::Down);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.place.network()?.rabbitmq.set(Network::Good);
    let refused = bench.workload.ledger.book().refused - accepted;
    bench.at_most("requests refused", refused as f64, 0.0);
    Ok(())
}

async fn alarm(bench: &mut Bench, limit: &str, [raised, lowered]: [&str; 2]) -> anyhow::Result<()> {
    let servers = bench.place.servers.clone().context("this place has no servers")?;
    let refused = bench.workload.ledger.book().refused;
    let before = bench.fleet.metrics().await;
    anyhow::ensure!(!before.iter().any(|text| is_blocked(text)), "it is blocked before the alarm");
    servers.rabbitmqctl(&[limit, raised]).await?;
    let raised_at = Instant::now();
    let mut told_in = None;
    while raised_at.elapsed() < Duration::from_secs(15) {
        let told = bench.fleet.metrics().await;
        if told.iter().any(|text| is_blocked(text)) {
            told_in.get_or_insert(raised_at.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    servers.rabbitmqctl(&[limit, lowered]).await?;
    let lowered_at = Instant::now();
    bench.progress(2 * bench.shape.clients as u64).await?;
    bench.at_most("blocked by the metric after s", seconds(told_in), 5.0);
    bench.at_most("return to work s", lowered_at.elapsed().as_secs_f64(), 60.0);
    let refused = bench.workload.ledger.book().refused - refused;
    bench.at_most("requests refused", refused as f64, 0.0);
    Ok(())
}

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64())
}

fn is_blocked(metrics: &str) -> bool {
    metrics.lines().any(|line| line.starts_with("quaestor_queue_blocked{") && line.ends_with(" 1"))
}

async fn full(bench: &mut Bench) -> anyhow::Result<()> {
    let broker = Broker::of(bench)?;
    let policy = json!({
        "pattern": "^qs\\.", "apply-to": "queues", "priority": 100,
        "definition": {"max-length": 1, "overflow": "reject-publish"},
    });
    broker.call(Method::PUT, "policies", "bench-full", Some(policy)).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    broker.call(Method::DELETE, "policies", "bench-full", None).await
}

async fn unroutable(bench: &mut Bench) -> anyhow::Result<()> {
    let broker = Broker::of(bench)?;
    let queues = broker.queues().await?;
    let queue = queues.iter().find(|name| name.contains("retrieve")).context("its queue")?;
    broker.call(Method::DELETE, "queues", queue, None).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.place.run(&["topology", "apply"]).await?;
    Ok(())
}

async fn half_open(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place.network()?.rabbitmq.set(Network::HalfOpen);
    tokio::time::sleep(Duration::from_secs(25)).await;
    bench.place.network()?.rabbitmq.set(Network::Good);
    Ok(())
}
