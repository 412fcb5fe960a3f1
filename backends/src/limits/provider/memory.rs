//! The limits of providers, counted in this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::limits::Admission;
use quaestor_core::ports::provider_limits::{ProviderLimits, ProviderQuota, Seen};

use super::bucket::Buckets;

/// Names that are remembered at most: a configuration has a handful of providers.
const MAX_NAMES: usize = 10_000;

/// Limits in memory.
pub struct MemoryProviderLimits {
    clock: Arc<dyn Clock>,
    names: Mutex<HashMap<String, Buckets>>,
}

impl fmt::Debug for MemoryProviderLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryProviderLimits").finish_non_exhaustive()
    }
}

impl MemoryProviderLimits {
    /// Limits that go by the given clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, names: Mutex::default() }
    }

    /// Works on the buckets of a name. Beyond the limit of names those that are whole are
    /// forgotten first, and then all: they are counted anew.
    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Buckets, i64) -> T) -> T {
        let now = self.clock.now().timestamp_micros();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES && !names.contains_key(name) {
            names.retain(|_, buckets| !buckets.is_whole(now));
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        work(names.entry(name.to_owned()).or_default(), now)
    }
}

#[async_trait]
impl ProviderLimits for MemoryProviderLimits {
    async fn reserve(&self, name: &str, quota: ProviderQuota, tokens: u64) -> Admission {
        match self.with(name, |buckets, now| buckets.reserve(now, quota, tokens)) {
            None => Admission::Admitted,
            Some(wait) => Admission::RetryAfter(Duration::from_micros(wait.unsigned_abs())),
        }
    }

    async fn settle(&self, name: &str, quota: ProviderQuota, reserved: u64, taken: u64) {
        self.with(name, |buckets, now| buckets.settle(now, quota, reserved, taken));
    }

    async fn correct(&self, name: &str, quota: ProviderQuota, seen: Seen) {
        self.with(name, |buckets, now| buckets.correct(now, quota, seen));
    }
}
