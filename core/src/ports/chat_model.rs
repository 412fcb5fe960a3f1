//! The port to what writes answers.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::clock::Time;
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
    /// At most this many tokens of answer.
    pub max_output_tokens: u32,
    /// After this the answer is no longer wanted.
    pub deadline: Option<Time>,
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

/// Why a model gave no answer. The class decides what is done about it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The provider cannot answer now; it may later.
    #[error("{provider} cannot answer now")]
    Unavailable {
        /// `provider:model`.
        provider: String,
        /// When it asked to be tried again, in milliseconds from now.
        retry_after_ms: Option<u64>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider refuses this request or these credentials; trying again is of no use.
    #[error("{provider} refused the request: {reason}")]
    Refused {
        /// `provider:model`.
        provider: String,
        /// In words for an operator, without secrets or prompt.
        reason: String,
    },
    /// The provider answered with something that is no answer.
    #[error("{provider} sent an answer that cannot be read: {reason}")]
    Malformed {
        /// `provider:model`.
        provider: String,
        /// What was wrong with it.
        reason: String,
    },
}

/// What writes an answer. Dropping the stream ends the request upstream.
#[async_trait]
pub trait ChatModel: Send + Sync + std::fmt::Debug {
    /// `provider:model`, as it is stored with the answer.
    fn name(&self) -> &str;

    /// Begins an answer. Errors may come before the first piece or in the stream.
    async fn stream(
        &self,
        request: ChatRequest,
    ) -> Result<BoxStream<'static, Result<ChatDelta, ModelError>>, ModelError>;
}
