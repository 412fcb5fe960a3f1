//! Conversations, messages, citations, figures and what an answer cost.

use serde::{Deserialize, Serialize};

use crate::boxes::MarkBox;
use crate::clock::Time;
use crate::ids::{CollectionId, ConversationId, DocumentId, MessageId};
use crate::problem::Problem;

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Its title; the first question where none was given.
    pub title: Option<String>,
    /// The collections it asks; null means all that the asker may read.
    pub collection_ids: Option<Vec<CollectionId>>,
    /// When it was begun.
    pub created_at: Time,
    /// When its last message came.
    pub updated_at: Time,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageRole {
    /// A question.
    User,
    /// An answer.
    Assistant,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// The answer is being written.
    Pending,
    /// The message is whole.
    Done,
    /// There will be no answer; `error` says why.
    Failed,
    /// The asker stopped it; what was written stands.
    Cancelled,
}

/// A question or an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The chat.
    pub conversation_id: ConversationId,
    /// Who wrote it.
    pub role: MessageRole,
    /// Where it stands.
    pub state: MessageState,
    /// The text; `[1]` names the citation of ordinal 1.
    pub content: String,
    /// The answer's citations.
    pub citations: Vec<Citation>,
    /// Every number of the answer, looked up in the cited passages.
    pub figures: Vec<Figure>,
    /// `provider:model` that wrote the answer.
    pub model: Option<String>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// When it was accepted.
    pub created_at: Time,
}

/// The link from a place in an answer to a passage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// What `[n]` in the answer names, from 1.
    pub ordinal: u32,
    /// The document.
    pub document_id: DocumentId,
    /// Its name.
    pub filename: String,
    /// The version that was quoted.
    pub version: u32,
    /// The page, from 1; null where the format has none.
    pub page: Option<u32>,
    /// `Sheet!B7` or `Sheet!B7:D9` for tables of a workbook, else null.
    pub cell: Option<String>,
    /// The headings above the passage; null where there are none.
    pub section: Option<String>,
    /// Stands word for word in the stored page or cell text.
    pub quote: String,
    /// Characters of the page's text before the quote.
    pub char_start: u32,
    /// Characters of the page's text up to its end.
    pub char_end: u32,
    /// Where the quote stands on the page (PDF), else empty.
    pub boxes: Vec<MarkBox>,
}

/// Whether a figure was found in a cited passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureStatus {
    /// It stands in a cited passage.
    Supported,
    /// It stands in none.
    Unsupported,
}

/// A number in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// As the answer writes it.
    pub text: String,
    /// Whether it was found.
    pub status: FigureStatus,
    /// The citation whose passage holds it.
    pub ordinal: Option<u32>,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent to the model.
    pub input_tokens: u64,
    /// Tokens it wrote.
    pub output_tokens: u64,
    /// Millionths of the currency that prices are configured in.
    pub cost_micros: u64,
}
