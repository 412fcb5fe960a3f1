//! What every queue must do.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, PrincipalId, WorkspaceId};
use quaestor_core::jobs::{ENVELOPE_VERSION, Envelope, Step};
use quaestor_core::ports::queue::{Consumer, Published, Queue};
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives an empty
/// queue for at least a hundred messages, as anything that is a `Queue`.
#[macro_export]
macro_rules! queue_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            queue,
            {$($factory)+},
            [
                a_confirmed_message_is_delivered_as_it_was,
                each_step_has_a_queue_of_its_own,
                an_acked_message_is_gone,
                a_message_given_back_comes_again_and_says_so,
                a_dropped_delivery_comes_again,
                no_more_than_the_slots_are_unsettled,
                the_depth_counts_what_is_taken_or_does_not_tell_it,
                a_wait_that_is_dropped_loses_nothing,
                two_consumers_share_the_messages,
                a_dropped_consumer_leaves_its_deliveries_valid,
            ]
        );
    };
}

/// A message of a step, told apart by `number`.
#[must_use]
pub fn message(step: Step, number: u128) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        outbox_id: OutboxId(Uuid::from_u128(number)),
        job_id: JobId(Uuid::from_u128(number)),
        step,
        workspace_id: WorkspaceId(Uuid::from_u128(1)),
        principal_id: PrincipalId(Uuid::from_u128(2)),
        payload: serde_json::json!({"number": number.to_string()}),
        traceparent: None,
        enqueued_at: Time::UNIX_EPOCH,
        deadline: None,
    }
}

async fn publish(queue: &dyn Queue, step: Step, numbers: std::ops::Range<u128>) {
    let messages: Vec<Envelope> = numbers.map(|number| message(step, number)).collect();
    let wanted = vec![Published::Confirmed; messages.len()];
    assert_eq!(queue.publish(messages).await.unwrap(), wanted);
}

/// The number of the next message, which is acked.
async fn next_acked(consumer: &mut Box<dyn Consumer>) -> u128 {
    let delivery = consumer.next().await.unwrap();
    let number = delivery.envelope.outbox_id.0.as_u128();
    delivery.ack().await.unwrap();
    number
}

/// Case.
pub async fn a_confirmed_message_is_delivered_as_it_was(queue: &dyn Queue) {
    let sent = message(Step::ChatRetrieve, 7);
    assert_eq!(queue.publish(vec![sent.clone()]).await.unwrap(), [Published::Confirmed]);
    let mut consumer = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    assert_eq!(delivery.envelope, sent);
    assert!(!delivery.redelivered);
    delivery.ack().await.unwrap();
}

/// Case.
pub async fn each_step_has_a_queue_of_its_own(queue: &dyn Queue) {
    for (number, step) in Step::ALL.into_iter().enumerate() {
        publish(queue, step, number as u128..number as u128 + 1).await;
    }
    for (number, step) in Step::ALL.into_iter().enumerate() {
        let mut consumer = queue.consume(step, 1).await.unwrap();
        assert_eq!(next_acked(&mut consumer).await, number as u128);
    }
}

/// Case.
pub async fn an_acked_message_is_gone(queue: &dyn Queue) {
    publish(queue, Step::ChatGenerate, 0..2).await;
    let mut consumer = queue.consume(Step::ChatGenerate, 2).await.unwrap();
    let mut seen = vec![next_acked(&mut consumer).await, next_acked(&mut consumer).await];
    seen.sort_unstable();
    assert_eq!(seen, [0, 1]);
    drop(consumer);
    publish(queue, Step::ChatGenerate, 2..3).await;
    let mut consumer = queue.consume(Step::ChatGenerate, 2).await.unwrap();
    assert_eq!(next_acked(&mut consumer).await, 2, "only the new message is there");
}

/// Case.
pub async fn a_message_given_back_comes_again_and_says_so(queue: &dyn Queue) {
    publish(queue, Step::DocumentsIngest, 0..1).await;
    let mut consumer = queue.consume(Step::DocumentsIngest, 1).await.unwrap();
    consumer.next().await.unwrap().give_back().await.unwrap();
    let again = consumer.next().await.unwrap();
    assert!(again.redelivered);
    again.ack().await.unwrap();
}

/// Case.
pub async fn a_dropped_delivery_comes_again(queue: &dyn Queue) {
    publish(queue, Step::DocumentsIngest, 0..1).await;
    let mut consumer = queue.consume(Step::DocumentsIngest, 1).await.unwrap();
    drop(consumer.next().await.unwrap());
    let again = consumer.next().await.unwrap();
    assert!(again.redelivered);
    again.ack().await.unwrap();
}

/// Case.
pub async fn no_more_than_the_slots_are_unsettled(queue: &dyn Queue) {
    publish(queue, Step::DocumentsEmbed, 0..3).await;
    let mut consumer = queue.consume(Step::DocumentsEmbed, 2).await.unwrap();
    let first = consumer.next().await.unwrap();
    let second = consumer.next().await.unwrap();
    {
        let mut third = consumer.next();
        let polled = futures::poll!(&mut third);
        assert!(polled.is_pending(), "a third message came with two slots");
        // The waiting call itself must see the slot become free.
        first.ack().await.unwrap();
        third.await.unwrap().ack().await.unwrap();
    }
    second.ack().await.unwrap();
}

/// Case.
pub async fn the_depth_counts_what_is_taken_or_does_not_tell_it(queue: &dyn Queue) {
    publish(queue, Step::DocumentsEmbed, 0..3).await;
    let before = queue.depth(Step::DocumentsEmbed).await.unwrap();
    assert_eq!(before.ready, 3);
    assert!(matches!(before.unsettled, None | Some(0)), "{before:?}");
    let mut consumer = queue.consume(Step::DocumentsEmbed, 1).await.unwrap();
    let taken = consumer.next().await.unwrap();
    let during = queue.depth(Step::DocumentsEmbed).await.unwrap();
    assert_eq!(during.ready, 2);
    assert!(matches!(during.unsettled, None | Some(1)), "{during:?}");
    assert_eq!(during.unsettled.is_some(), before.unsettled.is_some(), "it tells always or never");
    taken.ack().await.unwrap();
    drop(consumer);
}

/// Case.
pub async fn a_wait_that_is_dropped_loses_nothing(queue: &dyn Queue) {
    let mut consumer = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    for number in 0..20 {
        {
            let mut waiting = consumer.next();
            assert!(futures::poll!(&mut waiting).is_pending());
            publish(queue, Step::ChatRetrieve, number..number + 1).await;
        }
        assert_eq!(next_acked(&mut consumer).await, number);
    }
}

/// Case.
pub async fn two_consumers_share_the_messages(queue: &dyn Queue) {
    let mut one = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    let mut other = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    let (first, second, ()) =
        tokio::join!(one.next(), other.next(), publish(queue, Step::ChatRetrieve, 0..2));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.envelope.outbox_id, second.envelope.outbox_id);
    first.ack().await.unwrap();
    second.ack().await.unwrap();
}

/// Case.
pub async fn a_dropped_consumer_leaves_its_deliveries_valid(queue: &dyn Queue) {
    publish(queue, Step::ChatRetrieve, 0..1).await;
    let mut consumer = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    drop(consumer);
    // A backend may have given it back already; at least it is not lost.
    let _ = delivery.give_back().await;
    let mut consumer = queue.consume(Step::ChatRetrieve, 1).await.unwrap();
    assert_eq!(next_acked(&mut consumer).await, 0);
}
