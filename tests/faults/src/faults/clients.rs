//! Clients that read slowly, go away without a word, or all come at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::client::connect;
use crate::proxy::{Network, Proxy};
use crate::report::percentile;
use crate::workload::Shape;

/// Two hundred of them read a kilobyte a second.
pub(super) const SLOW_READERS: Fault = Fault {
    name: "F41",
    what: "200 clients read 1 KB/s for 20 s",
    expected: "others hardly notice",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape { upload_every: None, ..Shape::STANDARD },
    settings: &[],
    inject: |bench| slow_readers(bench).boxed(),
};

/// Ten thousand of them lose their front at the same moment.
pub(super) const STORM: Fault = Fault {
    name: "F42",
    what: "a front with 10,000 sockets is killed, and all come back",
    expected: "all are back in 60 s",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape { clients: 4, upload_every: None, ..Shape::STANDARD },
    settings: &[],
    inject: |bench| storm(bench).boxed(),
};

/// They are gone without a word.
pub(super) const HALF_OPEN: Fault = Fault {
    name: "F43",
    what: "100 clients are gone without a word (half-open connections)",
    expected: "their sockets are closed within 60 s",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape { upload_every: None, ..Shape::STANDARD },
    settings: &[],
    inject: |bench| half_open(bench).boxed(),
};

/// The address of a front without its scheme.
fn host(address: &str) -> anyhow::Result<std::net::SocketAddr> {
    address.strip_prefix("http://").context("an address")?.parse().context("an address")
}

/// How long answers take that are asked for from now on, for a while.
async fn window(bench: &Bench, answers: u64) -> anyhow::Result<Vec<Duration>> {
    let before = bench.workload.ledger.book().asked.len();
    bench.progress(answers).await?;
    let book = bench.workload.ledger.book();
    Ok(book.asked.iter().skip(before).filter_map(|asked| asked.ended_in).collect())
}

async fn slow_readers(bench: &mut Bench) -> anyhow::Result<()> {
    let answers = 10 * bench.shape.clients as u64;
    let mut alone = window(bench, answers).await?;
    let front = bench.fleet.one("front", 1).await?;
    let before_bytes = front.resident_bytes();
    let proxy = Proxy::before(host(&front.address)?).await?;
    proxy.set(Network::Slow(1_024));
    let jobs: Vec<String> = {
        let book = bench.workload.ledger.book();
        book.asked.iter().rev().take(50).map(|asked| asked.job.clone()).collect()
    };
    let address = format!("http://{}", proxy.address());
    let workspaces = &bench.place.workspaces;
    let mut readers = JoinSet::new();
    for number in 0..200 {
        let (address, jobs) = (address.clone(), jobs.clone());
        let token = workspaces[number % workspaces.len()].token().to_owned();
        readers.spawn(async move {
            let mut socket = connect(&address, &token).await?;
            // What it may not see is answered as missing, which is read slowly as well.
            for job in jobs {
                let subscribe = json!({"type": "subscribe", "job_id": job});
                socket.send(Message::text(subscribe.to_string())).await?;
            }
            while let Some(Ok(_)) = socket.next().await {}
            anyhow::Ok(())
        });
    }
    let mut beside = window(bench, answers).await?;
    let after_bytes = front.resident_bytes();
    readers.abort_all();
    let (alone, beside) = (percentile(&mut alone, 99), percentile(&mut beside, 99));
    bench.figure("p99 of an answer alone s", alone);
    bench.at_most("p99 beside them, times", beside / alone, 1.10);
    let grown = after_bytes.saturating_sub(before_bytes) as f64 / 200.0 / 1024.0;
    bench.at_most("front's memory, KiB a reader", grown, 1_228.0);
    Ok(())
}

async fn storm(bench: &mut Bench) -> anyhow::Result<()> {
    let sockets = bench.times(10_000);
    let front = bench.fleet.one("front", 0).await?;
    let address = front.address.clone();
    let token = bench.place.workspaces[0].token().to_owned();
    let open = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..sockets {
        let (address, token, open) = (address.clone(), token.clone(), Arc::clone(&open));
        let mut dice = bench.dice.part(number);
        clients.spawn(async move {
            // Ten thousand machines would not begin at the same microsecond either.
            tokio::time::sleep(Duration::from_millis(dice.between(0, 20_000))).await;
            let mut pause = 100;
            loop {
                if let Ok(mut socket) = connect(&address, &token).await {
                    open.fetch_add(1, Ordering::SeqCst);
                    while let Some(Ok(_)) = socket.next().await {}
                    open.fetch_sub(1, Ordering::SeqCst);
                    pause = 100;
                }
                tokio::time::sleep(Duration::from_millis(dice.between(0, pause))).await;
                pause = (2 * pause).min(5_000);
            }
        });
    }
    until_open(&open, sockets, Duration::from_secs(180)).await?;
    bench.figure("sockets", sockets as f64);
    bench.figure("first opened in s", begun.elapsed().as_secs_f64());
    let per_socket = front.resident_bytes() as f64 / sockets as f64 / 1024.0;
    bench.figure("front's memory, KiB a socket", per_socket);
    front.kill().await;
    let killed_at = Instant::now();
    // They notice first that it is gone.
    while open.load(Ordering::SeqCst) > sockets / 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        anyhow::ensure!(killed_at.elapsed() < Duration::from_secs(30), "nobody noticed");
    }
    until_open(&open, sockets, Duration::from_secs(180)).await?;
    bench.at_most("all back in s", killed_at.elapsed().as_secs_f64(), 60.0);
    clients.shutdown().await;
    Ok(())
}

async fn until_open(open: &AtomicU64, wanted: u64, patience: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let now = open.load(Ordering::SeqCst);
        if now >= wanted {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < patience, "{now} of {wanted} sockets are open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn half_open(bench: &mut Bench) -> anyhow::Result<()> {
    let front = bench.fleet.one("front", 1).await?;
    let proxy = Proxy::before(host(&front.address)?).await?;
    let address = format!("http://{}", proxy.address());
    let token = bench.place.workspaces[0].token().to_owned();
    let before = gauge(&front.address, &token, "quaestor_sockets").await?;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(connect(&address, &token).await?);
    }
    let open = gauge(&front.address, &token, "quaestor_sockets").await?;
    anyhow::ensure!(open >= before + 80.0, "only {open} sockets are open");
    proxy.set(Network::BlackHole);
    let gone_at = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let open = gauge(&front.address, &token, "quaestor_sockets").await?;
        // The workload's own sockets come and go.
        if open <= before + bench.shape.clients as f64 {
            break;
        }
        anyhow::ensure!(gone_at.elapsed() < Duration::from_secs(120), "{open} sockets stay open");
    }
    bench.at_most("closed after s", gone_at.elapsed().as_secs_f64(), 60.0);
    Ok(())
}

/// A gauge of a front.
async fn gauge(address: &str, token: &str, name: &str) -> anyhow::Result<f64> {
    let http = crate::place::http(Duration::from_secs(10))?;
    let response = http.get(format!("{address}/metrics")).bearer_auth(token).send().await?;
    let text = response.error_for_status()?.text().await?;
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.unwrap_or("0").parse().context("a gauge")
}
