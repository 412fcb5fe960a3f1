//! A batch: the files of one upload, or of several that belong together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::JobState;
use crate::clock::Time;
use crate::ids::{BatchId, DocumentId, JobId};
use crate::problem::Problem;

/// Where a batch stands. The last two are final, but for a retry of what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Files of it are worked on, or wait for a worker.
    Running,
    /// No file of it begins until it is resumed.
    Paused,
    /// Everything that was accepted has ended, and more files may come.
    Open,
    /// It is being cancelled: some of its files have not ended yet.
    Cancelling,
    /// Every file has ended.
    Done,
    /// It was cancelled, and every file has ended.
    Cancelled,
}

impl BatchState {
    /// Every state there is.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Paused, Self::Open, Self::Cancelling, Self::Done, Self::Cancelled];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Open => "open",
            Self::Cancelling => "cancelling",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to its files.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BatchState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| format!("no state of a batch is named {name:?}"))
    }
}

/// The files of one upload, or of several, and how far they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Where it stands.
    pub state: BatchState,
    /// How many files it has; of one that more files may come to, how many are expected.
    pub total: u64,
    /// Files that have ended well, those among them that were there already.
    pub done: u64,
    /// Files that have failed.
    pub failed: u64,
    /// Files that were cancelled.
    pub cancelled: u64,
    /// Files that a worker has at this moment.
    pub running: u64,
    /// Files that were there already, byte for byte.
    pub duplicates: u64,
    /// The size of all its files, in bytes.
    pub size_bytes: u64,
    /// Files that end in a second, of late; null where that is not known.
    pub rate: Option<f64>,
    /// Seconds until the last file ends, as it goes of late; null where that is not known.
    pub eta_s: Option<u64>,
    /// Whether more files may be added.
    pub open: bool,
    /// When it was begun.
    pub created_at: Time,
    /// When its last file ended; null while some have not.
    pub finished_at: Option<Time>,
}

/// What became of a batch, once its last file has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// Files that are searchable now.
    pub ready: u64,
    /// Files that were there already.
    pub duplicates: u64,
    /// Files that failed.
    pub failed: u64,
    /// Files that were cancelled.
    pub cancelled: u64,
    /// Why files failed, the most frequent reason first.
    pub problems: Vec<BatchProblem>,
    /// The size of all files, in bytes.
    pub size_bytes: u64,
    /// Pages of the files that are searchable.
    pub pages: u64,
    /// Passages of them.
    pub passages: u64,
    /// From its beginning to the end of its last file, in seconds.
    pub seconds: f64,
}

/// Files that failed for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchProblem {
    /// The problem's code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// How many files it has.
    pub count: u64,
    /// One of them.
    pub example: BatchExample,
}

/// A file that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchExample {
    /// The document.
    pub document_id: DocumentId,
    /// Its job.
    pub job_id: JobId,
    /// Its name; null where the document was deleted since.
    pub filename: Option<String>,
    /// What went wrong with it.
    pub detail: String,
}

/// A file of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchItem {
    /// The document.
    pub document_id: DocumentId,
    /// Its job.
    pub job_id: JobId,
    /// Its name; null where the document was deleted since.
    pub filename: Option<String>,
    /// Where its job stands.
    pub state: JobState,
    /// Why it waits; null unless it does.
    pub reason: Option<String>,
    /// Why it failed; null unless it did.
    pub problem: Option<Problem>,
    /// When it ended.
    pub finished_at: Option<Time>,
}

/// What was counted of a batch's files, and what of it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Jobs that ended well.
    pub done: u64,
    /// Jobs that failed, those that are dead among them.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that a worker has.
    pub running: u64,
    /// Jobs that are queued or wait.
    pub waiting: u64,
    /// Jobs that ended well or failed since [`RATE_WINDOW_S`] ago.
    pub recent: u64,
}

impl BatchCounts {
    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.running + self.waiting
    }
}

/// The rate is what ended in so many seconds before now.
pub const RATE_WINDOW_S: i64 = 60;

/// Files that end in a second: what ended in the window, by its length or by the batch's
/// age where that is shorter. None where nothing has ended in it.
#[must_use]
pub fn rate(recent: u64, created_at: Time, now: Time) -> Option<f64> {
    const SHORTEST_S: f64 = 0.1;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let (age, window, recent_files) = (
        (now - created_at).num_milliseconds() as f64 / 1_000.0,
        RATE_WINDOW_S as f64,
        recent as f64,
    );
    (recent > 0).then(|| recent_files / age.clamp(SHORTEST_S, window))
}

/// Seconds until so many files have ended at this rate.
#[must_use]
pub fn time_left(files: u64, rate: Option<f64>) -> Option<u64> {
    if files == 0 {
        return Some(0);
    }
    let rate = rate.filter(|rate| *rate > 0.0)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of at least 0"
    )]
    let seconds = (files as f64 / rate).ceil() as u64;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_rate_is_of_late_and_the_time_left_follows_from_it() {
        let begun = Time::UNIX_EPOCH;
        let at = |seconds| begun + TimeDelta::seconds(seconds);
        assert_eq!(rate(0, begun, at(100)), None);
        assert_eq!(rate(120, begun, at(100)), Some(2.0));
        assert_eq!(rate(120, begun, at(10)), Some(12.0));
        assert_eq!(rate(1, begun, begun), Some(10.0), "a moment is not nothing");
        assert_eq!(time_left(0, None), Some(0));
        assert_eq!(time_left(5, None), None);
        assert_eq!(time_left(5, Some(2.0)), Some(3));
    }

    #[test]
    fn every_state_is_read_back_from_its_name() {
        for state in BatchState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
