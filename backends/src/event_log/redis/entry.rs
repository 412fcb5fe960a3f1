//! Events as they stand in a stream and in an announcement, and what a watcher makes of
//! the next one.

use quaestor_core::events::{Event, EventId, NumberedEvent};
use redis::{FromRedisValue, Value};

/// An event, and the number that came before it in the job; none for the first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) before: Option<EventId>,
    pub(super) event: NumberedEvent,
}

/// The number before one, where nothing else is said.
fn before(id: EventId) -> Option<EventId> {
    match id.seq {
        0 => None,
        1 if id.attempt == 0 => None,
        seq => Some(EventId { attempt: id.attempt, seq: seq - 1 }),
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn number(value: &Value) -> Option<EventId> {
    std::str::from_utf8(bytes(value)?).ok()?.parse().ok()
}

/// The entries of an answer of `XRANGE`. None if it cannot be read.
pub(super) fn entries(answer: &Value) -> Option<Vec<Entry>> {
    let Value::Array(answer) = answer else { return None };
    answer.iter().map(entry).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let (id, fields) = parts(value)?;
    let mut entry = None;
    let mut jump = None;
    for field in fields.chunks_exact(2) {
        match bytes(&field[0])? {
            b"e" => entry = serde_json::from_slice::<Event>(bytes(&field[1])?).ok(),
            b"p" => jump = Some(number(&field[1])?),
            _ => {}
        }
    }
    Some(Entry { before: jump.or_else(|| before(id)), event: NumberedEvent { id, event: entry? } })
}

fn parts(value: &Value) -> Option<(EventId, &[Value])> {
    let Value::Array(parts) = value else { return None };
    let [id, Value::Array(fields)] = parts.as_slice() else { return None };
    Some((number(id)?, fields))
}

/// The last entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) id: EventId,
    /// Whether it is the terminal event.
    pub(super) ended: bool,
}

/// The answer of `XREVRANGE … COUNT 1`: none if the log is empty, an error if it cannot
/// be read.
pub(super) fn tail(answer: &Value) -> Result<Option<Tail>, ()> {
    let Value::Array(answer) = answer else { return Err(()) };
    let Some(last) = answer.first() else { return Ok(None) };
    let (id, fields) = parts(last).ok_or(())?;
    let ended = fields.len() >= 2 && bytes(&fields[fields.len() - 2]) == Some(b"t");
    Ok(Some(Tail { id, ended }))
}

/// What was announced: events, or only that there are some (none are given).
pub(super) fn announced(payload: &Value) -> Option<Vec<Entry>> {
    let text = String::from_redis_value_ref(payload).ok()?;
    let (head, events) = text.split_once('\n')?;
    let (jump, first) = head.split_once(' ')?;
    let mut id: EventId = first.parse().ok()?;
    let mut before = if jump.is_empty() { None } else { Some(jump.parse().ok()?) };
    let mut entries = Vec::new();
    for event in events.split('\n') {
        let event = serde_json::from_str(event).ok()?;
        entries.push(Entry { before, event: NumberedEvent { id, event } });
        before = Some(id);
        id.seq += 1;
    }
    Some(entries)
}

/// What an entry is to a watcher.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has it already.
    Seen,
    /// It is the next.
    Next,
    /// There were others before it.
    Later,
}

impl Entry {
    pub(super) fn place(&self, after: Option<EventId>) -> Place {
        if after.is_some_and(|after| self.event.id <= after) {
            Place::Seen
        } else if self.before.is_some_and(|before| after.is_none_or(|after| after < before)) {
            Place::Later
        } else {
            Place::Next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EventId {
        text.parse().unwrap()
    }

    fn announced_entries(text: &str) -> Option<Vec<Entry>> {
        announced(&Value::BulkString(text.as_bytes().to_vec()))
    }

    #[test]
    fn an_announcement_carries_its_events_and_what_came_before() {
        let text = "1-7 2-1\n{\"kind\":\"queued\"}\n{\"kind\":\"cancelled\"}";
        let entries = announced_entries(text).unwrap();
        assert_eq!(entries[0].before, Some(id("1-7")));
        assert_eq!(entries[0].event.id, id("2-1"));
        assert_eq!(entries[1].before, Some(id("2-1")));
        assert_eq!(entries[1].event.event, Event::Cancelled);
        assert_eq!(announced_entries(" 0-1\n{\"kind\":\"queued\"}").unwrap()[0].before, None);
        assert_eq!(announced_entries("1-7 2-1"), None, "a mere announcement");
        assert_eq!(announced_entries("\u{0}"), None);
    }

    #[test]
    fn a_place_tells_what_was_missed() {
        let entry = |before: Option<&str>, number: &str| Entry {
            before: before.map(id),
            event: NumberedEvent { id: id(number), event: Event::Queued },
        };
        for (before, number, after, wanted) in [
            (None, "0-1", None, Place::Next),
            (Some("0-1"), "1-1", None, Place::Later),
            (Some("0-1"), "1-1", Some("0-1"), Place::Next),
            (Some("1-4"), "1-5", Some("1-3"), Place::Later),
            (Some("1-4"), "1-5", Some("1-5"), Place::Seen),
            (Some("1-4"), "2-1", Some("1-9"), Place::Next),
        ] {
            assert_eq!(entry(before, number).place(after.map(id)), wanted, "{number} {after:?}");
        }
    }
}
