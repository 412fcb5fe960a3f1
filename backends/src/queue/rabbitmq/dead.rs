//! Messages that the broker gave up: read one by one, and removed once they are kept.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::DateTime;
use lapin::message::Delivery as Received;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use quaestor_core::clock::Time;
use quaestor_core::jobs::Step;
use quaestor_core::ports::queue::{DeadDelivery, QueueError, Settle};

use super::error::{BrokerError, meaning};
use super::link::{Live, Surroundings};
use super::topology::{DEAD_QUEUE, queue_of};

/// How long the broker may take for one message.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);
/// Headers that are kept of a message, and characters of each.
const MOST_HEADERS: usize = 32;
const MOST_CHARS: usize = 500;
/// AMQP's number for a channel that is closed because it is done with.
const DONE: u16 = 200;

/// The oldest message of the dead queue, if there is one.
pub(super) async fn take(
    live: &Live,
    around: &Surroundings,
) -> Result<Option<DeadDelivery>, BrokerError> {
    let channel = live.channel(around).await?;
    let got = tokio::select! {
        got = channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions::default()) => got,
        () = around.clock.sleep(ANSWER) => {
            let address = around.address.clone();
            return Err(BrokerError::Silent { address, what: "a message of the dead queue" });
        }
    };
    let got = got.map_err(|error| meaning(&around.address, error))?;
    Ok(got.map(|got| delivery(got.delivery, channel)))
}

fn delivery(received: Received, channel: Channel) -> DeadDelivery {
    let Received { delivery_tag: tag, routing_key, properties, data, .. } = received;
    let death = Death::of(properties.headers().as_ref());
    let queue = death.queue.unwrap_or_else(|| DEAD_QUEUE.to_owned());
    let of_queue = Step::ALL.into_iter().find(|step| queue_of(*step) == queue);
    DeadDelivery {
        step: of_queue.or_else(|| routing_key.as_str().parse().ok()),
        queue,
        // One that somebody has put here himself has no story.
        reason: death.reason.unwrap_or_else(|| "published".to_owned()),
        count: death.count,
        at: death.at,
        sent_at: properties.timestamp().as_ref().and_then(|seconds| moment(*seconds)),
        headers: headers(&properties),
        body: data,
        settle: Box::new(Got { channel, tag }),
    }
}

/// What the broker tells of a message's first death, in the header `x-death`
/// (<https://www.rabbitmq.com/docs/dlx#effects>).
#[derive(Debug, Default)]
struct Death {
    queue: Option<String>,
    reason: Option<String>,
    count: u32,
    at: Option<Time>,
}

impl Death {
    fn of(headers: Option<&FieldTable>) -> Self {
        let mut death = Self { count: 1, ..Self::default() };
        // The oldest death stands last.
        let Some(AMQPValue::FieldArray(deaths)) = headers.and_then(|h| h.inner().get("x-death"))
        else {
            return death;
        };
        let Some(AMQPValue::FieldTable(first)) = deaths.as_slice().last() else { return death };
        for (name, value) in first.inner() {
            match (name.as_str(), value) {
                ("queue", value) => death.queue = shown(value),
                ("reason", value) => death.reason = shown(value),
                ("count", AMQPValue::LongLongInt(count)) => {
                    death.count = u32::try_from(*count).unwrap_or(u32::MAX);
                }
                ("time", AMQPValue::Timestamp(seconds)) => death.at = moment(*seconds),
                _ => {}
            }
        }
        death
    }
}

fn moment(seconds: u64) -> Option<Time> {
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}

/// Properties and headers as text. Tables and lists are left out: the broker's own story is
/// told by [`Death`].
fn headers(properties: &BasicProperties) -> BTreeMap<String, String> {
    let named = [
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("content_type", properties.content_type()),
        ("app_id", properties.app_id()),
        ("correlation_id", properties.correlation_id()),
    ];
    let mut headers: BTreeMap<String, String> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), bounded(value.as_ref()?.as_str()))))
        .collect();
    let custom = properties.headers().iter().flat_map(|table| table.inner());
    for (name, value) in custom {
        if headers.len() >= MOST_HEADERS {
            break;
        }
        if let Some(value) = shown(value) {
            headers.insert(bounded(name.as_str()), bounded(&value));
        }
    }
    headers
}

fn shown(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::ShortString(value) => value.as_str().to_owned(),
        AMQPValue::LongString(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        _ => return None,
    })
}

fn bounded(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

/// A message that was got. Dropped, its channel ends and the queue has it back.
#[derive(Debug)]
struct Got {
    channel: Channel,
    tag: u64,
}

#[async_trait]
impl Settle for Got {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let settled = async {
            self.channel.basic_ack(self.tag, BasicAckOptions::default()).await?;
            // Answered once the broker has done what came before.
            self.channel.close(DONE, "kept".into()).await
        };
        settled.await.map_err(failed)
    }

    async fn give_back(self: Box<Self>) -> Result<(), QueueError> {
        self.channel.close(DONE, "left".into()).await.map_err(failed)
    }
}

fn failed(source: lapin::Error) -> QueueError {
    QueueError {
        action: "settle a message of",
        queue: DEAD_QUEUE.to_owned(),
        source: Box::new(source),
    }
}
