//! Jobs: lists, claims with lease and fencing attempt, settlement.
//!
//! A claim is the only way to run a step. It raises the job's attempt, and every later
//! write carries that number: a worker that lost its lease writes nothing.

use async_trait::async_trait;
use serde_json::Value;

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{JobId, OutboxId, PrincipalId, WorkerId, WorkspaceId};
use crate::jobs::{JobKind, Step};
use crate::model::{Failure, Job, JobState, Page, PageRequest};
use crate::ports::model_call::ModelCall;
use crate::problem::Problem;

/// A held claim: who may write for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job_id: JobId,
    /// The step.
    pub step: Step,
    /// The attempt that this claim made.
    pub attempt: u32,
    /// The outbox row whose message brought it.
    pub outbox_id: OutboxId,
}

/// A wish to claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The job.
    pub job_id: JobId,
    /// The step that the message names.
    pub step: Step,
    /// The message's outbox row.
    pub outbox_id: OutboxId,
    /// Who claims.
    pub worker: WorkerId,
    /// The moment it is now.
    pub now: Time,
    /// When the claim lapses unless it is extended.
    pub lease_until: Time,
}

/// A claim that was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The claim.
    pub claim: Claim,
    /// Whether this step had begun before: its partial output is void.
    pub restarted: bool,
    /// How often this step was claimed, this time included.
    pub step_attempt: u32,
    /// The step's payload, as the store holds it.
    pub payload: Value,
    /// Who asked.
    pub principal_id: PrincipalId,
    /// After this the work is no longer wanted.
    pub deadline: Option<Time>,
    /// When the job was accepted.
    pub created_at: Time,
}

/// What became of a wish to claim.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimOutcome {
    /// It is granted.
    Claimed(Box<Claimed>),
    /// Another worker holds the job until its lease ends: give the message back later.
    Held {
        /// When the lease ends.
        until: Time,
    },
    /// The job has ended: the message can be dropped, and the terminal event may be
    /// missing from the log.
    Ended {
        /// The job as it ended.
        job: Box<Job>,
    },
    /// Its batch is paused: have it wait, see
    /// [`Batches::wait_for_batch`](super::Batches::wait_for_batch).
    BatchPaused,
    /// The message is of a step that is past, or of a job that is gone: drop it.
    Stale,
    /// A cancel was requested before this claim: the job has now ended as cancelled.
    Cancelled {
        /// The attempts it had.
        attempt: u32,
    },
}

/// The next step of a job, written in the transaction that ends the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// The step.
    pub step: Step,
    /// Its payload.
    pub payload: Value,
    /// Its outbox row.
    pub outbox_id: OutboxId,
    /// When it is due: now, for a step that need not wait.
    pub due_at: Time,
    /// Who goes on with it at once; none where whoever takes its message does.
    pub kept: Option<Kept>,
}

/// The worker that ran one step goes on with the next, which then needs no message: the
/// job stays claimed, by the attempt after the one that ended. Should the worker die, its
/// lease runs out, and the step is queued like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Who goes on.
    pub worker: WorkerId,
    /// When the claim lapses unless it is extended.
    pub lease_until: Time,
}

/// Why a claimed step is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOff<'a> {
    /// Machine-readable, and shown: `model_unavailable`.
    pub reason: &'a str,
    /// Whether the step was tried. One that could not begin, because a provider is left
    /// alone, counts as one try however often that happens.
    pub is_try: bool,
    /// What it ran into, to be kept on the job; none leaves what stands there.
    pub failure: Option<&'a Failure>,
}

impl<'a> PutOff<'a> {
    /// After a try that failed.
    #[must_use]
    pub fn after_try(reason: &'a str) -> Self {
        Self { reason, is_try: true, failure: None }
    }

    /// Before anything was tried.
    #[must_use]
    pub fn untried(reason: &'a str) -> Self {
        Self { reason, is_try: false, failure: None }
    }
}

/// A step that nobody has claimed, and that is put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclaimed {
    /// The job.
    pub job_id: JobId,
    /// The step that the message names.
    pub step: Step,
    /// The message's outbox row.
    pub outbox_id: OutboxId,
    /// The row that takes its place.
    pub next_outbox_id: OutboxId,
    /// Why it waits.
    pub reason: &'static str,
    /// When it is due.
    pub due_at: Time,
    /// The moment it is now.
    pub now: Time,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease was extended.
    Held,
    /// The lease was extended, and somebody wants the job cancelled.
    CancelRequested,
    /// The claim is stale: stop.
    Lost,
}

/// What became of a wish to cancel.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelOutcome {
    /// No worker held it: it has ended as cancelled, with its answer or document.
    Cancelled(Job),
    /// A worker holds it and was told.
    Requested(Job),
    /// It had ended before.
    Ended(Job),
}

/// Which jobs a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only this principal's; none for those who may see everybody's.
    pub principal_id: Option<PrincipalId>,
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those of this kind.
    pub kind: Option<JobKind>,
}

/// Jobs. What ends a claim also takes the requests to models that were sent under it, and
/// writes them in the same transaction. Where the claim is stale nothing is written: the
/// requests are then handed to `Money::save_calls`, since they were sent all the same.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// The workspace's jobs, newest first.
    async fn list_jobs(
        &self,
        workspace: WorkspaceId,
        filter: JobFilter,
        page: PageRequest,
    ) -> Result<Page<Job>, StoreError>;

    /// One job; only the principal's own, where one is given.
    async fn job(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        job: JobId,
    ) -> Result<Option<Job>, StoreError>;

    /// Claims a step until the lease ends. See [`ClaimOutcome`].
    async fn claim(
        &self,
        workspace: WorkspaceId,
        request: ClaimRequest,
    ) -> Result<ClaimOutcome, StoreError>;

    /// Extends the lease.
    async fn heartbeat(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        lease_until: Time,
    ) -> Result<Heartbeat, StoreError>;

    /// Puts the job off: state `waiting` with the reason until the due time of `next`,
    /// which is the same step again.
    async fn put_off(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        why: PutOff<'_>,
        next: Advance,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError>;

    /// Puts a step off that nobody has claimed: state `waiting` with the reason until it is
    /// due, under another message. It counts as no try. False where somebody has claimed
    /// it, or it has ended, or somebody wants it cancelled: a claim says which.
    async fn put_off_unclaimed(
        &self,
        workspace: WorkspaceId,
        step: Unclaimed,
    ) -> Result<bool, StoreError>;

    /// Makes those of the jobs due now that wait for this reason. Returns which do, whether or
    /// not their messages are on their way already.
    async fn bring_forward(
        &self,
        workspace: WorkspaceId,
        jobs: &[JobId],
        reason: &str,
        now: Time,
    ) -> Result<Vec<JobId>, StoreError>;

    /// Hands the step back unharmed, as a draining worker does: queued, due at once. However
    /// often that happens, it counts as one try of the step.
    async fn hand_back(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        next: Advance,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError>;

    /// Ends the job as `failed` with its document or answer, in one transaction. As `dead`
    /// it is [`DeadLetters::bury`](super::DeadLetters::bury) without a failure of its own.
    async fn fail(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        state: JobState,
        problem: Problem,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError>;

    /// Ends the job as `cancelled` with its document or answer, in one transaction.
    async fn cancel(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError>;

    /// Ends the job as done where its subject is gone.
    async fn finish_without_subject(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        now: Time,
    ) -> Result<(), StoreError>;

    /// Wishes a job cancelled; only the principal's own, where one is given. None if
    /// there is no such job.
    async fn request_cancel(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        job: JobId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<CancelOutcome>, StoreError>;
}
