//! What the events of an answer mean, at OpenAI and at servers that are like it.

use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::FinishReason;
use serde_json::Value;

use crate::models::wire::{Dialect, Event, Piece, Trouble, Words, no_json};

/// Reads chunks of a chat completion, or a whole one from a server that does not stream.
#[derive(Debug, Default)]
pub(super) struct OpenAiDialect {
    /// The text is the model's refusal.
    refused: bool,
}

impl Dialect for OpenAiDialect {
    fn read(&mut self, event: &Event, pieces: &mut Vec<Piece>) -> Result<(), Trouble> {
        let data = event.data.trim();
        if is_done(data) {
            pieces.push(Piece::End);
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Value = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(_) if event.kind == "error" => return Err(Trouble::Reported(Words::default())),
            Err(error) => return Err(Trouble::Malformed(no_json(&error))),
        };
        if event.kind == "error" || !chunk["error"].is_null() || chunk["object"] == "error" {
            return Err(Trouble::Reported(Words::of(&chunk)));
        }
        if !chunk.is_object() {
            return Err(Trouble::Malformed("an event that is no object".to_owned()));
        }
        if let Some(usage) = usage(&chunk["usage"]) {
            pieces.push(Piece::Usage(usage));
        }
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            self.choice(choice, pieces)?;
        }
        if chunk["object"] == "chat.completion" {
            pieces.push(Piece::End);
        }
        Ok(())
    }
}

impl OpenAiDialect {
    fn choice(&mut self, choice: &Value, pieces: &mut Vec<Piece>) -> Result<(), Trouble> {
        let said = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        let filled =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(text) = filled(&said["content"]) {
            pieces.push(Piece::Text(text));
        }
        if let Some(text) = filled(&said["refusal"]) {
            self.refused = true;
            pieces.push(Piece::Text(text));
        }
        let Some(reason) = filled(&choice["finish_reason"]) else { return Ok(()) };
        pieces.push(Piece::Finish(match reason.as_str() {
            "length" | "max_tokens" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            "error" | "abort" => return Err(Trouble::BrokenOff),
            // Servers have words of their own for an ordinary end.
            _ if self.refused => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        }));
        Ok(())
    }
}

/// `[DONE]`, however a server writes it.
fn is_done(data: &str) -> bool {
    data.trim_matches('"').trim().eq_ignore_ascii_case("[done]")
}

fn usage(counts: &Value) -> Option<Usage> {
    Some(Usage {
        input_tokens: counts["prompt_tokens"].as_u64()?,
        output_tokens: counts["completion_tokens"].as_u64().unwrap_or(0),
        cached_tokens: counts["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        cost_micros: 0,
    })
}
