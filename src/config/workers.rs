//! How much work runs at once, how is it held, and how does it grow?

use std::time::Duration;

use quaestor_core::jobs::Step;
use serde::{Deserialize, Serialize};

/// The `[workers]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workers {
    /// How long a claim holds without a heartbeat, in seconds.
    pub lease_s: u64,
    /// How often a running step renews its claim, in seconds.
    pub heartbeat_s: u64,
    /// How long a stopping program lets running steps finish, in seconds.
    pub drain_s: u64,
    /// How many questions of one workspace this process works on at once, at the most.
    pub chat_per_workspace: Option<u32>,
    /// What this process and its children may use of memory, in MiB; what its control group or
    /// the machine has where it is not named.
    pub memory_mb: Option<u64>,
    /// For how many seconds fewer slots must have been wanted before there are fewer.
    pub scale_in_after_s: u64,
    /// How many jobs of each step are taken from the queue at once, at the least.
    pub slots: Slots,
    /// The same, at the most.
    pub slots_max: Slots,
    /// Within how many seconds a job of each step is to begin.
    pub wait_s: Waits,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            lease_s: 30,
            heartbeat_s: 10,
            drain_s: 30,
            chat_per_workspace: None,
            memory_mb: None,
            scale_in_after_s: 300,
            slots: Slots::default(),
            slots_max: Slots::default(),
            wait_s: Waits::default(),
        }
    }
}

impl Workers {
    /// How long a claim holds without a heartbeat.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_s)
    }

    /// How often a running step renews its claim.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_s)
    }

    /// How long a stopping program lets running steps finish.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_s)
    }

    /// For how long fewer slots must have been wanted before there are fewer.
    #[must_use]
    pub fn scale_in_after(&self) -> Duration {
        Duration::from_secs(self.scale_in_after_s)
    }

    /// The slots of a step, at the least.
    #[must_use]
    pub fn slots(&self, step: Step) -> u32 {
        let named = self.slots.of(step);
        // Who names the most alone may have less in mind than the usual least.
        named.unwrap_or_else(|| usual(step).min(self.slots_max.of(step).unwrap_or(u32::MAX)))
    }

    /// The slots of a step, at the most. Who names the least alone has named the number.
    #[must_use]
    pub fn slots_max(&self, step: Step, cores: u32) -> u32 {
        let most = self.slots_max.of(step).or_else(|| self.slots.of(step));
        most.unwrap_or_else(|| usual_most(step, cores))
    }
}

/// The least slots of a step where nobody says otherwise.
fn usual(step: Step) -> u32 {
    match step {
        Step::ChatRetrieve => 4,
        Step::ChatGenerate => 8,
        Step::DocumentsIngest | Step::ExportsWrite => 2,
        // What they have goes to a model together, up to what it takes in a request.
        Step::DocumentsEmbed => 128,
        Step::CollectionsReindex => 1,
    }
}

/// The most slots of a step where nobody says otherwise: of those that wait for a model many,
/// of those that compute as many as there are cores.
fn usual_most(step: Step, cores: u32) -> u32 {
    match step {
        Step::ChatRetrieve => 16,
        Step::ChatGenerate => 32,
        Step::DocumentsIngest | Step::ExportsWrite => cores.max(usual(step)),
        Step::DocumentsEmbed | Step::CollectionsReindex => usual(step),
    }
}

/// The `[workers.slots]` and `[workers.slots_max]` sections: jobs of a step that are taken from
/// the queue at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slots {
    /// `chat.retrieve`.
    pub chat_retrieve: Option<u32>,
    /// `chat.generate`; as many again may follow straight on a retrieval of the same process.
    pub chat_generate: Option<u32>,
    /// `documents.ingest`; each is a parser child with its own memory limit.
    pub documents_ingest: Option<u32>,
    /// `documents.embed`.
    pub documents_embed: Option<u32>,
    /// `collections.reindex`.
    pub collections_reindex: Option<u32>,
    /// `exports.write`; PDF, DOCX and XLSX are a child each, with its own memory limit.
    pub exports_write: Option<u32>,
}

impl Slots {
    /// The slots of a step, where they are named.
    #[must_use]
    pub fn of(&self, step: Step) -> Option<u32> {
        match step {
            Step::ChatRetrieve => self.chat_retrieve,
            Step::ChatGenerate => self.chat_generate,
            Step::DocumentsIngest => self.documents_ingest,
            Step::DocumentsEmbed => self.documents_embed,
            Step::CollectionsReindex => self.collections_reindex,
            Step::ExportsWrite => self.exports_write,
        }
    }
}

/// The `[workers.wait_s]` section: the target wait of each queue, in seconds. Who asks waits a
/// second or two, who uploads a folder waits minutes, and one export is waited for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Waits {
    /// `chat.retrieve`.
    pub chat_retrieve: u32,
    /// `chat.generate`.
    pub chat_generate: u32,
    /// `documents.ingest`.
    pub documents_ingest: u32,
    /// `documents.embed`.
    pub documents_embed: u32,
    /// `collections.reindex`.
    pub collections_reindex: u32,
    /// `exports.write`.
    pub exports_write: u32,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            chat_retrieve: 1,
            chat_generate: 2,
            documents_ingest: 600,
            documents_embed: 600,
            collections_reindex: 600,
            exports_write: 30,
        }
    }
}

impl Waits {
    /// The target wait of a step, in seconds.
    #[must_use]
    pub fn of(&self, step: Step) -> u32 {
        match step {
            Step::ChatRetrieve => self.chat_retrieve,
            Step::ChatGenerate => self.chat_generate,
            Step::DocumentsIngest => self.documents_ingest,
            Step::DocumentsEmbed => self.documents_embed,
            Step::CollectionsReindex => self.collections_reindex,
            Step::ExportsWrite => self.exports_write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_named_alone_is_the_number() {
        let mut workers = Workers::default();
        let both = |workers: &Workers| {
            let step = Step::ChatGenerate;
            (workers.slots(step), workers.slots_max(step, 4))
        };
        assert_eq!(both(&workers), (8, 32));
        workers.slots.chat_generate = Some(5);
        assert_eq!(both(&workers), (5, 5), "it is fixed");
        workers.slots_max.chat_generate = Some(9);
        assert_eq!(both(&workers), (5, 9));
        workers.slots.chat_generate = None;
        assert_eq!(both(&workers), (8, 9));
        workers.slots_max.chat_generate = Some(3);
        assert_eq!(both(&workers), (3, 3));
        assert_eq!(workers.slots_max(Step::DocumentsIngest, 8), 8);
        assert_eq!(workers.slots_max(Step::DocumentsIngest, 1), 2);
    }
}
