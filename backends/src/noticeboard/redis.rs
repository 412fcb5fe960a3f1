//! Notices in Redis: every process writes, every front reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ids::WorkerId;
use quaestor_core::ports::noticeboard::{Noticeboard, NoticeboardError};
use redis::{FromRedisValue, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Notice;
use tracing::debug;
use uuid::Uuid;

use crate::redis::{RedisFault, RedisServer, Script};

/// A topic on which nobody writes any more is forgotten after this.
const TOPIC_KEPT_MS: u64 = 3_600_000;

const LEAD: &str = include_str!("lead.lua");

/// A noticeboard in Redis: a hash for each topic, with a field for each process.
pub struct RedisNoticeboard {
    server: RedisServer,
    clock: Arc<dyn Clock>,
    lead: Script,
}

impl fmt::Debug for RedisNoticeboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisNoticeboard").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Microseconds since 1970.
    ends: i64,
    notice: Notice,
}

impl RedisNoticeboard {
    /// Notices that end by the given clock.
    #[must_use]
    pub fn new(server: RedisServer, clock: Arc<dyn Clock>) -> Self {
        Self { server, clock, lead: Script::new(LEAD) }
    }

    fn key(&self, topic: &str) -> String {
        self.server.name(format_args!("board:{topic}"))
    }

    async fn try_post(
        &self,
        topic: &str,
        process: WorkerId,
        kept: &Kept,
    ) -> Result<(), RedisFault> {
        let key = self.key(topic);
        let text = serde_json::to_string(kept).map_err(|_| RedisFault::Unexpected)?;
        let mut commands = redis::pipe();
        commands.cmd("HSET").arg(&key).arg(process.to_string()).arg(text).ignore();
        commands.cmd("PEXPIRE").arg(&key).arg(TOPIC_KEPT_MS).ignore();
        self.server.query_all(&commands).await.map(drop)
    }

    /// The notices that stand, and the fields of those that have ended.
    async fn fields(&self, topic: &str) -> Result<(Notices, Vec<String>), RedisFault> {
        let answer = self.server.query(redis::cmd("HGETALL").arg(self.key(topic))).await?;
        let fields = Vec::<(String, String)>::from_redis_value(answer)
            .map_err(|_| RedisFault::Unexpected)?;
        let now = self.clock.now().timestamp_micros();
        let (mut standing, mut ended) = (Vec::new(), Vec::new());
        for (field, text) in fields {
            let process = field.parse::<Uuid>().map(WorkerId);
            match (process, serde_json::from_str::<Kept>(&text)) {
                (Ok(process), Ok(kept)) if kept.ends > now => standing.push((process, kept.notice)),
                // What cannot be read is of no use to anybody either.
                _ => ended.push(field),
            }
        }
        standing.sort_by_key(|(process, _)| *process);
        Ok((standing, ended))
    }

    async fn try_lead(
        &self,
        name: &str,
        process: WorkerId,
        keep: Duration,
    ) -> Result<bool, RedisFault> {
        let now = self.clock.now().timestamp_micros();
        let ends = now.saturating_add(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
        let key = self.server.name(format_args!("lease:{name}"));
        let asked = self.server.run(&self.lead, &key, |command| {
            command.arg(process.to_string()).arg(now).arg(ends).arg(TOPIC_KEPT_MS);
        });
        match asked.await? {
            Value::Int(held) => Ok(held == 1),
            _ => Err(RedisFault::Unexpected),
        }
    }

    async fn try_read(&self, topic: &str) -> Result<Notices, RedisFault> {
        let (standing, ended) = self.fields(topic).await?;
        if !ended.is_empty() {
            let mut command = redis::cmd("HDEL");
            command.arg(self.key(topic)).arg(ended);
            self.server.query(&command).await?;
        }
        Ok(standing)
    }
}

type Notices = Vec<(WorkerId, Notice)>;

#[async_trait]
impl Noticeboard for RedisNoticeboard {
    async fn post(&self, topic: &str, process: WorkerId, notice: Notice, keep: Duration) {
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        let ends = self.clock.now().timestamp_micros().saturating_add(keep);
        if let Err(fault) = self.try_post(topic, process, &Kept { ends, notice }).await {
            debug!(error = &fault as &dyn std::error::Error, "a notice was not put up");
        }
    }

    async fn read(&self, topic: &str) -> Result<Notices, NoticeboardError> {
        self.try_read(topic).await.map_err(|fault| NoticeboardError(fault.into()))
    }

    async fn lead(
        &self,
        name: &str,
        process: WorkerId,
        keep: Duration,
    ) -> Result<bool, NoticeboardError> {
        self.try_lead(name, process, keep).await.map_err(|fault| NoticeboardError(fault.into()))
    }
}
