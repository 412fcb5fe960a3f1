//! What goes wrong while messages flow loses none and invents none.

use std::collections::BTreeSet;
use std::time::Duration;

use quaestor_backends::queue::rabbitmq::management::ManagementError;
use quaestor_backends::queue::rabbitmq::topology::{DEAD_QUEUE, queue_of};
use quaestor_contracts::queue::message;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::ports::queue::{Depth, Published, Queue};
use serde_json::{Value, json};

use super::{Broker, Place, Vhost};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test when `what` takes too long.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::select! {
        done = what => done,
        () = SystemClock.sleep(PATIENCE) => panic!("it took too long"),
    }
}

fn messages(step: Step, numbers: std::ops::Range<u128>) -> Vec<Envelope> {
    numbers.map(|number| message(step, number)).collect()
}

/// Takes until `wanted` different messages are seen. A second copy is acknowledged and
/// counts for nothing, as the claim in the store would have it.
async fn claimed(place: &Place, step: Step, wanted: usize) -> BTreeSet<u128> {
    let mut consumer = place.consume(step, 16).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < wanted {
        let delivery = consumer.next().await.unwrap();
        seen.insert(delivery.envelope.outbox_id.0.as_u128());
        // Lost with its connection, the message comes again.
        let _ = delivery.ack().await;
    }
    seen
}

