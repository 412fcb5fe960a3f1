//! Schedules: what is done by the clock, when it is due, and how it went.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Time;
use crate::schedule::Missed;

/// The schedule of backups, and what it does.
pub const BACKUP: &str = "backup";
/// The schedule of the check of what is stored, and what it does.
pub const CHECK: &str = "check";

/// How a run stands. All but the first two are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A worker will take it.
    Queued,
    /// A worker has it.
    Running,
    /// It was done.
    Done,
    /// It could not be done.
    Failed,
    /// Its moment passed while no process was there, and it was not made up for.
    Missed,
    /// The run before had not ended at its moment.
    Skipped,
}

impl RunState {
    /// Every state there is.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Missed, Self::Skipped];

    /// The name in rows, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text} is no state of a run"))
    }
}

/// When something is due: a cron expression in a zone, and what is done about moments that
/// passed while no process was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// A time zone of the IANA database.
    pub zone: String,
    /// See there.
    pub missed: Missed,
}

/// Something that is done by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// What is done: the name of a task.
    pub task: String,
    /// How that is to be done; what a task reads of it is its own.
    pub options: Value,
    /// When, as it is now.
    #[serde(flatten)]
    pub timing: Timing,
    /// When, as the configuration has it: the two differ where an operator has changed it.
    pub configured: Timing,
    /// Whether the configuration wants it, and a worker can do it.
    pub enabled: bool,
    /// Since when it is paused.
    pub paused_at: Option<Time>,
    /// The next moment that is due. None where it is paused or not wanted.
    pub next_at: Option<Time>,
    /// The run that waits or is under way.
    pub current: Option<ScheduleRun>,
    /// The last run that has ended.
    pub last: Option<ScheduleRun>,
}

impl Schedule {
    /// For how long it has been due, in seconds: its next moment, or a run that nobody takes.
    #[must_use]
    pub fn lateness(&self, now: Time) -> f64 {
        let waiting = self.current.as_ref().filter(|run| run.state == RunState::Queued);
        // One that is put off has been tried, and is due later.
        let waiting = waiting.filter(|run| run.tries == 0).map(|run| run.queued_at);
        let next = self.next_at.filter(|_| self.enabled && self.paused_at.is_none());
        let since = waiting.into_iter().chain(next).min();
        since.map_or(0.0, |since| crate::metrics::seconds(since, now))
    }
}

/// One time that something was done by the clock, or because somebody asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// Its id.
    pub id: Uuid,
    /// The schedule's name.
    pub schedule: String,
    /// What is done.
    pub task: String,
    /// How that is to be done.
    pub options: Value,
    /// The moment of the schedule that it is for; none where somebody asked for it.
    pub due_at: Option<Time>,
    /// How it stands.
    pub state: RunState,
    /// How often it was begun since it last got further.
    pub tries: u32,
    /// When it came into being.
    pub queued_at: Time,
    /// When it was begun for the first time.
    pub began_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Why it failed, or failed the last time.
    pub error: Option<String>,
    /// What came of it; its form is the task's own.
    pub report: Option<Value>,
}
