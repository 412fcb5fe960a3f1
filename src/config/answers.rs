//! Are answers given again?

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[answers]` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// How long an answer is kept, to be given again to whoever asks the same of the same
    /// documents, in minutes; without it every question is answered anew.
    pub kept_minutes: Option<u64>,
}

impl Answers {
    /// How long an answer is kept; none where it is not.
    #[must_use]
    pub fn kept(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.kept_minutes?.saturating_mul(60)))
    }
}
