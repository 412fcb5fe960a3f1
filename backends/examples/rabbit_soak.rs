//! Does the queue lose or invent anything while somebody else stops and starts the broker?
//!
//! Publishes and takes messages for the given number of seconds and prints what happens
//! in each. Needs QUAESTOR_QUEUE_URL, with the topology there.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::{RabbitOptions, RabbitQueue};
use quaestor_contracts::queue::message;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::jobs::Step;
use quaestor_core::ports::queue::{Published, Queue};

const STEP: Step = Step::ChatRetrieve;

#[tokio::main]
async fn main() {
    let seconds: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let address = std::env::var("QUAESTOR_QUEUE_URL").expect("QUAESTOR_QUEUE_URL").parse().unwrap();
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let options = RabbitOptions { address, name: "soak".to_owned(), clock, entropy };
    let queue = RabbitQueue::connect(options).await.unwrap();
    let mut consumer = queue.consume(STEP, 64).await.unwrap();
    let started = Instant::now();
    let (mut made, mut confirmed, mut copies) = (0_u128, 0_u64, 0_u64);
    let mut unsent = Vec::new();
    let mut taken = BTreeSet::new();
    let mut lines = 0;
    loop {
        let making = started.elapsed() < Duration::from_secs(seconds);
        if !making && unsent.is_empty() && taken.len() as u128 == made {
            break;
        }
        if making {
            unsent.extend((0..20).map(|number| message(STEP, made + number)));
            made += 20;
        }
        let window: Vec<_> = unsent.iter().take(256).cloned().collect();
        let asked = Instant::now();
        let outcome = match queue.publish(window).await {
            Ok(outcomes) => {
                let mut word = "confirmed";
                let mut outcomes = outcomes.into_iter();
                unsent.retain(|_| match outcomes.next() {
                    Some(Published::Confirmed) => {
                        confirmed += 1;
                        false
                    }
                    Some(other) => {
                        word = other.as_str();
                        true
                    }
                    None => true,
                });
                word
            }
            Err(_) => "error",
        };
        let waited = asked.elapsed();
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {
            tokio::select! {
                delivery = consumer.next() => {
                    let delivery = delivery.unwrap();
                    copies += u64::from(!taken.insert(delivery.envelope.outbox_id.0.as_u128()));
                    let _ = delivery.ack().await;
                }
                () = SystemClock.sleep(until - Instant::now()) => {}
            }
        }
        let second = started.elapsed().as_secs();
        if second >= lines {
            lines = second + 1;
            println!(
                "{second} s: {outcome} after {} ms; made {made}, unsent {}, taken {}, copies {copies}",
                waited.as_millis(),
                unsent.len(),
                taken.len()
            );
        }
    }
    println!("made {made}, confirmed {confirmed}, taken {}, second copies {copies}", taken.len());
    queue.close().await;
}
