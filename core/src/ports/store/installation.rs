//! What concerns the installation and no single workspace.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Time;
use crate::ids::{JobId, OutboxId, WorkspaceId};
use crate::jobs::Envelope;
use crate::model::{JobState, StoredKey};

/// A workspace to be made.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name, for people.
    pub name: String,
    /// When it is made.
    pub created_at: Time,
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// The message.
    pub envelope: Envelope,
    /// The attempts its job has had; 0 if no worker ever took it.
    pub attempt: u32,
}

/// A job that a sweep has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// The job.
    pub job_id: JobId,
    /// Its last attempt.
    pub attempt: u32,
    /// The state it was given.
    pub state: JobState,
}

/// The installation's side of the store. Hands out ids and states, never contents.
#[async_trait]
pub trait Installation: Send + Sync {
    /// Makes a workspace.
    async fn create_workspace(&self, workspace: NewWorkspace) -> Result<(), StoreError>;

    /// The oldest workspace, if there is any.
    async fn first_workspace(&self) -> Result<Option<WorkspaceId>, StoreError>;

    /// The key with this public prefix, revoked or not.
    async fn find_key(&self, prefix: &str) -> Result<Option<StoredKey>, StoreError>;

    /// Messages that are due and not sent, oldest due time first, at most `limit`.
    async fn outbox_due(&self, now: Time, limit: u32) -> Result<Vec<OutboxRow>, StoreError>;

    /// When the next unsent message is due; none if there is none.
    async fn outbox_next_due(&self) -> Result<Option<Time>, StoreError>;

    /// Marks messages as sent. Repeating it is harmless.
    async fn outbox_sent(&self, rows: &[OutboxId], now: Time) -> Result<(), StoreError>;

    /// For a queue that forgets with its process, at start: every unfinished job's
    /// message counts as unsent and due, and no lease of a former process holds.
    /// Returns how many messages.
    async fn outbox_restart(&self, now: Time) -> Result<u64, StoreError>;

    /// Re-enqueues up to `limit` jobs whose lease ran out, so that another worker takes
    /// them. Returns how many.
    async fn requeue_expired(&self, now: Time, limit: u32) -> Result<u64, StoreError>;

    /// Ends up to `limit` jobs that are past their deadline and not running, as failed
    /// with the code `deadline_passed`. Their answers and documents fail with them.
    async fn fail_overdue(&self, now: Time, limit: u32) -> Result<Vec<Swept>, StoreError>;

    /// Removes up to `limit` idempotency keys made before `before`.
    async fn forget_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, StoreError>;

    /// Whether the store serves.
    async fn ping(&self) -> Result<(), StoreError>;
}
