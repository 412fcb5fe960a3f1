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

/// Whether a figure was found in a cited passage, or follows from figures that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureStatus {
    /// It stands in a cited passage, or is rightly computed from figures that do.
    Supported,
    /// It does not; `reason` says what is nearest.
    Unsupported,
}

/// Why a figure is unsupported: what is nearest to it in the cited passages, and what is
/// wrong with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureReason {
    /// Nothing cited holds these digits.
    NotFound,
    /// The answer cites nothing.
    NothingCited,
    /// The digits stand there on another scale: thousands, not millions.
    OtherScale,
    /// The digits stand there, and nothing says that they are on this scale.
    ScaleNotStated,
    /// The digits stand there with another sign.
    OtherSign,
    /// The digits stand there and count something else: percent, another currency.
    OtherUnit,
    /// The figure stands there in another line, or in a sentence about something else.
    OtherLine,
    /// The figure stands there in another column.
    OtherColumn,
    /// The figure stands there for another time.
    OtherPeriod,
    /// The words say that it is computed, and no figures they speak of give it.
    WronglyDerived,
    /// The answer holds more figures than are checked.
    NotChecked,
}

impl FigureReason {
    /// The reason in a few words for people.
    #[must_use]
    pub fn as_sentence(self) -> &'static str {
        match self {
            Self::NotFound => "not in what is cited",
            Self::NothingCited => "nothing is cited",
            Self::OtherScale => "stands there on another scale",
            Self::ScaleNotStated => "its scale is stated nowhere",
            Self::OtherSign => "stands there with another sign",
            Self::OtherUnit => "stands there in another unit",
            Self::OtherLine => "stands there in another line",
            Self::OtherColumn => "stands there in another column",
            Self::OtherPeriod => "stands there for another period",
            Self::WronglyDerived => "not what the cited figures give",
            Self::NotChecked => "too many figures to check",
        }
    }
}

/// Where a figure stands in a cited document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FigureSource {
    /// The citation whose passage holds it.
    pub ordinal: u32,
    /// As the document writes it.
    pub text: String,
    /// Characters of the page's text before it.
    pub char_start: u32,
    /// Characters of the page's text up to its end.
    pub char_end: u32,
    /// `Sheet!B7` in a workbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The label of its row, in a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The name of its column, in a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// How a figure is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DerivationKind {
    /// The first operand less the second.
    Difference,
    /// The first operand less the second, over the second.
    Growth,
    /// The first operand over the second.
    Ratio,
    /// All operands together.
    Sum,
    /// All operands together, over their number.
    Average,
}

/// A computation of cited figures that gives a figure of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    /// What is computed.
    pub kind: DerivationKind,
    /// From what, in the order of the computation.
    pub operands: Vec<FigureSource>,
}

/// A number in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// As the answer writes it.
    pub text: String,
    /// Whether it was found.
    pub status: FigureStatus,
    /// The citation whose passage holds it, or the first figure it is computed from.
    pub ordinal: Option<u32>,
    /// Characters of the answer before it; answers of older versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub char_start: Option<u32>,
    /// Characters of the answer up to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub char_end: Option<u32>,
    /// Where it stands in the cited passage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<FigureSource>,
    /// What it is computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivation: Option<Derivation>,
    /// Why it is unsupported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FigureReason>,
}

impl Figure {
    /// A figure of which no more is known than whether it was found.
    #[must_use]
    pub fn new(text: impl Into<String>, status: FigureStatus, ordinal: Option<u32>) -> Self {
        Self {
            text: text.into(),
            status,
            ordinal,
            char_start: None,
            char_end: None,
            support: None,
            derivation: None,
            reason: None,
        }
    }

    /// Roughly its bytes in memory and in JSON, for what keeps many.
    #[must_use]
    pub fn weight(&self) -> usize {
        let operands = self.derivation.iter().flat_map(|derivation| &derivation.operands);
        let sources = self.support.iter().chain(operands).map(|source| {
            let column = source.column.as_ref().map_or(0, String::len);
            96 + source.text.len() + source.row.as_ref().map_or(0, String::len) + column
        });
        96 + self.text.len() + sources.sum::<usize>()
    }
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
    /// Of the tokens that were sent, those that the provider had kept from before, which
    /// may cost less. Left out where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_older_versions_stored_are_still_read() {
        let stored = r#"{"text":"82,959","status":"supported","ordinal":1}"#;
        let read: Figure = serde_json::from_str(stored).unwrap();
        assert_eq!(read, Figure::new("82,959", FigureStatus::Supported, Some(1)));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        let reason = serde_json::to_string(&FigureReason::OtherPeriod).unwrap();
        assert_eq!(reason, "\"other_period\"");
    }
}
