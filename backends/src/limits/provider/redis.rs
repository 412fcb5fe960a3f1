//! The limits of providers, counted in Redis for all workers together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::limits::Admission;
use quaestor_core::ports::provider_limits::{ProviderLimits, ProviderQuota, Seen};
use redis::Value;
use tracing::debug;

use super::memory::MemoryProviderLimits;
use super::{costs, micros, signed};
use crate::redis::{RedisFault, RedisServer, Script};

const COUNT: &str = include_str!("count.lua");

/// How long a call of a model waits for the common count before its own process counts it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Limits in Redis. The time is the workers' own: their clocks are taken to be close.
///
/// Each name is one key, so a cluster needs nothing special. While Redis is away each
/// process counts for itself: with N workers up to N quotas may then be used, and the
/// provider's own refusals correct it.
pub struct RedisProviderLimits {
    server: RedisServer,
    clock: Arc<dyn Clock>,
    script: Script,
    alone: MemoryProviderLimits,
}

impl fmt::Debug for RedisProviderLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisProviderLimits").field("server", &self.server).finish_non_exhaustive()
    }
}

impl RedisProviderLimits {
    /// Limits that go by the given clock.
    #[must_use]
    pub fn new(server: RedisServer, clock: Arc<dyn Clock>) -> Self {
        let alone = MemoryProviderLimits::new(Arc::clone(&clock));
        Self { server, clock, script: Script::new(COUNT), alone }
    }

    /// Runs the script. None where the common count cannot be had.
    async fn count(
        &self,
        what: &str,
        name: &str,
        quota: ProviderQuota,
        numbers: [i64; 3],
    ) -> Option<u64> {
        let now = self.clock.now().timestamp_micros();
        let (request, token) = costs(quota);
        let key = self.server.name(format_args!("provider:{name}"));
        let asked = self.server.run(&self.script, &key, |command| {
            command.arg(what).arg(now).arg(request).arg(token).arg(&numbers[..]);
        });
        let fault = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Value::Int(wait))) => match u64::try_from(wait) {
                Ok(wait) => return Some(wait),
                Err(_) => RedisFault::Unexpected,
            },
            Ok(Ok(_)) => RedisFault::Unexpected,
            Ok(Err(fault)) => fault,
            Err(elapsed) => {
                self.server.doubt();
                RedisFault::Failed(std::io::Error::from(elapsed).into())
            }
        };
        debug!(
            error = &fault as &dyn std::error::Error,
            "what a provider allows is counted by this process alone"
        );
        None
    }
}

#[async_trait]
impl ProviderLimits for RedisProviderLimits {
    async fn reserve(&self, name: &str, quota: ProviderQuota, tokens: u64) -> Admission {
        match self.count("reserve", name, quota, [signed(tokens), 0, 0]).await {
            Some(0) => Admission::Admitted,
            Some(wait) => Admission::RetryAfter(Duration::from_micros(wait)),
            None => self.alone.reserve(name, quota, tokens).await,
        }
    }

    async fn settle(&self, name: &str, quota: ProviderQuota, reserved: u64, taken: u64) {
        if reserved == taken {
            return;
        }
        let numbers = [signed(reserved), signed(taken), 0];
        if self.count("settle", name, quota, numbers).await.is_none() {
            self.alone.settle(name, quota, reserved, taken).await;
        }
    }

    async fn correct(&self, name: &str, quota: ProviderQuota, seen: Seen) {
        if !seen.tells() {
            return;
        }
        let left = |left: Option<u64>| left.map_or(-1, signed);
        let now = self.clock.now().timestamp_micros();
        let closed = seen.closed_for.map_or(0, |closed| now + micros(closed));
        let numbers = [left(seen.requests), left(seen.tokens), closed];
        if self.count("correct", name, quota, numbers).await.is_none() {
            self.alone.correct(name, quota, seen).await;
        }
    }
}
