//! How is a question answered where no language model is configured?
//!
//! By quoting: the sentences and table rows of the passages that answer best, each with
//! its citation, and a sentence that says so. What stands between quotation marks is word
//! for word from the passage (`quaestor_core::retrieval::quotes` reads it back).

mod pick;
mod row;
mod sentence;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{
    ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason, GroundingPassage,
};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::ModelError;
use quaestor_core::retrieval::{Question, write_quote};

use pick::{Piece, pick};

/// What an answer begins with.
const LEAD: &str = "No language model is configured, so this answer quotes the documents.";
/// What is said where no passage answers.
const NOTHING: &str = "No language model is configured, and none of the passages found \
                       answers this question.";
/// A streamed piece holds about this many characters.
const PIECE_CHARS: usize = 24;
/// Characters in a token, for the estimate of usage.
const CHARS_PER_TOKEN: u64 = 4;

/// The chat model that quotes instead of writing. It costs nothing and needs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfflineModel;

impl OfflineModel {
    /// The model.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// The whole answer to a request.
    #[must_use]
    pub fn answer(request: &ChatRequest) -> String {
        let question = Question::read(&request.question);
        let picked = pick(&question, &request.passages);
        if picked.is_empty() {
            return NOTHING.to_owned();
        }
        let mut answer = String::from(LEAD);
        let most = usize::try_from(request.max_output_tokens).unwrap_or(usize::MAX);
        let most = most.saturating_mul(CHARS_PER_TOKEN as usize);
        for (n, piece) in picked.iter().enumerate() {
            let line = line(piece, &question, &request.passages);
            // A quote that is cut could not be found again; one always fits.
            if n > 0 && answer.chars().count() + line.chars().count() > most {
                break;
            }
            answer.push_str("\n\n");
            answer.push_str(&line);
        }
        answer
    }
}

/// A quote; before a row, what the row says and which column of it answers.
fn line(piece: &Piece<'_>, question: &Question, passages: &[GroundingPassage]) -> String {
    let quote = write_quote(piece.text, &piece.ordinals(passages));
    let (Some(row), Some(choice)) = (&piece.row, piece.choice) else { return quote };
    let value = row.cells[choice.cell];
    let mut says = row.label(question);
    let group = row.group.trim_end_matches(':');
    if !group.is_empty() && !says.to_lowercase().contains(&group.to_lowercase()) {
        says = format!("{group}, {says}");
    }
    let column = row.columns.get(choice.cell).copied().unwrap_or("");
    if !column.is_empty() {
        says.push_str(" — ");
        says.push_str(column);
    }
    // "In millions, except per share amounts": not what is per share, or a part of 100.
    let counted = ["per share", "rate", "percent", "ratio"];
    let whole = format!("{group} {says}").to_lowercase();
    let bare = value.contains('%') || counted.iter().any(|word| whole.contains(word));
    let unit = unit(&piece.passage.header)
        .filter(|_| !bare)
        .map(|unit| format!(" ({unit})"))
        .unwrap_or_default();
    format!("{says}: {value}{unit}\n{quote}")
}

/// The unit that a table's caption gives: `in millions`.
fn unit(header: &str) -> Option<&'static str> {
    let lower = header.to_lowercase();
    ["in millions", "in thousands", "in billions"].into_iter().find(|unit| lower.contains(unit))
}

#[async_trait]
impl ChatModel for OfflineModel {
    fn name(&self) -> &str {
        "offline:quote"
    }

    async fn stream(&self, request: ChatRequest, _: &CallScope) -> Result<ChatStream, ModelError> {
        let answer = Self::answer(&request);
        let tokens = |chars: usize| (chars as u64).div_ceil(CHARS_PER_TOKEN);
        let read = request.question.chars().count()
            + request.passages.iter().map(|p| p.header.len() + p.text.len()).sum::<usize>();
        let usage = Usage {
            input_tokens: tokens(read),
            output_tokens: tokens(answer.chars().count()),
            cost_micros: 0,
            ..Usage::default()
        };
        let finished = ChatDelta::Finished { reason: FinishReason::Stop, usage: Some(usage) };
        let deltas = cut(&answer).into_iter().map(ChatDelta::Text).chain([finished]);
        let deltas = stream::iter(deltas.map(Ok).collect::<Vec<_>>()).boxed();
        Ok(ChatStream { model: self.name().to_owned(), deltas })
    }
}

/// Cuts an answer into pieces at spaces, as a model would stream it.
fn cut(answer: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in answer.split_inclusive([' ', '\n']) {
        if pieces.last().is_some_and(|piece| piece.chars().count() >= PIECE_CHARS) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(word);
        }
    }
    pieces
}

#[cfg(test)]
mod tests;
