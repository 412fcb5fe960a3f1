//! The limits of the providers of models: a file per technology.

mod bucket;
pub mod memory;
pub mod redis;

use std::time::Duration;

use quaestor_core::ports::provider_limits::ProviderQuota;

const MINUTE_MICROS: i64 = 60_000_000;
/// One large call may owe more than a minute. More than this is a clock that stepped back.
const MOST_OWED_MICROS: i64 = 60 * MINUTE_MICROS;

/// What one request and one token cost of a minute, in nanoseconds; 0 where they are not
/// counted. A limit of none a minute is one of 1: nobody configures a provider for nothing.
fn costs(quota: ProviderQuota) -> (i64, i64) {
    let cost = |limit: Option<u32>| {
        limit.map_or(0, |limit| MINUTE_MICROS * 1_000 / i64::from(limit.max(1)))
    };
    (cost(quota.requests_per_minute), cost(quota.tokens_per_minute))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(MOST_OWED_MICROS).min(MOST_OWED_MICROS)
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
