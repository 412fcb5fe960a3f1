//! Batches: what is counted of their files, and how they are paused, resumed, cancelled and
//! tried again.
//!
//! Nothing is counted where a job ends: the files of a batch are counted over an index when
//! somebody asks. So ten thousand jobs that end do not wait for one row, and the counts are
//! those of the rows, whatever was killed.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{IdempotencyKey, NewAuditEntry, Replay, ReplayReport, StoreError, Unclaimed};
use crate::clock::Time;
use crate::ids::{BatchId, JobId, PrincipalId, WorkspaceId};
use crate::model::{Batch, BatchItem, BatchState, BatchSummary, JobState, Page, PageRequest};

/// A batch that files are added to later.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Its id.
    pub id: BatchId,
    /// Whose it is.
    pub principal_id: PrincipalId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// How many files it will have: with the last of them it is complete, and takes more all
    /// the same until it is closed.
    pub expected: Option<u64>,
    /// When it was begun.
    pub created_at: Time,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
}

/// What is wanted of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// No more files will be added.
    Close,
    /// What no worker has at this moment does not begin.
    Pause,
    /// What waited goes on at once, one file after another.
    Resume {
        /// The time between one file and the next.
        every: TimeDelta,
        /// How long each file may take from now on.
        time: TimeDelta,
    },
    /// Everything unfinished ends. Its files end by [`Batches::cancel_batch_files`].
    Cancel,
}

/// What became of a wish to steer a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Steered {
    /// It is as wished now.
    Changed(Batch),
    /// It was so before.
    Unchanged(Batch),
    /// In this state it cannot be.
    Refused(BatchState),
}

/// Files of a batch that were cancelled in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelledFiles {
    /// Jobs that have ended, with the attempts they had: nobody else tells of their end.
    pub ended: Vec<(JobId, u32)>,
    /// Jobs that a worker holds, and that it was asked to stop.
    pub asked: Vec<JobId>,
    /// Whether a next step would find more.
    pub more: bool,
}

/// What became of a wish to try failed files again.
#[derive(Clone, Debug, PartialEq)]
pub enum Retried {
    /// So many are queued again; `remaining` have failed and are not.
    Retried(ReplayReport),
    /// In this state it cannot be.
    Refused(BatchState),
}

/// Batches. A principal that is given sees its own alone; another's is as missing.
#[async_trait]
pub trait Batches: Send + Sync {
    /// Begins a batch that files are added to later; `Conflict` under an idempotency key that
    /// is taken.
    async fn create_batch(
        &self,
        workspace: WorkspaceId,
        batch: NewBatch,
        audit: NewAuditEntry,
    ) -> Result<Batch, StoreError>;

    /// The workspace's batches, newest first, counted as of `now`.
    async fn list_batches(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        page: PageRequest,
        now: Time,
    ) -> Result<Page<Batch>, StoreError>;

    /// One batch, counted as of `now`.
    async fn batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        now: Time,
    ) -> Result<Option<Batch>, StoreError>;

    /// What became of a batch's files.
    async fn batch_summary(
        &self,
        workspace: WorkspaceId,
        batch: &Batch,
    ) -> Result<BatchSummary, StoreError>;

    /// The files of a batch, in the order in which they were accepted. None where there is
    /// no such batch. Files that were there already are counted, and not listed: they have
    /// no job of this batch.
    async fn batch_items(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        state: Option<JobState>,
        page: PageRequest,
    ) -> Result<Option<Page<BatchItem>>, StoreError>;

    /// Closes, pauses, resumes or cancels a batch. None where there is no such batch. The
    /// entry for the audit log is written where something changes.
    async fn steer_batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        steer: Steer,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Steered>, StoreError>;

    /// Ends the next unfinished files of a batch that is being cancelled, at most `limit`,
    /// each with its document. Once none is unfinished the batch is cancelled.
    async fn cancel_batch_files(
        &self,
        workspace: WorkspaceId,
        batch: BatchId,
        limit: u32,
        now: Time,
    ) -> Result<CancelledFiles, StoreError>;

    /// Gives files that have failed, the dead among them, another life, at most `limit`. None
    /// where there is no such batch.
    async fn retry_batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        limit: u32,
        replay: Replay,
    ) -> Result<Option<Retried>, StoreError>;

    /// Has a step wait whose batch is paused, under another message, until the batch is
    /// resumed; it counts as no try. False where the batch is not paused any more, or where
    /// the step is not to be put off: a claim says which.
    async fn wait_for_batch(
        &self,
        workspace: WorkspaceId,
        step: Unclaimed,
    ) -> Result<bool, StoreError>;
}
