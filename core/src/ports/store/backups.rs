//! What was backed up and when, and whose turn it is to do it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use crate::clock::Time;

/// How a backup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// Somebody makes it.
    Running,
    /// It is kept.
    Done,
    /// It could not be made.
    Failed,
}

impl BackupState {
    /// Its name in rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for BackupState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Running, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text} is no state of a backup"))
    }
}

/// A backup that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupClaim {
    /// The run's id.
    pub id: Uuid,
    /// The moment of the schedule that it is for; none where somebody asked for it.
    pub slot: Option<Time>,
    /// Where the bundle is to be kept, for people.
    pub place: String,
    /// Until when it counts as being made.
    pub lease_until: Time,
    /// How often one slot may be tried.
    pub tries: u32,
}

/// A backup, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRun {
    /// Its id.
    pub id: Uuid,
    /// The moment of the schedule that it was for; none where somebody asked for it.
    pub slot: Option<Time>,
    /// How it stands.
    pub state: BackupState,
    /// How often it was tried.
    pub tries: u32,
    /// When the last try began.
    pub began_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Where the bundle is kept, for people.
    pub place: String,
    /// The bundle's name.
    pub name: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// How many rows it has.
    pub records: u64,
    /// How many files.
    pub files: u64,
    /// How many files were missing or not what their rows say.
    pub damaged: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a backup ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupEnd {
    /// It is kept.
    Done {
        /// The bundle's name.
        name: String,
        /// Its size.
        size_bytes: u64,
        /// How many rows it has.
        records: u64,
        /// How many files.
        files: u64,
        /// How many files were missing or not what their rows say.
        damaged: u64,
    },
    /// It could not be made.
    Failed {
        /// Why.
        error: String,
        /// From when on its slot may be tried again.
        retry_at: Time,
    },
}

/// The backups of the installation. What it tells does not travel with a backup or a move.
#[async_trait]
pub trait Backups: Send + Sync {
    /// Takes the turn to make a backup. Of any number of processes that ask for the same
    /// slot one is given it, and another one only once that one's lease has run out or it
    /// has failed, as often as may be tried.
    async fn claim_backup(&self, claim: BackupClaim, now: Time) -> Result<bool, StoreError>;

    /// Says that it is still being made. False where somebody else has taken it over.
    async fn renew_backup(&self, id: Uuid, lease_until: Time) -> Result<bool, StoreError>;

    /// Says how it ended. False where somebody else has taken it over.
    async fn end_backup(&self, id: Uuid, end: BackupEnd, now: Time) -> Result<bool, StoreError>;

    /// The last backups, newest first.
    async fn last_backups(&self, limit: u32) -> Result<Vec<BackupRun>, StoreError>;
}
