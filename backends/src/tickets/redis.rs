//! One-time tickets in Redis: made by one front, redeemed at any.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ids::{KeyId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Caller, Role};
use quaestor_core::ports::tickets::Tickets;
use redis::{FromRedisValue, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::memory::MemoryTickets;
use crate::redis::{RedisFault, RedisServer};

/// Tickets in Redis under the hash of their text: who reads Redis cannot use one.
///
/// While Redis is away a front keeps its tickets itself; they are good there alone.
pub struct RedisTickets {
    server: RedisServer,
    clock: Arc<dyn Clock>,
    alone: MemoryTickets,
}

impl fmt::Debug for RedisTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTickets").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What is kept of a ticket.
#[derive(Serialize, Deserialize)]
struct Kept {
    workspace_id: WorkspaceId,
    principal_id: PrincipalId,
    role: Role,
    key_id: KeyId,
    /// Microseconds since 1970. Redis forgets the ticket by its own clock; this is by ours.
    ends: i64,
}

impl RedisTickets {
    /// Tickets that end by the given clock.
    #[must_use]
    pub fn new(server: RedisServer, clock: Arc<dyn Clock>) -> Self {
        let alone = MemoryTickets::new(Arc::clone(&clock));
        Self { server, clock, alone }
    }

    fn key(&self, ticket: &str) -> String {
        let mut hash = String::with_capacity(64);
        for byte in Sha256::digest(ticket) {
            // Writing to a string does not fail.
            let _ = write!(hash, "{byte:02x}");
        }
        self.server.name(format_args!("ticket:{hash}"))
    }

    async fn try_keep(&self, ticket: &str, kept: &Kept, ttl: Duration) -> Result<(), RedisFault> {
        let text = serde_json::to_string(kept).map_err(|_| RedisFault::Unexpected)?;
        let mut command = redis::cmd("SET");
        command.arg(self.key(ticket)).arg(text).arg("PX").arg(millis(ttl));
        self.server.query(&command).await.map(drop)
    }

    async fn take(&self, ticket: &str) -> Result<Option<Kept>, RedisFault> {
        let answer = self.server.query(redis::cmd("GETDEL").arg(self.key(ticket))).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let text = String::from_redis_value(answer).map_err(|_| RedisFault::Unexpected)?;
        serde_json::from_str(&text).map(Some).map_err(|_| RedisFault::Unexpected)
    }
}

/// A time to live that Redis takes: at least a millisecond, at most a day.
fn millis(ttl: Duration) -> u64 {
    const DAY_MS: u128 = 86_400_000;
    u64::try_from(ttl.as_millis().clamp(1, DAY_MS)).unwrap_or(1)
}

#[async_trait]
impl Tickets for RedisTickets {
    async fn keep(&self, ticket: &str, caller: Caller, ttl: Duration) {
        let ttl_micros = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let kept = Kept {
            workspace_id: caller.workspace_id,
            principal_id: caller.principal_id,
            role: caller.role,
            key_id: caller.key_id,
            ends: self.clock.now().timestamp_micros().saturating_add(ttl_micros),
        };
        match self.try_keep(ticket, &kept, ttl).await {
            Ok(()) => {}
            // Redis does not have it for certain: this front may.
            Err(RedisFault::NotConnected) => self.alone.keep(ticket, caller, ttl).await,
            // It may have it: kept twice, it could be redeemed twice.
            Err(fault) => {
                warn!(error = &fault as &dyn std::error::Error, "a ticket was not kept");
            }
        }
    }

    async fn redeem(&self, ticket: &str) -> Option<Caller> {
        if let Some(caller) = self.alone.redeem(ticket).await {
            return Some(caller);
        }
        match self.take(ticket).await {
            Ok(Some(kept)) => (kept.ends > self.clock.now().timestamp_micros()).then_some(Caller {
                workspace_id: kept.workspace_id,
                principal_id: kept.principal_id,
                role: kept.role,
                key_id: kept.key_id,
            }),
            Ok(None) => None,
            Err(fault) => {
                warn!(error = &fault as &dyn std::error::Error, "a ticket was not redeemed");
                None
            }
        }
    }
}
