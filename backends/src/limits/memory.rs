//! Rate limits counted in this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::limits::{Admission, Quota, RateLimits};

/// Names that are remembered at most. A name is there only while part of its quota is
/// used; at the limit, those that have their quota back are forgotten first.
const MAX_NAMES: usize = 100_000;

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// The generic cell rate algorithm (ITU-T I.371): of each name only the moment is kept
/// at which its quota is whole again.
pub struct MemoryLimits {
    clock: Arc<dyn Clock>,
    max_names: usize,
    whole_again: Mutex<HashMap<String, i64>>,
}

impl fmt::Debug for MemoryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimits").finish_non_exhaustive()
    }
}

impl MemoryLimits {
    /// Limits that go by the given clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_names: MAX_NAMES, whole_again: Mutex::default() }
    }
}

#[async_trait]
impl RateLimits for MemoryLimits {
    async fn admit(&self, name: &str, quota: Quota) -> Admission {
        let now = self.clock.now().timestamp_micros();
        let cost = MICROS_PER_MINUTE / i64::from(quota.per_minute.max(1));
        let allowed = cost * i64::from(quota.burst);
        let mut names = self.whole_again.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = names.get(name).copied().unwrap_or(now).max(now);
        // After a step back of the clock a name owes at most its quota.
        let owed = whole.min(now + allowed.max(cost));
        let whole = owed + cost;
        let wait = whole - now - allowed;
        if quota.per_minute == 0 || quota.burst == 0 {
            // Such a quota admits nobody, now or later.
            return Admission::RetryAfter(Duration::from_micros(cost.unsigned_abs()));
        }
        if wait > 0 {
            if let Some(kept) = names.get_mut(name) {
                // Kept, or after a step back it would owe the same at every later call.
                *kept = owed;
            }
            return Admission::RetryAfter(Duration::from_micros(wait.unsigned_abs()));
        }
        if names.len() >= self.max_names && !names.contains_key(name) {
            names.retain(|_, whole| *whole > now);
            if names.len() >= self.max_names {
                // So many callers at once are refused rather than kept uncounted.
                return Admission::RetryAfter(Duration::from_micros(cost.unsigned_abs()));
            }
        }
        names.insert(name.to_owned(), whole);
        Admission::Admitted
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn names_with_their_whole_quota_are_forgotten() {
        let clock = ManualClock::at_millis(0);
        let mut limits = MemoryLimits::new(Arc::new(clock.clone()));
        limits.max_names = 2;
        let quota = Quota { burst: 1, per_minute: 60 };
        for name in ["a", "b"] {
            assert_eq!(limits.admit(name, quota).await, Admission::Admitted);
        }
        assert!(matches!(limits.admit("c", quota).await, Admission::RetryAfter(_)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limits.admit("c", quota).await, Admission::Admitted);
        assert_eq!(limits.whole_again.lock().unwrap().len(), 1);
    }
}
