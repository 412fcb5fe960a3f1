//! What concerns the installation and no single workspace.

use async_trait::async_trait;

use super::{NewAuditEntry, NewDeadMessage, NewKey, StoreError};
use crate::clock::Time;
use crate::ids::{BatchId, JobId, OutboxId, WorkspaceId};
use crate::jobs::{ENVELOPE_VERSION, Envelope, JobKind, NewJob, Step};
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

/// The unfinished work of one kind that a workspace has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// Its jobs that have not ended.
    pub jobs: u64,
    /// Of these, those that no worker has begun, and since when the oldest of them waits.
    pub unstarted: u64,
    /// See above.
    pub unstarted_since: Option<Time>,
    /// Of these, those that no worker has looked at (who was put off for others' sake was
    /// looked at), and since when the oldest of them waits.
    pub untouched: u64,
    /// See above.
    pub untouched_since: Option<Time>,
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

/// A job that waits in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedJob {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// The job.
    pub job_id: JobId,
    /// When its message is due.
    pub due_at: Time,
    /// Whether its message was sent to the queue.
    pub sent: bool,
}

/// What the queue of a step has, by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLoad {
    /// The step.
    pub step: Step,
    /// Jobs that are due and that no worker has, those that wait for their workspace's turn
    /// included: they come as soon as there is room.
    pub ready: u64,
    /// Jobs that a worker has.
    pub running: u64,
    /// Since when the oldest that is due has been.
    pub oldest_at: Option<Time>,
}

/// Work of one sort that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The step, or the reason.
    pub name: String,
    /// How many jobs.
    pub count: u64,
    /// Since when the oldest of them stands.
    pub oldest_at: Time,
}

/// Work that stands still, by what keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StuckWork {
    /// Queued jobs that have been due since before the moment asked for, by step.
    pub queued: Vec<Backlog>,
    /// Jobs that wait, by reason, with when the oldest of them was accepted.
    pub waiting: Vec<Backlog>,
    /// Running jobs whose lease ended before that moment.
    pub expired: Option<Backlog>,
    /// Messages that have been due since before that moment and are on no queue.
    pub unsent: Option<Backlog>,
}

/// Dead letters of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadCount {
    /// The kind of job, or `message`.
    pub kind: String,
    /// The class of the error.
    pub code: String,
    /// How many.
    pub count: u64,
}

/// What became of a dead message that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptMessage {
    /// It is, now or since before.
    Kept,
    /// As many as may be are kept: it stays where it is.
    Full,
    /// There is no workspace that could keep it.
    NoWorkspace,
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

    /// Takes messages that are due and not sent, at most `limit`: those of questions first,
    /// then those of documents, each oldest due time first.
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

    /// The unfinished work of a kind, by workspaces: what runs, and of what waits and has a
    /// deadline before `until` the `limit` jobs whose deadlines are the nearest.
    async fn unfinished(
        &self,
        kind: JobKind,
        until: Time,
        limit: u32,
    ) -> Result<Vec<Unfinished>, StoreError>;

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

    /// Makes up to `limit` questions due now that wait for this reason and are not yet: of each
    /// workspace in turn, the oldest first. Returns them.
    async fn call_turns(
        &self,
        reason: &str,
        limit: u32,
        now: Time,
    ) -> Result<Vec<(WorkspaceId, JobId)>, StoreError>;

    /// Re-enqueues up to `limit` jobs whose lease ran out, so that another worker takes
    /// them. Returns how many.
    async fn requeue_expired(&self, now: Time, limit: u32) -> Result<u64, StoreError>;

    /// Ends up to `limit` jobs that are past their deadline and not running, as failed
    /// with the code `deadline_passed`. Their answers and documents fail with them. A file
    /// whose batch is paused is not late: its time begins anew when the batch is resumed.
    async fn fail_overdue(&self, now: Time, limit: u32) -> Result<Vec<Swept>, StoreError>;

    /// Batches that are being cancelled, at most `limit`: whoever began it may be gone.
    async fn batches_to_cancel(
        &self,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, BatchId)>, StoreError>;

    /// Accounts up to `limit` requests to models that nobody will tell of any more, as `lost`
    /// and at what they were taken to cost: those of jobs that ended before `ended_before`,
    /// and those of no job that were sent before `sent_before`. Returns how many.
    async fn settle_lost_calls(
        &self,
        ended_before: Time,
        sent_before: Time,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Removes up to `limit` idempotency keys made before `before`.
    async fn forget_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, StoreError>;

    /// Takes the files of up to `limit` exports out of their rows whose time is over, the
    /// oldest first. Returns their keys, for the caller to remove.
    async fn expire_exports(
        &self,
        now: Time,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, String)>, StoreError>;

    /// Keeps a message that its queue gave up, as a dead letter of the workspace that it
    /// names where that has the job it names; else of the oldest one, whose administrators
    /// are the installation's, and without its body where it names another. At most `cap`
    /// messages are kept. On disk before this returns.
    async fn keep_dead_message(
        &self,
        message: NewDeadMessage,
        cap: u32,
    ) -> Result<KeptMessage, StoreError>;

    /// Counts the dead letters of all workspaces by kind and class, the largest groups
    /// first, at most `limit` groups.
    async fn dead_counts(&self, limit: u32) -> Result<Vec<DeadCount>, StoreError>;

    /// The jobs that are queued at a step, in the order of their queue, at most `limit`.
    async fn queue_front(&self, step: Step, limit: u32) -> Result<Vec<QueuedJob>, StoreError>;

    /// What the queues have that have anything, in the order of their steps' names.
    /// `turn` is the reason of those that wait for their workspace's turn.
    async fn queue_loads(&self, turn: &str, now: Time) -> Result<Vec<QueueLoad>, StoreError>;

    /// What has stood still since before a moment.
    async fn stuck_work(&self, before: Time) -> Result<StuckWork, StoreError>;

    /// Removes up to `limit` messages of jobs that have ended. A message goes with the end
    /// of its job; this is for what a crash of the database server may have left.
    async fn forget_ended_messages(&self, limit: u32) -> Result<u64, StoreError>;

    /// Does what the database needs from time to time, such as an index over what has
    /// grown, which may take minutes. Safe in several processes at once: one works.
    async fn upkeep(&self) -> Result<(), StoreError>;

    /// Whether the store serves.
    async fn ping(&self) -> Result<(), StoreError>;
}
