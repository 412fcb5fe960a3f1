//! Values kept in this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::clock::{Clock, Time};
use quaestor_core::ports::cache::{Cache, LONGEST_VALUE};

/// Bytes of keys and values that are kept at most. At the limit, what would end first
/// makes room.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A cache in memory, with the time of the given clock.
pub struct MemoryCache {
    clock: Arc<dyn Clock>,
    max_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<String, (Time, Vec<u8>)>,
    bytes: usize,
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").finish_non_exhaustive()
    }
}

impl MemoryCache {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_bytes: MAX_BYTES, kept: Mutex::default() }
    }
}

impl Kept {
    fn remove(&mut self, key: &str) {
        if let Some((_, value)) = self.values.remove(key) {
            self.bytes -= key.len() + value.len();
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.values.get(key) {
            Some((ends, value)) if *ends > now => Some(value.clone()),
            Some(_) => {
                kept.remove(key);
                None
            }
            None => None,
        }
    }

    async fn put(&self, key: &str, value: Vec<u8>, keep: Duration) {
        if value.len() > LONGEST_VALUE {
            return;
        }
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let ends = self.clock.now().checked_add_signed(keep).unwrap_or(Time::MAX_UTC);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(key);
        kept.bytes += key.len() + value.len();
        kept.values.insert(key.to_owned(), (ends, value));
        while kept.bytes > self.max_bytes {
            let first = kept.values.iter().min_by_key(|(_, (ends, _))| *ends);
            let Some(first) = first.map(|(key, _)| key.clone()) else { return };
            kept.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn what_would_end_first_makes_room() {
        let clock = ManualClock::at_millis(0);
        let mut cache = MemoryCache::new(Arc::new(clock));
        cache.max_bytes = 30;
        for (key, seconds) in [("a", 30), ("b", 10), ("c", 20)] {
            cache.put(key, vec![0; 9], Duration::from_secs(seconds)).await;
        }
        cache.put("d", vec![0; 9], Duration::from_secs(40)).await;
        assert!(cache.get("b").await.is_none());
        for key in ["a", "c", "d"] {
            assert!(cache.get(key).await.is_some(), "{key}");
        }
        assert_eq!(cache.kept.lock().unwrap().bytes, 30);
    }
}
