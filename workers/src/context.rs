//! What every handler is given: the ports, the clock, and its settings.

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::budgets::Budgets;
use quaestor_core::clock::Clock;
use quaestor_core::embedders::Embedders;
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::{IdSource, WorkerId};
use quaestor_core::jobs::Step;
use quaestor_core::ports::chat_model::ChatModel;
use quaestor_core::ports::event_log::EventLog;
use quaestor_core::ports::model_call::Readiness;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::queue::Queue;
use quaestor_core::ports::store::Store;
use quaestor_core::retrieval::Searcher;
use quaestor_core::wake::Wake;

use crate::answer_cache::AnswerCache;
use crate::handlers::export::ExportSettings;
use crate::parse_process::ParseProcess;
use crate::render_process::RenderProcess;

/// The world of a handler.
#[derive(Clone, Debug)]
pub struct Context {
    /// Rows, full text and vectors.
    pub store: Arc<dyn Store>,
    /// Where steps come from.
    pub queue: Arc<dyn Queue>,
    /// Where events go.
    pub events: Arc<dyn EventLog>,
    /// Uploaded files.
    pub objects: Arc<dyn Objects>,
    /// What writes answers.
    pub chat: Arc<dyn ChatModel>,
    /// Answers that are given again; none where every question is answered anew.
    pub answers: Option<AnswerCache>,
    /// What writes answers beyond a soft budget; none where that is the same.
    pub chat_cheap: Option<Arc<dyn ChatModel>>,
    /// What may be spent.
    pub budgets: Budgets,
    /// What turns text into vectors; nobody where search is by words alone.
    pub embedders: Embedders,
    /// Search.
    pub searcher: Searcher,
    /// The child process that parses files.
    pub parser: ParseProcess,
    /// The child process that lays exports out.
    pub renderer: RenderProcess,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for keys.
    pub entropy: Arc<dyn Entropy>,
    /// Ids.
    pub ids: IdSource,
    /// Wakes the relay after a commit.
    pub wake: Wake,
    /// Who this process is, as the one that claims.
    pub worker_id: WorkerId,
    /// Numbers.
    pub settings: Settings,
}

impl Context {
    /// Whether the model that a step needs can be asked; a step that needs none always runs.
    /// Search goes by words alone where the embedding model is away.
    pub(crate) fn readiness(&self, step: Step) -> Readiness {
        match step {
            Step::ChatGenerate => self.chat.readiness(),
            Step::DocumentsEmbed => {
                self.embedders.first().map_or(Readiness::Ready, |embedder| embedder.readiness())
            }
            // Which model that needs, its generation says.
            Step::CollectionsReindex => Readiness::Ready,
            Step::ChatRetrieve | Step::DocumentsIngest | Step::ExportsWrite => Readiness::Ready,
        }
    }
}

/// How many jobs of each step this process takes from the queue at once. As many again may
/// follow at once on the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// `chat.retrieve`.
    pub chat_retrieve: u16,
    /// `chat.generate`: they wait for a model, not for a core.
    pub chat_generate: u16,
    /// `documents.ingest`: each is a child process that uses a core.
    pub documents_ingest: u16,
    /// `documents.embed`: many, so that the passages of small files fill a provider's request;
    /// a model in this process takes them one after the other.
    pub documents_embed: u16,
    /// `collections.reindex`: one already uses every thread of a model, or all that a provider
    /// allows.
    pub collections_reindex: u16,
    /// `exports.write`: some are a child process that uses a core.
    pub exports_write: u16,
}

impl Slots {
    /// The slots of one step.
    #[must_use]
    pub fn of(&self, step: Step) -> u16 {
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

/// The numbers that handlers and loops go by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Concurrency.
    pub slots: Slots,
    /// How many questions of one workspace this process works on at the most; none where
    /// only the others' share limits it.
    pub chat_per_workspace: Option<u16>,
    /// Whether making vectors costs anything: then a used-up budget ends it.
    pub embedding_costs: bool,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How often a lease is extended; well below the lease.
    pub heartbeat: Duration,
    /// How long a stop waits for running jobs before it hands them back.
    pub drain: Duration,
    /// A step that was claimed this often without an end goes to the dead letters.
    pub max_step_attempts: u32,
    /// How long a message of a parse is held: a longer parse goes on with another message.
    pub parse_slice: Duration,
    /// How many passages a question is given.
    pub passages_per_question: u32,
    /// At most this many tokens of passages in a prompt.
    pub passage_tokens: u32,
    /// At most about this many tokens of what was said before in the conversation.
    pub history_tokens: u32,
    /// At most this many tokens of answer.
    pub max_output_tokens: u32,
    /// How many earlier messages are read: the latest make a follow-up understood, and
    /// those that do not fit the prompt are summarised in it.
    pub earlier_messages: u32,
    /// How many passages are embedded at a time.
    pub embed_batch: u32,
    /// How long a client's idempotency key is kept.
    pub idempotency_keys_kept: Duration,
    /// How old an entry of the audit log is when it is sealed.
    pub seal_audit_after: Duration,
    /// How old a stored file is before it is removed because no row names it.
    pub unnamed_files_kept: Duration,
    /// Exports.
    pub exports: ExportSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: Slots {
                chat_retrieve: 4,
                chat_generate: 32,
                documents_ingest: 2,
                documents_embed: 128,
                collections_reindex: 1,
                exports_write: 2,
            },
            chat_per_workspace: None,
            embedding_costs: false,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            max_step_attempts: 5,
            parse_slice: Duration::from_mins(10),
            passages_per_question: 12,
            passage_tokens: 6_000,
            history_tokens: 1_500,
            max_output_tokens: 1_500,
            earlier_messages: 24,
            embed_batch: 64,
            idempotency_keys_kept: Duration::from_secs(24 * 3600),
            seal_audit_after: Duration::from_mins(10),
            unnamed_files_kept: Duration::from_secs(24 * 3600),
            exports: ExportSettings::default(),
        }
    }
}
