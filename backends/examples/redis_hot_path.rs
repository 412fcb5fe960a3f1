//! What does an event cost on its way through Redis? Appends from 64 jobs at once, the
//! time from an append to its watcher, and 64 watched answers of 100 tokens, with the CPU
//! of this process beside each. Medians of 5 runs.
//!
//! `QUAESTOR_EVENTS_URL=redis://… cargo run --release -p quaestor-backends --example redis_hot_path`

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::event_log::redis::{RedisBounds, RedisEventLog};
use quaestor_backends::redis::{RedisServer, RedisSettings};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::events::Event;
use quaestor_core::ids::{IdSource, JobId, WorkspaceId};
use quaestor_core::ports::event_log::{EventLog, EventLogError};

const JOBS: usize = 64;
const RUNS: usize = 5;

/// CPU time of this process, all threads, in microseconds.
fn cpu_us() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 * 1e6 + usage.tv_nsec as f64 / 1e3
}

/// Time that has passed, in microseconds.
fn now_us() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn part(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[(last as f64 * part).round() as usize]
}

struct Bench {
    ids: IdSource,
    writer: RedisEventLog,
    reader: RedisEventLog,
}

const WORKSPACE: WorkspaceId = WorkspaceId(uuid::Uuid::from_u128(1));

fn token() -> Event {
    Event::Token { text: " revenue".to_owned() }
}

impl Bench {
    /// Events per second and CPU microseconds per event.
    async fn appends(&self, calls: usize, batch: usize) -> Result<(f64, f64), EventLogError> {
        let (cpu, wall) = (cpu_us(), now_us());
        try_join_all((0..JOBS).map(|_| async {
            let job = self.ids.next::<JobId>();
            for _ in 0..calls {
                self.writer.append(WORKSPACE, job, 1, vec![token(); batch]).await?;
            }
            Ok::<_, EventLogError>(())
        }))
        .await?;
        let events = (JOBS * calls * batch) as f64;
        Ok((events / ((now_us() - wall) / 1e6), (cpu_us() - cpu) / events))
    }

    /// Microseconds from before an append to its event at the watcher of another process.
    async fn latencies(&self, count: usize) -> Result<Vec<f64>, EventLogError> {
        let job = self.ids.next::<JobId>();
        let mut watcher = self.reader.watch(WORKSPACE, job, None).await?;
        self.writer.append(WORKSPACE, job, 0, vec![Event::Queued]).await?;
        watcher.next().await;
        let mut latencies = Vec::new();
        for _ in 0..count {
            let before = now_us();
            let append = self.writer.append(WORKSPACE, job, 1, vec![token()]);
            let seen = async {
                watcher.next().await;
                now_us() - before
            };
            let (appended, latency) = tokio::join!(append, seen);
            appended?;
            latencies.push(latency);
        }
        Ok(latencies)
    }

    /// 64 answers of 100 tokens, each watched: events per second, and CPU microseconds per
    /// event of writer and reader together.
    async fn answers(&self) -> Result<(f64, f64), EventLogError> {
        let jobs: Vec<JobId> = (0..JOBS).map(|_| self.ids.next()).collect();
        let mut watchers = Vec::new();
        for &job in &jobs {
            let mut watcher = self.reader.watch(WORKSPACE, job, None).await?;
            self.writer.append(WORKSPACE, job, 0, vec![Event::Queued]).await?;
            watcher.next().await;
            watchers.push(watcher);
        }
        let (cpu, wall) = (cpu_us(), now_us());
        let writing = try_join_all(jobs.iter().map(|&job| async move {
            for _ in 0..100 {
                self.writer.append(WORKSPACE, job, 1, vec![token()]).await?;
            }
            self.writer.append(WORKSPACE, job, 1, vec![Event::Done { usage: None }]).await
        }));
        let watching = join_all(watchers.into_iter().map(|watcher| watcher.count()));
        let (written, seen) = tokio::join!(writing, watching);
        written?;
        assert!(seen.iter().all(|count| *count == 101), "every event arrives once: {seen:?}");
        let events = (JOBS * 101) as f64;
        Ok((events / ((now_us() - wall) / 1e6), (cpu_us() - cpu) / events))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("QUAESTOR_EVENTS_URL")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = IdSource::new(clock.clone(), Arc::new(OsEntropy));
    let namespace = format!("bench-{}", ids.next::<JobId>());
    let settings = RedisSettings { namespace, ..RedisSettings::new(url.into()) };
    let bounds = RedisBounds { keep: Duration::from_secs(30), ..RedisBounds::default() };
    let server = RedisServer::open(&settings, clock.clone()).await?;
    let writer = RedisEventLog::open(server, bounds, &OsEntropy).await?;
    let server = RedisServer::open(&settings, clock).await?;
    let reader = RedisEventLog::open(server, bounds, &OsEntropy).await?;
    let bench = Bench { ids, writer, reader };

    bench.appends(100, 1).await?;
    for (calls, batch) in [(1_000, 1), (200, 10)] {
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let (rate, cost) = bench.appends(calls, batch).await?;
            rates.push(rate);
            costs.push(cost);
        }
        println!(
            "append, {JOBS} at once, {batch} events a call: {:.0} events/s, {:.1} us CPU an event",
            part(&mut rates, 0.5),
            part(&mut costs, 0.5)
        );
    }
    bench.latencies(200).await?;
    let mut latencies = bench.latencies(3_000).await?;
    println!(
        "append to watcher, one job: p50 {:.0} us, p99 {:.0} us",
        part(&mut latencies, 0.5),
        part(&mut latencies, 0.99)
    );
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (rate, cost) = bench.answers().await?;
        rates.push(rate);
        costs.push(cost);
    }
    println!(
        "{JOBS} watched answers of 100 tokens: {:.0} events/s, {:.1} us CPU an event, both sides",
        part(&mut rates, 0.5),
        part(&mut costs, 0.5)
    );
    Ok(())
}
