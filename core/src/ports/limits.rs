//! The port to rate limits.

use std::time::Duration;

use async_trait::async_trait;

/// How much of something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// At most this many at once.
    pub burst: u32,
    /// And this many a minute on average.
    pub per_minute: u32,
}

/// The answer to "may I?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admitted,
    /// Not before this time has passed.
    RetryAfter(Duration),
}

/// Counts by name and says when it is too much (GCRA: no windows, no bursts at their
/// edges). Memory is bounded: names that have their whole quota are forgotten.
#[async_trait]
pub trait RateLimits: Send + Sync + std::fmt::Debug {
    /// Counts one under `name`, such as `ask:<principal>`. The same name always comes
    /// with the same quota.
    async fn admit(&self, name: &str, quota: Quota) -> Admission;
}