/// Publishes as the relay does: what is not confirmed is sent again.
async fn relayed(place: &Place, mut unsent: Vec<Envelope>) {
    while !unsent.is_empty() {
        let window: Vec<Envelope> = unsent.iter().take(50).cloned().collect();
        match place.publish(window).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                unsent.retain(|_| outcomes.next() != Some(Published::Confirmed));
            }
            Err(_) => SystemClock.sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Has the broker close every connection of the virtual host. Gives how many. The broker
/// answers 500 for one that is just being closed: that one is not counted.
async fn cut_connections(vhost: &Vhost) -> usize {
    let path = ["vhosts", &vhost.name, "connections"];
    let open: Vec<Value> = vhost.management.get(&path).await.unwrap().unwrap_or_default();
    let mut cut = 0;
    for connection in &open {
        let name = connection["name"].as_str().unwrap();
        match vhost.management.delete(&["connections", name]).await {
            Ok(()) => cut += 1,
            Err(ManagementError::Answered { status, .. }) if status == 500 => {}
            Err(error) => panic!("{error}"),
        }
    }
    cut
}

#[tokio::test]
async fn connections_that_the_broker_closes_lose_and_double_nothing() {
    const MESSAGES: u128 = 2_000;
    for broker in Broker::BOTH {
        let place = Place::on(broker).await;
        let sent = relayed(&place, messages(Step::ChatRetrieve, 0..MESSAGES));
        let taken = claimed(&place, Step::ChatRetrieve, MESSAGES as usize);
        let cuts = async {
            let mut cut = 0;
            while cut < 6 {
                cut += cut_connections(&place.vhost).await;
            }
        };
        let ((), taken, ()) = in_time(async { tokio::join!(sent, taken, cuts) }).await;
        assert_eq!(taken, (0..MESSAGES).collect(), "{broker:?}");
    }
}

#[tokio::test]
async fn a_delivery_of_a_lost_connection_cannot_be_settled_and_comes_again() {
    let place = Place::on(Broker::New).await;
    place.publish(messages(Step::ChatGenerate, 0..1)).await.unwrap();
    let mut consumer = place.consume(Step::ChatGenerate, 1).await.unwrap();
    let old = consumer.next().await.unwrap();
    in_time(async { while cut_connections(&place.vhost).await == 0 {} }).await;
    let again = in_time(consumer.next()).await.unwrap();
    assert!(again.redelivered);
    assert!(old.ack().await.is_err(), "it was acknowledged over a connection that is gone");
    again.ack().await.unwrap();
}

#[tokio::test]
async fn messages_without_a_queue_are_told_one_by_one_and_go_once_it_is_there() {
    for broker in Broker::BOTH {
        let place = Place::on(broker).await;
        let queue = queue_of(Step::ChatGenerate);
        let path = ["queues", &place.vhost.name, queue];
        place.vhost.management.delete(&path).await.unwrap();
        let mixed: Vec<Envelope> = (0..300)
            .map(|number| match number % 3 {
                0 => message(Step::ChatGenerate, number),
                _ => message(Step::ChatRetrieve, number),
            })
            .collect();
        let outcomes = place.publish(mixed.clone()).await.unwrap();
        for (message, outcome) in mixed.iter().zip(outcomes) {
            let wanted = match message.step {
                Step::ChatGenerate => Published::Unroutable,
                _ => Published::Confirmed,
            };
            assert_eq!(outcome, wanted, "{broker:?} {}", message.outbox_id);
        }
        let error = place.ping().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(queue) && cause.contains("topology apply"), "{cause}");
        place.vhost.apply().await;
        place.ping().await.unwrap();
        let again = messages(Step::ChatGenerate, 0..1);
        assert_eq!(place.publish(again).await.unwrap(), [Published::Confirmed]);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_keeps_what_it_confirmed() {
    for broker in Broker::BOTH {
        let place = Place::on(broker).await;
        let policy = json!({
            "pattern": "^qs\\.chat\\.", "apply-to": "queues", "priority": 9,
            "definition": {"max-length": 10, "overflow": "reject-publish"},
        });
        let path = ["policies", &place.vhost.name, "tiny"];
        place.vhost.management.put(&path, &policy).await.unwrap();
        let mut confirmed = BTreeSet::new();
        let mut full = 0;
        let mut number = 0;
        // A policy takes a moment to reach the queue.
        while full < 20 && number < 5_000 {
            let window = messages(Step::ChatRetrieve, number..number + 20);
            number += 20;
            for (message, outcome) in
                window.clone().iter().zip(place.publish(window).await.unwrap())
            {
                match outcome {
                    Published::Confirmed => {
                        confirmed.insert(message.outbox_id.0.as_u128());
                    }
                    Published::Full => full += 1,
                    other => panic!("{broker:?} {other:?}"),
                }
            }
        }
        assert!(full >= 20, "{broker:?} was never full");
        let waiting = place.depth(Step::ChatRetrieve).await.unwrap();
        assert_eq!(waiting, Depth { ready: confirmed.len() as u64, unsettled: None });
        let taken = in_time(claimed(&place, Step::ChatRetrieve, confirmed.len())).await;
        assert_eq!(taken, confirmed, "{broker:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_letters_and_holds_nothing_up() {
    for broker in Broker::BOTH {
        let place = Place::on(broker).await;
        let vhost = &place.vhost;
        for payload in ["not JSON", "{\"v\":1,\"step\":\"chat.unknown\"}"] {
            let stray = json!({
                "properties": {}, "routing_key": "chat.retrieve",
                "payload": payload, "payload_encoding": "string",
            });
            let path = ["exchanges", &vhost.name, "qs.jobs.v1", "publish"];
            vhost.management.post(&path, &stray).await.unwrap();
        }
        let mut consumer = place.consume(Step::ChatRetrieve, 1).await.unwrap();
        place.publish(messages(Step::ChatRetrieve, 7..8)).await.unwrap();
        let delivery = in_time(consumer.next()).await.unwrap();
        assert_eq!(delivery.envelope.outbox_id.0.as_u128(), 7);
        delivery.ack().await.unwrap();
        let buried = async {
            let path = ["queues", &vhost.name, DEAD_QUEUE, "get"];
            let look = json!({"count": 9, "ackmode": "reject_requeue_true", "encoding": "auto"});
            loop {
                let found: Vec<Value> = vhost.management.ask_for(&path, &look).await.unwrap();
                if found.len() == 2 {
                    return found;
                }
            }
        };
        for message in in_time(buried).await {
            assert_eq!(message["routing_key"], "chat.retrieve", "{broker:?}");
        }
        // They are taken one by one, with their story; one that is not settled stays.
        in_time(async { while place.dead_depth().await.unwrap() < 2 {} }).await;
        let left = place.take_dead().await.unwrap().unwrap();
        assert_eq!((left.queue.as_str(), left.step), (queue_of(left.step.unwrap()), left.step));
        assert_eq!((left.reason.as_str(), left.count), ("rejected", 1));
        assert!(left.at.is_some() && left.body == b"not JSON", "{left:?}");
        left.settle.give_back().await.unwrap();
        let mut bodies = BTreeSet::new();
        while bodies.len() < 2 {
            // What was given back may take a moment to be there again.
            if let Some(dead) = in_time(place.take_dead()).await.unwrap() {
                bodies.insert(dead.body);
                dead.settle.ack().await.unwrap();
            }
        }
        assert!(place.take_dead().await.unwrap().is_none());
    }
}

/// F46: 20 MB among good messages. The newest broker refuses it itself unless it is told not to.
#[tokio::test]
async fn a_message_of_many_megabytes_is_given_up_alone() {
    const SIZE: usize = 20_000_000;
    let place = Place::on(Broker::Old).await;
    let options = lapin::ConnectionProperties::default();
    let url = place.vhost.url();
    let stranger = lapin::Connection::connect(&url, options).await.unwrap();
    let channel = stranger.create_channel().await.unwrap();
    channel
        .basic_publish(
            "qs.jobs.v1".into(),
            "chat.retrieve".into(),
            lapin::options::BasicPublishOptions::default(),
            &vec![b'7'; SIZE],
            lapin::BasicProperties::default(),
        )
        .await
        .unwrap();
    relayed(&place, messages(Step::ChatRetrieve, 0..50)).await;
    let taken = in_time(claimed(&place, Step::ChatRetrieve, 50)).await;
    assert_eq!(taken.len(), 50);
    let dead = in_time(async {
        loop {
            if let Some(dead) = place.take_dead().await.unwrap() {
                return dead;
            }
        }
    })
    .await;
    assert_eq!(dead.body.len(), SIZE);
    dead.settle.ack().await.unwrap();
    assert_eq!(place.dead_depth().await.unwrap(), 0, "its neighbours were not given up");
}

#[tokio::test]
async fn a_consumer_outlives_its_queue() {
    let place = Place::on(Broker::New).await;
    let mut consumer = place.consume(Step::DocumentsEmbed, 4).await.unwrap();
    let path = ["queues", &place.vhost.name, queue_of(Step::DocumentsEmbed)];
    place.vhost.management.delete(&path).await.unwrap();
    let revived = async {
        place.vhost.apply().await;
        relayed(&place, messages(Step::DocumentsEmbed, 0..1)).await;
    };
    let (delivery, ()) = in_time(async { tokio::join!(consumer.next(), revived) }).await;
    delivery.unwrap().ack().await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_consumer_had_been_sent_ahead_goes_to_the_next() {
    let place = Place::on(Broker::Old).await;
    place.publish(messages(Step::ChatRetrieve, 0..30)).await.unwrap();
    let mut first = place.consume(Step::ChatRetrieve, 20).await.unwrap();
    let running = in_time(first.next()).await.unwrap();
    drop(first);
    let rest = in_time(claimed(&place, Step::ChatRetrieve, 29)).await;
    assert!(!rest.contains(&running.envelope.outbox_id.0.as_u128()));
    // The consumer is gone, and its running message is settled all the same.
    running.ack().await.unwrap();
    let left = place.depth(Step::ChatRetrieve).await.unwrap();
    assert_eq!(left.ready, 0);
}
