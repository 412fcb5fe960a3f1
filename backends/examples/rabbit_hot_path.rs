//! What does the queue on RabbitMQ carry, how late is a message, and what does one cost?
//!
//! Needs QUAESTOR_QUEUE_URL and QUAESTOR_QUEUE_MANAGEMENT_URL, and makes a virtual host of
//! its own there. Messages are published, delivered and acknowledged; nothing is done with
//! them. `cargo run --release -p quaestor-backends --example rabbit_hot_path`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::management::Management;
use quaestor_backends::queue::rabbitmq::topology::Topology;
use quaestor_backends::queue::rabbitmq::{BrokerAddress, RabbitOptions, RabbitQueue};
use quaestor_contracts::queue::message;
use quaestor_core::clock::SystemClock;
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::ports::queue::{Published, Queue};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

const MESSAGES: u64 = 100_000;
const ROUNDS: usize = 3;
const PUBLISHERS: u64 = 2;
const BATCH: u64 = 256;
const SLOTS: u16 = 512;
const SINGLES: u64 = 2_000;
const STEP: Step = Step::ChatRetrieve;

#[tokio::main]
async fn main() {
    let url = std::env::var("QUAESTOR_QUEUE_URL").expect("QUAESTOR_QUEUE_URL");
    let management = std::env::var("QUAESTOR_QUEUE_MANAGEMENT_URL").expect("the management URL");
    let management = Management::new(&SecretString::from(management)).unwrap();
    let vhost = format!("bench-{}", std::process::id());
    let (server, _) = url.rsplit_once('/').unwrap();
    let address: BrokerAddress = format!("{server}/{vhost}").parse().unwrap();
    Topology::new(&management, &address).await.unwrap().apply().await.unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let options = RabbitOptions { address, name: "bench".to_owned(), clock, entropy };
    let queue = Arc::new(RabbitQueue::connect(options).await.unwrap());

    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(throughput(&queue).await);
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, cpu) = rates[ROUNDS / 2];
    println!("published, delivered, acknowledged: {rate:.0}/s, {cpu:.1} µs of our CPU a message");
    for (rate, cpu) in rates {
        println!("  {rate:.0}/s, {cpu:.1} µs");
    }
    let mut late = latencies(&queue).await;
    late.sort_unstable();
    let at = |share: f64| late[(late.len() as f64 * share) as usize] as f64 / 1_000.0;
    println!("from publish to delivered, alone: p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    queue.close().await;
    management.delete(&["vhosts", &vhost]).await.unwrap();
}

/// Messages a second, and microseconds of this process's CPU for each.
async fn throughput(queue: &Arc<RabbitQueue>) -> (f64, f64) {
    let tasks = TaskTracker::new();
    let refused = Arc::new(AtomicU64::new(0));
    let (started, cpu) = (Instant::now(), cpu_seconds());
    for publisher in 0..PUBLISHERS {
        let (queue, refused) = (queue.clone(), refused.clone());
        tasks.spawn(async move {
            let share = MESSAGES / PUBLISHERS;
            let mut number = 0;
            let mut batch: Vec<Envelope> = Vec::new();
            while number < share || !batch.is_empty() {
                while number < share && (batch.len() as u64) < BATCH {
                    batch.push(message(STEP, u128::from(publisher * share + number)));
                    number += 1;
                }
                let outcomes = queue.publish(batch.clone()).await.unwrap();
                let mut outcomes = outcomes.into_iter();
                batch.retain(|_| outcomes.next() != Some(Published::Confirmed));
                refused.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
        });
    }
    let mut consumer = queue.consume(STEP, SLOTS).await.unwrap();
    let mut taken = 0;
    while taken < MESSAGES {
        let delivery = consumer.next().await.unwrap();
        taken += 1;
        tasks.spawn(async move { delivery.ack().await.unwrap() });
    }
    tasks.close();
    tasks.wait().await;
    let seconds = started.elapsed().as_secs_f64();
    let refused = refused.load(Ordering::Relaxed);
    if refused > 0 {
        println!("  ({refused} refused by a full queue and sent again)");
    }
    (MESSAGES as f64 / seconds, (cpu_seconds() - cpu) * 1e6 / MESSAGES as f64)
}

/// Microseconds from the call to the delivery, one message at a time.
async fn latencies(queue: &Arc<RabbitQueue>) -> Vec<u64> {
    let mut consumer = queue.consume(STEP, 16).await.unwrap();
    let mut late = Vec::new();
    for number in 0..SINGLES {
        let started = Instant::now();
        let delivered = async {
            let delivery = consumer.next().await.unwrap();
            let waited = started.elapsed();
            delivery.ack().await.unwrap();
            waited
        };
        let published = queue.publish(vec![message(STEP, u128::from(number))]);
        let (waited, published) = tokio::join!(delivered, published);
        assert_eq!(published.unwrap(), [Published::Confirmed]);
        late.push(u64::try_from(waited.as_micros()).unwrap());
    }
    late
}

/// Processor time of this process; Linux counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let user: f64 = fields.nth(11).unwrap().parse().unwrap();
    let system: f64 = fields.next().unwrap().parse().unwrap();
    (user + system) / 100.0
}
