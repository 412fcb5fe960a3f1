//! Rate limits counted in Redis, for all fronts together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::limits::{Admission, Quota, RateLimits};
use redis::Value;
use tracing::debug;

use super::memory::MemoryLimits;
use crate::redis::{RedisFault, RedisServer, Script};

const ADMIT: &str = include_str!("admit.lua");

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// How long a request waits for the common count before its own process counts it.
const PATIENCE: Duration = Duration::from_millis(250);

/// Limits in Redis. The time is the fronts' own: their clocks are taken to be close.
///
/// While Redis is away each process counts for itself: nobody is let in uncounted, and
/// nobody is locked out. With N fronts up to N quotas may then be used.
pub struct RedisLimits {
    server: RedisServer,
    clock: Arc<dyn Clock>,
    script: Script,
    alone: MemoryLimits,
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits").field("server", &self.server).finish_non_exhaustive()
    }
}

impl RedisLimits {
    /// Limits that go by the given clock.
    #[must_use]
    pub fn new(server: RedisServer, clock: Arc<dyn Clock>) -> Self {
        let alone = MemoryLimits::new(Arc::clone(&clock));
        Self { server, clock, script: Script::new(ADMIT), alone }
    }

    /// The microseconds to wait; 0 where admitted.
    async fn ask(&self, name: &str, quota: Quota) -> Result<u64, RedisFault> {
        let now = self.clock.now().timestamp_micros();
        let cost = MICROS_PER_MINUTE / i64::from(quota.per_minute.max(1));
        let allowed = cost * i64::from(quota.burst);
        let key = self.server.name(format_args!("rate:{name}"));
        let asked = self.server.run(&self.script, &key, |command| {
            command.arg(now).arg(cost).arg(allowed);
        });
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Value::Int(wait))) => u64::try_from(wait).map_err(|_| RedisFault::Unexpected),
            Ok(Ok(_)) => Err(RedisFault::Unexpected),
            Ok(Err(fault)) => Err(fault),
            Err(elapsed) => {
                self.server.doubt();
                Err(RedisFault::Failed(std::io::Error::from(elapsed).into()))
            }
        }
    }
}

#[async_trait]
impl RateLimits for RedisLimits {
    async fn admit(&self, name: &str, quota: Quota) -> Admission {
        if quota.per_minute == 0 || quota.burst == 0 {
            return self.alone.admit(name, quota).await;
        }
        match self.ask(name, quota).await {
            Ok(0) => Admission::Admitted,
            Ok(wait) => Admission::RetryAfter(Duration::from_micros(wait)),
            Err(fault) => {
                debug!(
                    error = &fault as &dyn std::error::Error,
                    "a request is counted by this process alone"
                );
                self.alone.admit(name, quota).await
            }
        }
    }
}
