//! What is done by the clock: when, by whose wish, and how each run went.

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::WorkspaceId;
use crate::model::{Page, PageRequest, RunState, Schedule, ScheduleRun, Timing};
use crate::schedule::Missed;

/// A schedule as a process's configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleOffer {
    /// Its name.
    pub name: String,
    /// What is done: the name of a task.
    pub task: String,
    /// How that is to be done.
    pub options: Value,
    /// When.
    pub timing: Timing,
    /// Whether it is wanted, and this process can do it.
    pub enabled: bool,
}

/// What becomes of a moment that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A run is made for it. Where the run before has not ended, it is `skipped`.
    Run(Time),
    /// It passed while no process was there, and stays undone.
    Missed(Time),
}

/// What came of taking a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Nothing: somebody else has taken it, or the schedule is not as it was read.
    Not,
    /// The next moment is set.
    Set,
    /// That, and there is a run in this state: `queued`, `skipped` or `missed`.
    Run(RunState),
}

/// What an operator changes of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// No moment makes a run until it is resumed.
    Pause,
    /// Moments make runs again, from now on.
    Resume,
    /// When it is due; what is none stays as it is. Stays until it is changed again.
    Timing {
        /// Another expression.
        cron: Option<String>,
        /// Another zone.
        zone: Option<String>,
        /// Another way with missed moments.
        missed: Option<Missed>,
    },
    /// When it is due is again what the configuration says.
    Reset,
}

/// What came of the wish to run a schedule now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A run waits for a worker.
    Queued,
    /// The run before has not ended.
    Unfinished(Uuid),
    /// There is no such schedule, or it is not wanted here.
    Missing,
}

/// A run that a worker has: its writes are refused once another one has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldRun {
    /// The run.
    pub id: Uuid,
    /// The number of the claim.
    pub attempt: u32,
}

/// A run that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedRun {
    /// The claim.
    pub held: HeldRun,
    /// The run.
    pub run: ScheduleRun,
    /// How far an earlier claim came.
    pub checkpoint: Option<Value>,
}

/// How a claim of a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It was done.
    Done {
        /// What came of it.
        report: Value,
    },
    /// It could not be done.
    Failed {
        /// Why.
        error: String,
    },
    /// It is to be tried again, no sooner than then.
    Again {
        /// Why it was not done.
        error: String,
        /// From when on another claim is given.
        at: Time,
        /// Whether this claim counts as a try.
        tried: bool,
    },
}

/// The schedules of the installation. What it tells does not travel with a backup or a move.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Writes down what a process's configuration has. What an operator has changed stays. A
    /// schedule whose timing is another than before has no next moment until one is set.
    async fn offer_schedules(&self, offers: &[ScheduleOffer], now: Time) -> Result<(), StoreError>;

    /// Says that these are still offered. Returns how many of them are wanted.
    async fn keep_schedules(&self, names: &[String], now: Time) -> Result<u64, StoreError>;

    /// Switches off what no process has offered since `before`. Returns how many.
    async fn retire_schedules(&self, before: Time) -> Result<u64, StoreError>;

    /// All schedules by name, each with its last run and the one that has not ended.
    async fn list_schedules(&self) -> Result<Vec<Schedule>, StoreError>;

    /// Takes a moment of a schedule: in one transaction its next moment becomes `next`, and the
    /// run that the moment makes is there. Nothing where somebody else has taken it, or the
    /// schedule was changed, paused or switched off since `seen` was read. Without a moment only
    /// the next one is set.
    async fn fire_schedule(
        &self,
        seen: &Schedule,
        moment: Option<Moment>,
        next: Time,
        run: Uuid,
        now: Time,
    ) -> Result<Fired, StoreError>;

    /// Changes a schedule, with the entry in this workspace's audit log. False where there is
    /// none of this name.
    async fn change_schedule(
        &self,
        name: &str,
        change: ScheduleChange,
        audit: (WorkspaceId, NewAuditEntry),
        now: Time,
    ) -> Result<bool, StoreError>;

    /// Makes a run at somebody's wish, paused or not, with the entry in this workspace's audit
    /// log.
    async fn ask_run(
        &self,
        name: &str,
        run: Uuid,
        options: Value,
        audit: (WorkspaceId, NewAuditEntry),
        now: Time,
    ) -> Result<Asked, StoreError>;

    /// Takes the run of a task that has waited the longest: one that nobody has begun, or whose
    /// worker has not renewed it in time. Of any number that ask at once, one is given it.
    async fn claim_run(
        &self,
        task: &str,
        lease_until: Time,
        now: Time,
    ) -> Result<Option<ClaimedRun>, StoreError>;

    /// Says that a run is still worked on, and how far it is; having got further, what stops it
    /// next is the first thing that does. False where somebody else has taken it over.
    async fn renew_run(
        &self,
        held: HeldRun,
        checkpoint: Option<Value>,
        lease_until: Time,
    ) -> Result<bool, StoreError>;

    /// Says how a claim ended. False where somebody else has taken the run over.
    async fn end_run(&self, held: HeldRun, end: RunEnd, now: Time) -> Result<bool, StoreError>;

    /// The runs of a schedule, newest first.
    async fn list_runs(
        &self,
        schedule: &str,
        page: PageRequest,
    ) -> Result<Page<ScheduleRun>, StoreError>;

    /// A run.
    async fn schedule_run(&self, id: Uuid) -> Result<Option<ScheduleRun>, StoreError>;

    /// The last run of a schedule that was done.
    async fn last_done(&self, schedule: &str) -> Result<Option<ScheduleRun>, StoreError>;
}
