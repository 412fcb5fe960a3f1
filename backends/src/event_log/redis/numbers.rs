//! What this process knows of the numbers that were given, so that a log that has lost
//! some (Redis was restored, flushed or away) never gives them a second time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use quaestor_core::events::EventId;
use quaestor_core::ids::{JobId, WorkspaceId};

/// Jobs that are remembered: between this many and twice as many, the latest ones. More
/// than a process writes to at once.
const REMEMBERED: usize = 8_192;

type Key = (WorkspaceId, JobId);

/// The last number of each job that this process writes to. Bounded: when the young half
/// is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
pub(super) struct Numbers {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: HashMap<Key, EventId>,
    old: HashMap<Key, EventId>,
}

impl Numbers {
    /// The last number that is known of a job.
    pub(super) fn last(&self, key: Key) -> Option<EventId> {
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.get(&key).or_else(|| halves.old.get(&key)).copied()
    }

    /// Remembers that a number was given.
    pub(super) fn given(&self, key: Key, last: EventId) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.remember(key, last);
    }

    /// Remembers that events may have been lost on the way: their numbers are not given
    /// to others, so that a watcher sees that something is missing.
    pub(super) fn lost(&self, key: Key, attempt: u32, events: usize) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = halves.young.get(&key).or_else(|| halves.old.get(&key)).copied();
        let seq = match known {
            Some(known) if known.attempt > attempt => return,
            Some(known) if known.attempt == attempt => known.seq,
            _ => 0,
        };
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        halves.remember(key, EventId { attempt, seq: seq.saturating_add(events) });
    }

    /// Nothing follows that this process would write.
    pub(super) fn forget(&self, key: Key) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.remove(&key);
        halves.old.remove(&key);
    }
}

impl Halves {
    fn remember(&mut self, key: Key, last: EventId) {
        if self.young.len() >= REMEMBERED && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, last);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> Key {
        (WorkspaceId(Uuid::from_u128(1)), JobId(Uuid::from_u128(number)))
    }

    #[test]
    fn lost_events_keep_their_numbers() {
        let numbers = Numbers::default();
        numbers.lost(key(1), 1, 2);
        assert_eq!(numbers.last(key(1)), Some(EventId { attempt: 1, seq: 2 }));
        numbers.given(key(1), EventId { attempt: 1, seq: 3 });
        numbers.lost(key(1), 1, 1);
        assert_eq!(numbers.last(key(1)), Some(EventId { attempt: 1, seq: 4 }));
        numbers.forget(key(1));
        assert_eq!(numbers.last(key(1)), None);
    }

    #[test]
    fn the_latest_jobs_are_remembered_and_no_more() {
        let numbers = Numbers::default();
        for number in 0..100_000 {
            numbers.given(key(number), EventId::FIRST);
        }
        assert_eq!(numbers.last(key(99_999)), Some(EventId::FIRST));
        assert_eq!(numbers.last(key(1)), None);
        let halves = numbers.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * REMEMBERED);
    }
}
