//! A message as it travels: the envelope as JSON, and what the broker's tools show of it.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use quaestor_core::clock::Time;
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::Envelope;

/// AMQP's number for a message that outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message ready to be published.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) id: OutboxId,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Outgoing {
    pub(super) fn of(envelope: &Envelope) -> Result<Self, serde_json::Error> {
        let mut headers = FieldTable::default();
        if let Some(traceparent) = &envelope.traceparent {
            headers.insert("traceparent".into(), text(traceparent.as_str()));
        }
        headers.insert("qs-enqueued-at".into(), text(shown(envelope.enqueued_at)));
        if let Some(deadline) = envelope.deadline {
            headers.insert("qs-deadline".into(), text(shown(deadline)));
        }
        let properties = BasicProperties::default()
            .with_message_id(envelope.outbox_id.to_string().into())
            .with_type(envelope.step.as_str().into())
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_timestamp(u64::try_from(envelope.enqueued_at.timestamp()).unwrap_or(0))
            .with_headers(headers);
        Ok(Self {
            id: envelope.outbox_id,
            routing_key: envelope.step.as_str().into(),
            properties,
            body: serde_json::to_vec(envelope)?,
        })
    }
}

/// The outbox row of a message that came back, where it says one.
pub(super) fn id_of(properties: &BasicProperties) -> Option<OutboxId> {
    let id = properties.message_id().as_ref()?.as_str().parse().ok()?;
    Some(OutboxId(id))
}

fn text(value: impl Into<Vec<u8>>) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.into()))
}

fn shown(time: Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
