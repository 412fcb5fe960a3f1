//! Values kept in Redis, for all processes together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::cache::{Cache, LONGEST_VALUE};
use redis::{FromRedisValue, Value};
use tracing::debug;

use crate::redis::{RedisFault, RedisServer};

/// Bytes of the time before a value.
const STAMP: usize = 8;

/// A cache in Redis: a key for each value, which ends by itself. While Redis is away,
/// nothing is found and nothing kept.
pub struct RedisCache {
    server: RedisServer,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("server", &self.server).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// Values that end by the given clock.
    #[must_use]
    pub fn new(server: RedisServer, clock: Arc<dyn Clock>) -> Self {
        Self { server, clock }
    }

    fn key(&self, key: &str) -> String {
        self.server.name(format_args!("cache:{key}"))
    }

    async fn try_get(&self, key: &str) -> Result<Option<Vec<u8>>, RedisFault> {
        let answer = self.server.query(redis::cmd("GET").arg(self.key(key))).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut kept = Vec::<u8>::from_redis_value(answer).map_err(|_| RedisFault::Unexpected)?;
        let Some((stamp, _)) = kept.split_first_chunk::<STAMP>() else { return Ok(None) };
        // Redis forgets by its own clock; this is by ours.
        if i64::from_be_bytes(*stamp) <= self.clock.now().timestamp_micros() {
            return Ok(None);
        }
        Ok(Some(kept.split_off(STAMP)))
    }

    async fn try_put(&self, key: &str, value: &[u8], keep: Duration) -> Result<(), RedisFault> {
        let micros = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let ends = self.clock.now().timestamp_micros().saturating_add(micros);
        let mut kept = ends.to_be_bytes().to_vec();
        kept.extend_from_slice(value);
        let millis = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 40);
        let mut command = redis::cmd("SET");
        command.arg(self.key(key)).arg(kept).arg("PX").arg(millis);
        self.server.query(&command).await.map(drop)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.try_get(key).await.unwrap_or_else(|fault| {
            debug!(error = &fault as &dyn std::error::Error, "a kept value was not read");
            None
        })
    }

    async fn put(&self, key: &str, value: Vec<u8>, keep: Duration) {
        if value.len() > LONGEST_VALUE {
            return;
        }
        if let Err(fault) = self.try_put(key, &value, keep).await {
            debug!(error = &fault as &dyn std::error::Error, "a value was not kept");
        }
    }
}
