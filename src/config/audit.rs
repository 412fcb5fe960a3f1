//! How is the audit log kept?

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[audit]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// How old an entry is when it is sealed, in seconds.
    pub seal_after_s: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { seal_after_s: 600 }
    }
}

impl Audit {
    /// How old an entry is when it is sealed.
    #[must_use]
    pub fn seal_after(&self) -> Duration {
        Duration::from_secs(self.seal_after_s)
    }
}
