//! The two buckets of a provider's key, as numbers.
//!
//! Of each bucket the moment is kept at which it is full again, as the generic cell rate
//! algorithm does (ITU-T I.371): what is owed then follows from the time alone.
//! `count.lua` does the same in Redis.

use quaestor_core::ports::provider_limits::{ProviderQuota, Seen};

use super::{MINUTE_MICROS, MOST_OWED_MICROS, costs, micros, signed};

/// Moments in microseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buckets {
    /// When the bucket of requests is full again.
    requests_full: i64,
    /// When the bucket of tokens is.
    tokens_full: i64,
    /// Before this nothing is sent.
    closed_until: i64,
}

impl Buckets {
    /// After a step back of the clock nobody owes more than there is to owe.
    fn bound(&mut self, now: i64) {
        self.requests_full = self.requests_full.clamp(now, now + MINUTE_MICROS);
        self.tokens_full = self.tokens_full.clamp(now, now + MOST_OWED_MICROS);
        if self.closed_until > now + MOST_OWED_MICROS {
            self.closed_until = now;
        }
    }

    /// Takes a request and tokens, or gives the microseconds to wait.
    pub(super) fn reserve(&mut self, now: i64, quota: ProviderQuota, tokens: u64) -> Option<i64> {
        self.bound(now);
        let (request, token) = costs(quota);
        let (request, tokens) = (request / 1_000, taken(tokens, token));
        let wait = [(self.requests_full, request), (self.tokens_full, tokens)]
            .into_iter()
            .map(|(full, amount)| {
                // What is more than a bucket holds goes through when it is full.
                let room = full.saturating_add(amount) - now - MINUTE_MICROS;
                room.min(full - now)
            })
            .fold(self.closed_until - now, i64::max);
        if wait > 0 {
            return Some(wait);
        }
        self.requests_full += request;
        self.tokens_full = self.tokens_full.saturating_add(tokens);
        None
    }

    /// Puts what was taken in the place of what was reserved.
    pub(super) fn settle(&mut self, now: i64, quota: ProviderQuota, reserved: u64, used: u64) {
        self.bound(now);
        let (_, token) = costs(quota);
        let more = taken(used, token).saturating_sub(taken(reserved, token));
        self.tokens_full = self.tokens_full.saturating_add(more).max(now);
    }

    /// Leaves no more room than the provider says there is.
    pub(super) fn correct(&mut self, now: i64, quota: ProviderQuota, seen: Seen) {
        self.bound(now);
        let (request, token) = costs(quota);
        let full = |left: Option<u64>, cost: i64| match left {
            Some(left) if cost > 0 => now + MINUTE_MICROS - taken(left, cost).min(MINUTE_MICROS),
            _ => now,
        };
        self.requests_full = self.requests_full.max(full(seen.requests, request));
        self.tokens_full = self.tokens_full.max(full(seen.tokens, token));
        if let Some(closed) = seen.closed_for {
            self.closed_until = self.closed_until.max(now + micros(closed));
        }
    }

    /// Whether nothing is owed any more.
    pub(super) fn is_whole(&self, now: i64) -> bool {
        self.requests_full.max(self.tokens_full).max(self.closed_until) <= now
    }
}

/// What so many cost, in microseconds.
fn taken(count: u64, cost_nanos: i64) -> i64 {
    signed(count).saturating_mul(cost_nanos) / 1_000
}
