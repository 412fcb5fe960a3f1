//! A job as clients see it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{BatchId, JobId};
use crate::jobs::{JobKind, Step};
use crate::model::Failure;
use crate::problem::Problem;

/// Where a job stands. The last four are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted, or between two steps.
    Queued,
    /// A worker holds it.
    Running,
    /// It cannot go on before a due time; `reason` and `until` say why and when.
    Waiting,
    /// It ended well.
    Done,
    /// It ended badly; `problem` says why.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It failed in a way that an operator should look at, and can be replayed.
    Dead,
}

impl JobState {
    /// Every state there is.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// The name in rows and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Dead)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| format!("no job state is named {name:?}"))
    }
}

/// What the last failed try of a job ran into, as its owner sees it. The causes may name
/// hosts, and are for administrators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// The class of the error.
    pub code: String,
    /// Its sentence.
    pub detail: String,
    /// The attempt that ran into it.
    pub attempt: u32,
    /// When.
    pub at: Time,
}

impl From<Failure> for LastError {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, attempt, at, .. } = failure;
        Self { code, detail, attempt, at }
    }
}

/// One accepted unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, the same over all steps and attempts.
    pub id: JobId,
    /// Its kind.
    pub kind: JobKind,
    /// The step it is at.
    pub step: Step,
    /// Where it stands.
    pub state: JobState,
    /// Why it does not run, a code of [`Reason`](super::Reason); null while it does, and
    /// once it has ended. The store knows it of a job that waits.
    pub reason: Option<String>,
    /// When it is tried again, where that is known.
    pub until: Option<Time>,
    /// Why it failed; null unless it did.
    pub problem: Option<Problem>,
    /// How often a step of it was claimed, or the job replayed.
    pub attempt: u32,
    /// What the last try that failed ran into; null where none did.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// The upload it belongs to, if any.
    pub batch_id: Option<BatchId>,
    /// What it works on: the document or the answer.
    pub subject_id: uuid::Uuid,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When it ended.
    pub finished_at: Option<Time>,
}
