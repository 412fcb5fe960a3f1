//! The port to the limits that providers of models set: requests and tokens a minute for
//! each key, counted for all workers together.
//!
//! Of each limit it is a bucket as the providers have it themselves: it holds what a
//! minute allows, and fills evenly. What a call will take is reserved before it, settled
//! when it is known, and corrected by what the provider's answers tell.

use std::time::Duration;

use async_trait::async_trait;

use super::limits::Admission;

/// What a provider allows a key. None is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProviderQuota {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, those sent and those written together.
    pub tokens_per_minute: Option<u32>,
}

impl ProviderQuota {
    /// Whether anything is counted.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.requests_per_minute.is_some() || self.tokens_per_minute.is_some()
    }
}

/// What the answer of a provider tells of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests that are left.
    pub requests: Option<u64>,
    /// Tokens that are left.
    pub tokens: Option<u64>,
    /// Nothing is to be sent before this has passed (`Retry-After`, or the reset of a
    /// limit that is used up).
    pub closed_for: Option<Duration>,
}

impl Seen {
    /// Whether it tells anything.
    #[must_use]
    pub fn tells(&self) -> bool {
        *self != Self::default()
    }
}

/// Counts what providers are asked. The same name always comes with the same quota; it
/// holds no key, only a short hash of one.
#[async_trait]
pub trait ProviderLimits: Send + Sync + std::fmt::Debug {
    /// Takes one request and so many tokens, or says how long there is no room for them.
    /// A request for more than a minute's tokens has room when nothing else was taken.
    async fn reserve(&self, name: &str, quota: ProviderQuota, tokens: u64) -> Admission;

    /// The call that had reserved so many tokens took so many.
    async fn settle(&self, name: &str, quota: ProviderQuota, reserved: u64, taken: u64);

    /// Takes over what the provider tells: it never leaves more room than there was, since
    /// calls may be under way that it has not counted yet.
    async fn correct(&self, name: &str, quota: ProviderQuota, seen: Seen);
}
