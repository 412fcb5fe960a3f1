//! A model behind the limits that its provider sets a key: what a request will take is
//! reserved before it is sent, settled when it is known, and corrected by what the
//! provider tells.
//!
//! Reserving is one round trip where limits are counted in common, and none where nothing
//! is configured, since then there is no [`Limited`]. What is settled and told waits for
//! the next reservation and goes with it: until then too much counts as taken, never too
//! little, and a minute later it would count no more.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quaestor_core::ports::limits::Admission;
use quaestor_core::ports::provider_limits::{ProviderLimits, ProviderQuota, Seen};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::provider::LimitsTold;

/// Finds what limits a model, by its name; none where nothing is configured for it.
pub type LimitsOf = Arc<dyn Fn(&str) -> Option<Limited> + Send + Sync>;

/// The limits of one key at one provider.
#[derive(Debug)]
pub struct Limited {
    limits: Arc<dyn ProviderLimits>,
    name: String,
    quota: ProviderQuota,
    later: Mutex<Later>,
}

/// What goes with the next reservation.
#[derive(Debug, Default)]
struct Later {
    reserved: u64,
    taken: u64,
    seen: Seen,
}

impl Limited {
    /// The limits under a name of the configuration, for a key. The key itself is in no
    /// name: of its SHA-256 some characters are.
    #[must_use]
    pub fn new(
        limits: Arc<dyn ProviderLimits>,
        name: &str,
        key: &SecretString,
        quota: ProviderQuota,
    ) -> Self {
        let name = format!("{name}:{}", fingerprint(key));
        Self { limits, name, quota, later: Mutex::default() }
    }

    /// Takes room for a request of so many tokens, or says how long there is none: then it
    /// must not be sent before that has passed.
    ///
    /// # Errors
    /// The time to wait.
    pub async fn reserve(&self, tokens: u64) -> Result<(), Duration> {
        let Later { reserved, taken, seen } =
            std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner));
        let before = async {
            if reserved != taken {
                self.limits.settle(&self.name, self.quota, reserved, taken).await;
            }
            if seen.tells() {
                self.limits.correct(&self.name, self.quota, seen).await;
            }
        };
        // Sent one after the other on one connection, in this order.
        let ((), admission) =
            tokio::join!(biased; before, self.limits.reserve(&self.name, self.quota, tokens));
        match admission {
            Admission::Admitted => Ok(()),
            Admission::RetryAfter(wait) => Err(wait),
        }
    }

    /// The request that had reserved so many tokens has ended and took so many.
    pub fn settle(&self, reserved: u64, taken: u64) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        later.reserved = later.reserved.saturating_add(reserved);
        later.taken = later.taken.saturating_add(taken);
    }

    /// The provider tells what is left.
    pub fn told(&self, told: &LimitsTold) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let seen =
            Seen { requests: told.requests_left, tokens: told.tokens_left, closed_for: None };
        if seen.tells() {
            later.seen = Seen { closed_for: later.seen.closed_for, ..seen };
        }
    }

    /// The provider asks to be left alone for a while: nobody shall ask it before.
    pub async fn refused(&self, retry_after: Duration) {
        let seen = Seen { closed_for: Some(retry_after), ..Seen::default() };
        self.limits.correct(&self.name, self.quota, seen).await;
    }
}

/// Eight characters that tell keys apart, and from which no key follows.
fn fingerprint(key: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(b"quaestor.provider-key.v1");
    hash.update(key.expose_secret());
    hash.finalize().iter().take(4).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;
    use crate::limits::provider::memory::MemoryProviderLimits;

    fn limited(limits: &Arc<MemoryProviderLimits>, key: &str) -> Limited {
        let quota = ProviderQuota { requests_per_minute: Some(60), tokens_per_minute: Some(6_000) };
        Limited::new(limits.clone(), "openai", &key.to_owned().into(), quota)
    }

    #[tokio::test]
    async fn what_was_not_taken_is_there_for_the_next() {
        let clock = ManualClock::at_millis(1_000_000);
        let limits = Arc::new(MemoryProviderLimits::new(Arc::new(clock.clone())));
        let (one, same, other) =
            (limited(&limits, "a"), limited(&limits, "a"), limited(&limits, "b"));
        assert!(one.reserve(6_000).await.is_ok());
        assert!(same.reserve(100).await.is_err(), "the same key at the same provider");
        assert!(other.reserve(6_000).await.is_ok(), "another key");
        one.settle(6_000, 500);
        assert!(one.reserve(5_500).await.is_ok());
        assert!(!format!("{one:?}").contains("\"a\""));

        one.settle(5_500, 5_500);
        clock.advance(Duration::from_secs(60));
        one.told(&LimitsTold { tokens_left: Some(50), ..LimitsTold::default() });
        assert!(one.reserve(100).await.is_err(), "the provider says that less is left");
        clock.advance(Duration::from_secs(60));
        same.refused(Duration::from_secs(7)).await;
        assert_eq!(one.reserve(1).await, Err(Duration::from_secs(7)));
    }
}
