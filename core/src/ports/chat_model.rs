//! The port to what writes answers.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::model_call::{CallScope, Readiness};
use super::model_error::ModelError;
use crate::model::Usage;

/// Who speaks in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptRole {
    /// What the product asks of the model.
    System,
    /// The asker.
    User,
    /// An earlier answer.
    Assistant,
}

/// One turn of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: PromptRole,
    /// What is said.
    pub content: String,
}

/// A passage as a model gets it: with the ordinal that `[n]` in the answer will name.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundingPassage {
    /// From 1; valid within this answer only.
    pub ordinal: u32,
    /// The document's name.
    pub filename: String,
    /// The document's own title, where it has one.
    pub title: Option<String>,
    /// The page's number, where the format has pages.
    pub page: Option<u32>,
    /// The headings above the passage.
    pub section: String,
    /// The table's caption and header lines, for table rows.
    pub header: String,
    /// The passage.
    pub text: String,
    /// Whether it is rows of a table.
    pub is_table: bool,
    /// How well retrieval liked it, higher is better; comparable within one request.
    pub score: f32,
}

/// A request to write an answer.
///
/// A language model reads `messages`, into which the passages are already written. The
/// built-in model that quotes instead of writing reads `question` and `passages`.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The whole prompt.
    pub messages: Vec<PromptMessage>,
    /// The question, made to stand alone (a follow-up with what it follows).
    pub question: String,
    /// The passages, best first.
    pub passages: Vec<GroundingPassage>,
    /// What the messages cost to send, estimated.
    pub input_tokens: u64,
    /// At most this many tokens of answer.
    pub max_output_tokens: u32,
}

/// A piece of what a model streams. A stream that ends without `Finished` was cut off:
/// a failure, never an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatDelta {
    /// The next piece of text.
    Text(String),
    /// The model ended its answer.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost; none where the provider does not tell.
        usage: Option<Usage>,
    },
}

/// Why a model ended its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It reached the limit of tokens.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
}

/// An answer that is being written.
pub struct ChatStream {
    /// `provider:model` that writes it, as it is stored with the answer.
    pub model: String,
    /// Its pieces.
    pub deltas: BoxStream<'static, Result<ChatDelta, ModelError>>,
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What writes an answer. Dropping the stream ends the request upstream.
#[async_trait]
pub trait ChatModel: Send + Sync + std::fmt::Debug {
    /// `provider:model`, or several of them joined by commas where one stands in for the
    /// other.
    fn name(&self) -> &str;

    /// Whether it makes sense to ask.
    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    /// Begins an answer: comes back with its first piece at hand. Until then whatever
    /// fails may be tried again; after that an error in the stream voids what was shown.
    async fn stream(
        &self,
        request: ChatRequest,
        scope: &CallScope,
    ) -> Result<ChatStream, ModelError>;
}
