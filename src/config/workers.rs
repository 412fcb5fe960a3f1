//! How much work runs at once, and how is it held?

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
    /// How many jobs of each step are taken from the queue at once.
    pub slots: Slots,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            lease_s: 30,
            heartbeat_s: 10,
            drain_s: 30,
            chat_per_workspace: None,
            slots: Slots::default(),
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
}

/// The `[workers.slots]` section: jobs of a step that are taken from the queue at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slots {
    /// `chat.retrieve`.
    pub chat_retrieve: u32,
    /// `chat.generate`; as many again may follow straight on a retrieval of the same process.
    pub chat_generate: u32,
    /// `documents.ingest`; each is a parser child with its own memory limit.
    pub documents_ingest: u32,
    /// `documents.embed`.
    pub documents_embed: u32,
    /// `collections.reindex`.
    pub collections_reindex: u32,
    /// `exports.write`; PDF, DOCX and XLSX are a child each, with its own memory limit.
    pub exports_write: u32,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            chat_retrieve: 4,
            chat_generate: 8,
            documents_ingest: 2,
            documents_embed: 128,
            collections_reindex: 1,
            exports_write: 2,
        }
    }
}

impl Slots {
    /// The slots of a step.
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
