//! How long is accepted work wanted?

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[jobs]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// A question that has no answer after this many seconds fails.
    pub chat_deadline_s: u64,
    /// A file that is not searchable after this many seconds fails.
    pub ingest_deadline_s: u64,
    /// A step that has begun so often and never ended makes its job a dead letter.
    pub max_attempts: u32,
    /// How long a question may wait until it is begun, in seconds.
    pub chat_wait_s: u64,
    /// The most unfinished questions of one workspace.
    pub chats_per_workspace: u32,
    /// The most unfinished files of one workspace.
    pub files_per_workspace: u32,
    /// How long a repeated `Idempotency-Key` gets the first answer again, in hours.
    pub idempotency_hours: u64,
    /// How old a stored file is, in hours, before it is removed because no row names it.
    pub unnamed_files_hours: u64,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            chat_deadline_s: 300,
            ingest_deadline_s: 86_400,
            max_attempts: 5,
            chat_wait_s: 60,
            chats_per_workspace: 5_000,
            files_per_workspace: 50_000,
            idempotency_hours: 24,
            unnamed_files_hours: 24,
        }
    }
}

impl Jobs {
    /// How long a question may take.
    #[must_use]
    pub fn chat_deadline(&self) -> Duration {
        Duration::from_secs(self.chat_deadline_s)
    }

    /// How long a file may take.
    #[must_use]
    pub fn ingest_deadline(&self) -> Duration {
        Duration::from_secs(self.ingest_deadline_s)
    }

    /// How long a question may wait until it is begun.
    #[must_use]
    pub fn chat_wait(&self) -> Duration {
        Duration::from_secs(self.chat_wait_s)
    }

    /// How long an idempotency key is remembered.
    #[must_use]
    pub fn idempotency(&self) -> Duration {
        Duration::from_secs(self.idempotency_hours.saturating_mul(3_600))
    }

    /// How old a stored file is before it is removed because no row names it.
    #[must_use]
    pub fn unnamed_files(&self) -> Duration {
        Duration::from_secs(self.unnamed_files_hours.saturating_mul(3_600))
    }
}
