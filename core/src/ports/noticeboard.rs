//! The port to the noticeboard: what processes tell of themselves, for administrators.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::ids::WorkerId;

/// The notices cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("what the processes tell of themselves cannot be read now")]
pub struct NoticeboardError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Each process keeps one notice under each topic. It is taken down by itself some time
/// after the process has last renewed it. Nothing depends on a notice: it may be lost.
#[async_trait]
pub trait Noticeboard: Send + Sync + std::fmt::Debug {
    /// Puts a process's notice up in the place of its last one, for as long as `keep`.
    async fn post(&self, topic: &str, process: WorkerId, notice: Value, keep: Duration);

    /// The notices under a topic, in the order of the processes' ids.
    async fn read(&self, topic: &str) -> Result<Vec<(WorkerId, Value)>, NoticeboardError>;

    /// Whether this process may do for all what has this name, for as long as `keep`: one
    /// process at a time holds that lease. Its holder renews it by asking again, and gives it
    /// up by asking for no time at all.
    async fn lead(
        &self,
        name: &str,
        process: WorkerId,
        keep: Duration,
    ) -> Result<bool, NoticeboardError>;
}

/// A part of a noticeboard, for processes that are concerned with one another alone: several
/// installations may share the server behind it.
#[derive(Debug)]
pub struct PartOfBoard {
    whole: Arc<dyn Noticeboard>,
    of: String,
}

impl PartOfBoard {
    /// The part that has this name.
    #[must_use]
    pub fn new(whole: Arc<dyn Noticeboard>, of: impl std::fmt::Display) -> Self {
        Self { whole, of: of.to_string() }
    }

    fn name(&self, name: &str) -> String {
        format!("{}:{name}", self.of)
    }
}

#[async_trait]
impl Noticeboard for PartOfBoard {
    async fn post(&self, topic: &str, process: WorkerId, notice: Value, keep: Duration) {
        self.whole.post(&self.name(topic), process, notice, keep).await;
    }

    async fn read(&self, topic: &str) -> Result<Vec<(WorkerId, Value)>, NoticeboardError> {
        self.whole.read(&self.name(topic)).await
    }

    async fn lead(
        &self,
        name: &str,
        process: WorkerId,
        keep: Duration,
    ) -> Result<bool, NoticeboardError> {
        self.whole.lead(&self.name(name), process, keep).await
    }
}
