//! What may an export cost, and how long is it there?

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[exports]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exports {
    /// How long an export's file is kept, in hours.
    pub kept_hours: u64,
    /// How long a link to the file works, in seconds.
    pub link_lives_s: u64,
    /// An export that is not written after this many seconds fails.
    pub deadline_s: u64,
    /// The most unfinished exports of one workspace.
    pub per_workspace: u32,
    /// The largest file, in megabytes.
    pub max_mb: u64,
    /// Files with fonts for PDF, beside those in the program.
    pub fonts: Vec<PathBuf>,
    /// Memory of the process that lays out PDF, DOCX or XLSX, in MiB.
    pub memory_mb: u64,
    /// Seconds of its processors.
    pub cpu_s: u64,
    /// Seconds of the clock.
    pub wall_s: u64,
}

impl Default for Exports {
    fn default() -> Self {
        Self {
            kept_hours: 168,
            link_lives_s: 300,
            deadline_s: 86_400,
            per_workspace: 5_000,
            max_mb: 10_240,
            fonts: Vec::new(),
            memory_mb: 512,
            cpu_s: 60,
            wall_s: 300,
        }
    }
}

impl Exports {
    /// How long an export's file is kept.
    #[must_use]
    pub fn kept_for(&self) -> Duration {
        Duration::from_secs(self.kept_hours.saturating_mul(3_600))
    }

    /// How long a link works.
    #[must_use]
    pub fn link_lives(&self) -> Duration {
        Duration::from_secs(self.link_lives_s)
    }

    /// How long an export may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    /// How long the process that lays out may run.
    #[must_use]
    pub fn wall_clock(&self) -> Duration {
        Duration::from_secs(self.wall_s)
    }
}
