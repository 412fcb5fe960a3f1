//! The numbers that calls of models go by.

use std::time::Duration;

/// How long a provider may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a request to the first piece of an answer, or to all vectors or scores.
    pub first: Duration,
    /// From one piece of an answer to the next.
    pub between: Duration,
    /// From the first request for an answer to its last piece.
    pub total: Duration,
}

/// How often and how soon a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// At most this many requests to one provider for one answer, the first included.
    pub attempts: u32,
    /// Before the second request a random part of this passes; before each further one
    /// twice as much.
    pub pause: Duration,
    /// But no more than this.
    pub longest_pause: Duration,
}

/// When a provider that fails is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// After this many failures in a row.
    pub in_a_row: u32,
    /// Or when half of the last so many calls failed.
    pub of_the_last: u32,
    /// For this long; then one call is let through to see.
    pub open_for: Duration,
}

/// All of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Waiting.
    pub timeouts: Timeouts,
    /// Trying again.
    pub retry: RetryPolicy,
    /// Leaving alone.
    pub breaker: BreakerPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeouts: Timeouts {
                first: Duration::from_secs(60),
                between: Duration::from_secs(20),
                total: Duration::from_secs(600),
            },
            retry: RetryPolicy {
                attempts: 3,
                pause: Duration::from_millis(500),
                longest_pause: Duration::from_secs(5),
            },
            breaker: BreakerPolicy {
                in_a_row: 5,
                of_the_last: 20,
                open_for: Duration::from_secs(30),
            },
        }
    }
}
