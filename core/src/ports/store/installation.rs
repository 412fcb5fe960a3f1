//! What concerns the installation and no single workspace.

use async_trait::async_trait;

use super::{NewAuditEntry, NewKey, StoreError};
use crate::clock::Time;
use crate::ids::{JobId, OutboxId, WorkspaceId};
use crate::jobs::{ENVELOPE_VERSION, Envelope, NewJob, Step};
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

/// How an installation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The oldest workspace, made now or before.
    pub workspace_id: WorkspaceId,
    /// Whether the key was made: the workspace had none.
    pub key_made: bool,
}

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// The message.
    pub envelope: Envelope,
    /// The attempts its job has had; 0 if no worker ever took it.
    pub attempt: u32,
}

impl OutboxRow {
    /// The message of a job's first step, as the store gives it once the job is accepted.
    #[must_use]
    pub fn of(workspace: WorkspaceId, job: &NewJob) -> Self {
        let envelope = Envelope {
            v: ENVELOPE_VERSION,
            outbox_id: job.outbox_id,
            job_id: job.id,
            step: job.step,
            workspace_id: workspace,
            principal_id: job.principal_id,
            payload: job.payload.clone(),
            traceparent: job.traceparent.clone(),
            enqueued_at: job.created_at,
            deadline: job.deadline,
        };
        Self { envelope, attempt: 0 }
    }
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

/// Whether an installation may be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Whole,
    /// It is being moved in and is not whole: the move that began it has not ended.
    Arriving {
        /// Where it comes from, for people.
        from: String,
        /// When the move began.
        since: Time,
    },
    /// It was moved away: what is here is no longer it.
    Moved {
        /// Where it is now, for people.
        to: String,
        /// When the move ended.
        at: Time,
    },
}

/// The installation's side of the store. Hands out ids and states, never contents.
#[async_trait]
pub trait Installation: Send + Sync {
    /// Makes a workspace.
    async fn create_workspace(&self, workspace: NewWorkspace) -> Result<(), StoreError>;

    /// Makes this workspace where there is none at all, and this key in the oldest
    /// workspace where that one has none, revoked ones counted. Of any number of these at
    /// once, one makes the workspace and one the key (`Conflict` where the key's prefix is
    /// taken in another workspace).
    async fn begin(
        &self,
        workspace: NewWorkspace,
        key: NewKey,
        audit: NewAuditEntry,
    ) -> Result<Begun, StoreError>;

    /// The oldest workspace, if there is any.
    async fn first_workspace(&self) -> Result<Option<WorkspaceId>, StoreError>;

    /// Workspaces in the order in which they were made, after the given one, at most
    /// `limit`.
    async fn workspaces_after(
        &self,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<WorkspaceId>, StoreError>;

    /// The workspaces that have budgets of their own, or whose principals do, at most `limit`.
    async fn workspaces_with_budgets(&self, limit: u32) -> Result<Vec<WorkspaceId>, StoreError>;

    /// Whether the installation may be used here.
    async fn standing(&self) -> Result<Standing, StoreError>;

    /// Says whether it may. On disk before this returns, and all that was written before.
    async fn set_standing(&self, standing: &Standing) -> Result<(), StoreError>;

    /// Removes every row of every workspace. What the store says of its standing stays.
    async fn clear(&self) -> Result<(), StoreError>;

    /// The key with this public prefix, revoked or not.
    async fn find_key(&self, prefix: &str) -> Result<Option<StoredKey>, StoreError>;

    /// Takes messages that are due and not sent, oldest due time first, at most `limit`.
    /// No other call is given them before `hold_until`: several relays share the work,
    /// and what one of them took and never marked as sent becomes due again.
    async fn outbox_take(
        &self,
        now: Time,
        hold_until: Time,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// When the next unsent message is due; none if there is none.
    async fn outbox_next_due(&self) -> Result<Option<Time>, StoreError>;

    /// How many messages are not sent, counted up to `cap`.
    async fn outbox_unsent(&self, cap: u32) -> Result<u64, StoreError>;

    /// Marks messages as sent. Repeating it is harmless.
    async fn outbox_sent(&self, rows: &[OutboxId], now: Time) -> Result<(), StoreError>;

    /// Gives back messages that were taken and could not be published: due at `due_at`.
    /// Those that were sent meanwhile stay sent.
    async fn outbox_give_back(&self, rows: &[OutboxId], due_at: Time) -> Result<(), StoreError>;

    /// For a queue that forgets with its process, at start: every unfinished job's
    /// message counts as unsent and due, and no lease of a former process holds.
    /// Returns how many messages.
    async fn outbox_restart(&self, now: Time) -> Result<u64, StoreError>;

    /// For a queue that lost its messages, which its being empty shows: up to `limit`
    /// messages of a step that were sent before `sent_before`, and whose jobs are still
    /// queued, count as unsent and due. Returns how many.
    async fn outbox_resend(
        &self,
        step: Step,
        sent_before: Time,
        now: Time,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Re-enqueues up to `limit` jobs whose lease ran out, so that another worker takes
    /// them. Returns how many.
    async fn requeue_expired(&self, now: Time, limit: u32) -> Result<u64, StoreError>;

    /// Ends up to `limit` jobs that are past their deadline and not running, as failed
    /// with the code `deadline_passed`. Their answers and documents fail with them.
    async fn fail_overdue(&self, now: Time, limit: u32) -> Result<Vec<Swept>, StoreError>;

    /// Removes up to `limit` idempotency keys made before `before`.
    async fn forget_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, StoreError>;

    /// Removes up to `limit` messages of jobs that have ended. A message goes with the end
    /// of its job; this is for what a crash of the database server may have left.
    async fn forget_ended_messages(&self, limit: u32) -> Result<u64, StoreError>;

    /// Does what the database needs from time to time, such as an index over what has
    /// grown, which may take minutes. Safe in several processes at once: one works.
    async fn upkeep(&self) -> Result<(), StoreError>;

    /// Whether the store serves.
    async fn ping(&self) -> Result<(), StoreError>;
}
