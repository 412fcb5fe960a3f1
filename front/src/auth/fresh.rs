//! A bounded memory of things that are true for a moment.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quaestor_core::clock::Time;

/// Values that are forgotten after a while, at most so many.
pub(crate) struct Fresh<K, V> {
    capacity: usize,
    entries: Mutex<HashMap<K, (V, Time)>>,
}

impl<K: Hash + Eq, V: Clone> Fresh<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::new(HashMap::new()) }
    }

    /// What is known, unless it is too old.
    pub(crate) fn get(&self, key: &K, now: Time) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(_, until)| *until > now).map(|(value, _)| value.clone())
    }

    /// Remembers a value for a while.
    pub(crate) fn put(&self, key: K, value: V, now: Time, keep: Duration) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity {
            entries.retain(|_, (_, until)| *until > now);
            // All are fresh: forgetting all costs one more question each.
            if entries.len() >= self.capacity {
                entries.clear();
            }
        }
        entries.insert(key, (value, now + keep));
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_forgotten_in_time_and_never_above_the_bound() {
        let fresh = Fresh::new(2);
        let now = Time::from_timestamp_millis(1_000).unwrap();
        let second = Duration::from_secs(1);
        fresh.put(1, 'a', now, second);
        assert_eq!(fresh.get(&1, now), Some('a'));
        assert_eq!(fresh.get(&1, now + second), None);
        fresh.put(2, 'b', now, second);
        fresh.put(3, 'c', now, second);
        assert_eq!(fresh.get(&3, now), Some('c'));
        assert!(fresh.entries.lock().unwrap().len() <= 2);
    }
}
