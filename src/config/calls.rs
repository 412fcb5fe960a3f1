//! How long is a model waited for, and what is done where it fails?

use std::time::Duration;

use quaestor_backends::models::resilience::{BreakerPolicy, Policy, RetryPolicy, Timeouts};
use serde::{Deserialize, Serialize};

/// The `[models.timeouts]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelTimeouts {
    /// For a provider to accept a connection, in seconds.
    pub connect_s: u64,
    /// From a request to the first piece of the answer, in seconds.
    pub first_piece_s: u64,
    /// From one piece to the next, in seconds.
    pub next_piece_s: u64,
    /// For a whole answer, in seconds.
    pub answer_s: u64,
}

impl Default for ModelTimeouts {
    fn default() -> Self {
        Self { connect_s: 5, first_piece_s: 60, next_piece_s: 20, answer_s: 600 }
    }
}

impl ModelTimeouts {
    /// For a provider to accept a connection.
    #[must_use]
    pub fn connect(&self) -> Duration {
        Duration::from_secs(self.connect_s)
    }
}

/// The `[models.retry]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRetry {
    /// At most so many requests to one provider for one answer.
    pub attempts: u32,
    /// A random part of this passes before the second request, in milliseconds; of twice
    /// as much before each further one.
    pub pause_ms: u64,
    /// But never more than this, in milliseconds.
    pub longest_pause_ms: u64,
}

impl Default for ModelRetry {
    fn default() -> Self {
        Self { attempts: 3, pause_ms: 500, longest_pause_ms: 5_000 }
    }
}

/// The `[models.breaker]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelBreaker {
    /// So many failures in a row have a model left alone.
    pub in_a_row: u32,
    /// Or half of so many calls.
    pub of_the_last: u32,
    /// For this long, in seconds; then one call shows whether it is back.
    pub open_s: u64,
}

impl Default for ModelBreaker {
    fn default() -> Self {
        Self { in_a_row: 5, of_the_last: 20, open_s: 30 }
    }
}

impl super::Models {
    /// What calls of models go by.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            timeouts: Timeouts {
                first: Duration::from_secs(self.timeouts.first_piece_s),
                between: Duration::from_secs(self.timeouts.next_piece_s),
                total: Duration::from_secs(self.timeouts.answer_s),
            },
            retry: RetryPolicy {
                attempts: self.retry.attempts,
                pause: Duration::from_millis(self.retry.pause_ms),
                longest_pause: Duration::from_millis(self.retry.longest_pause_ms),
            },
            breaker: BreakerPolicy {
                in_a_row: self.breaker.in_a_row,
                of_the_last: self.breaker.of_the_last,
                open_for: Duration::from_secs(self.breaker.open_s),
            },
        }
    }
}
