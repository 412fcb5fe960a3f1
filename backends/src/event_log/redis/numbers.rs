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

/// What is known of a job's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The last that was given.
    pub(super) last: EventId,
    /// Whether it is certain that this event stood in the log, and that it was not the end.
    pub(super) certain: bool,
}

/// The last number of each job that this process writes to. Bounded: when the young half
/// is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
pub(super) struct Numbers {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
}

impl Numbers {
    /// What is known of a job.
    pub(super) fn known(&self, key: Key) -> Option<Known> {
        let halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.get(&key).or_else(|| halves.old.get(&key)).copied()
    }

    /// Remembers that a number was given.
    pub(super) fn given(&self, key: Key, last: EventId) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.remember(key, Known { last, certain: true });
    }

    /// Remembers that events may have been lost on the way: their numbers are not given
    /// to others, so that a watcher sees that something is missing.
    pub(super) fn lost(&self, key: Key, attempt: u32, events: u64) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = halves.young.get(&key).or_else(|| halves.old.get(&key)).copied();
        let seq = match known {
            Some(known) if known.last.attempt > attempt => return,
            Some(known) if known.last.attempt == attempt => known.last.seq,
            _ => 0,
        };
        let last = EventId { attempt, seq: seq.saturating_add(events) };
        halves.remember(key, Known { last, certain: false });
    }

    /// Nothing follows that this process would write.
    pub(super) fn forget(&self, key: Key) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.young.remove(&key);
        halves.old.remove(&key);
    }
}

impl Halves {
    fn remember(&mut self, key: Key, known: Known) {
        if self.young.len() >= REMEMBERED && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
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
        let known = |seq, certain| Some(Known { last: EventId { attempt: 1, seq }, certain });
        assert_eq!(numbers.known(key(1)), known(2, false));
        numbers.given(key(1), EventId { attempt: 1, seq: 3 });
        assert_eq!(numbers.known(key(1)), known(3, true));
        numbers.lost(key(1), 1, 1);
        assert_eq!(numbers.known(key(1)), known(4, false));
        numbers.forget(key(1));
        assert_eq!(numbers.known(key(1)), None);
    }

    #[test]
    fn the_latest_jobs_are_remembered_and_no_more() {
        let numbers = Numbers::default();
        for number in 0..100_000 {
            numbers.given(key(number), EventId::FIRST);
        }
        assert_eq!(numbers.known(key(99_999)).map(|known| known.last), Some(EventId::FIRST));
        assert_eq!(numbers.known(key(1)), None);
        let halves = numbers.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 2 * REMEMBERED);
    }
}
