//! Redis restarts, forgets, refuses, or is slow. The event log may lose anything.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::proxy::Network;
use crate::workload::Shape;

/// It is restarted, in order and by SIGKILL.
pub(super) const RESTART: Fault = Fault {
    name: "F15",
    what: "Redis is restarted and killed under load, by turns",
    expected: "streams go on, or are told a gap and end with the stored answer",
    kinds: SERVICES,
    fast: SERVICES,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| restarts(bench).boxed(),
};

/// All that it has is gone.
pub(super) const FLUSHED: Fault = Fault {
    name: "F16",
    what: "FLUSHALL in the middle of answers, five times",
    expected: "clients are told a gap, and the answers are right",
    kinds: SERVICES,
    fast: SERVICES,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| flushed(bench).boxed(),
};

/// It takes no more.
pub(super) const NO_MEMORY: Fault = Fault {
    name: "F18",
    what: "Redis has no memory left (noeviction) for 10 s",
    expected: "every job is done",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| no_memory(bench).boxed(),
};

/// It is half a second away.
pub(super) const SLOW: Fault = Fault {
    name: "F19",
    what: "Redis is 500 ms away, each way, for 15 s",
    expected: "every job is done",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| slow(bench).boxed(),
};

/// The connection is there and nothing comes.
pub(super) const HALF_OPEN: Fault = Fault {
    name: "F17",
    what: "what Redis says does not arrive for 15 s (half-open connections)",
    expected: "no answer waits for it for ever",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| half_open(bench).boxed(),
};

async fn restarts(bench: &mut Bench) -> anyhow::Result<()> {
    super::restarts_of(bench, "redis", bench.times(2)).await
}

async fn flushed(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.times(5) {
        command(bench, &["FLUSHALL"]).await?;
        bench.progress(bench.shape.clients as u64 / 2).await?;
    }
    Ok(())
}

async fn no_memory(bench: &mut Bench) -> anyhow::Result<()> {
    command(bench, &["CONFIG", "SET", "maxmemory", "1mb"]).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    command(bench, &["CONFIG", "SET", "maxmemory", "0"]).await
}

async fn slow(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place.network()?.redis.set(Network::Latency(Duration::from_millis(500)));
    tokio::time::sleep(Duration::from_secs(15)).await;
    bench.place.network()?.redis.set(Network::Good);
    Ok(())
}

async fn half_open(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place.network()?.redis.set(Network::HalfOpen);
    tokio::time::sleep(Duration::from_secs(15)).await;
    bench.place.network()?.redis.set(Network::Good);
    Ok(())
}

/// Sends one command past the program. The protocol is a list of texts, and `+OK` as answer.
pub(super) async fn command(bench: &Bench, words: &[&str]) -> anyhow::Result<()> {
    let servers = bench.place.servers.as_ref().context("this place has no servers")?;
    let url = servers.setting("QUAESTOR_EVENTS_URL")?;
    let (login, rest) =
        url.trim_start_matches("redis://").split_once('@').context("a URL with a password")?;
    let (_, password) = login.split_once(':').context("a URL with a password")?;
    let host = rest.split('/').next().unwrap_or(rest);
    let mut stream = TcpStream::connect(host).await?;
    for words in [&["AUTH", password][..], words] {
        let mut said = format!("*{}\r\n", words.len());
        for word in words {
            said.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(said.as_bytes()).await?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        ensure!(answer.starts_with("+OK"), "Redis answers {answer:?} to {}", words[0]);
    }
    Ok(())
}
