//! What the events of an answer mean at Anthropic.
//!
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>

use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::FinishReason;
use serde_json::Value;

use crate::models::wire::{Dialect, Event, Piece, Trouble, Words, no_json};

/// Reads the events of a message. New kinds of events may come at any time, and are left
/// unread.
#[derive(Debug, Default)]
pub(super) struct AnthropicDialect {
    usage: Usage,
}

impl Dialect for AnthropicDialect {
    fn read(&mut self, event: &Event, pieces: &mut Vec<Piece>) -> Result<(), Trouble> {
        if event.data.trim().is_empty() {
            return Ok(());
        }
        let value: Value = match serde_json::from_str(&event.data) {
            Ok(value) => value,
            Err(_) if event.kind == "error" => return Err(Trouble::Reported(Words::default())),
            Err(error) => return Err(Trouble::Malformed(no_json(&error))),
        };
        let kind = value["type"].as_str().unwrap_or(&event.kind);
        match kind {
            "message_start" => self.count(&value["message"]["usage"]),
            "content_block_start" => text(&value["content_block"]["text"], pieces),
            // What the model thinks, or wants of a tool, is no text.
            "content_block_delta" => text(&value["delta"]["text"], pieces),
            "message_delta" => {
                self.told(&value["usage"], pieces);
                finish(&value["delta"], pieces);
            }
            "message_stop" => pieces.push(Piece::End),
            "error" => return Err(Trouble::Reported(Words::of(&value))),
            // The whole message, from a server that does not stream.
            "message" => {
                self.told(&value["usage"], pieces);
                for block in value["content"].as_array().into_iter().flatten() {
                    text(&block["text"], pieces);
                }
                finish(&value, pieces);
                pieces.push(Piece::End);
            }
            _ => {}
        }
        Ok(())
    }
}

impl AnthropicDialect {
    /// Takes over the counts that are told; those that are not stay. What was read from
    /// the provider's cache, or written to it, counts as sent.
    fn count(&mut self, counts: &Value) {
        if let Some(plain) = counts["input_tokens"].as_u64() {
            let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"]
                .iter()
                .filter_map(|name| counts[name].as_u64())
                .sum::<u64>();
            self.usage.input_tokens = plain.saturating_add(cached);
            let read = counts["cache_read_input_tokens"].as_u64();
            self.usage.cached_tokens = read.unwrap_or(0);
        }
        if let Some(output) = counts["output_tokens"].as_u64() {
            self.usage.output_tokens = output;
        }
    }

    /// Counts that hold for the answer so far. Those at its beginning do not: they tell of
    /// an output that nobody has written yet.
    fn told(&mut self, counts: &Value, pieces: &mut Vec<Piece>) {
        self.count(counts);
        if counts["output_tokens"].is_u64() {
            pieces.push(Piece::Usage(self.usage));
        }
    }
}

fn text(value: &Value, pieces: &mut Vec<Piece>) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn finish(value: &Value, pieces: &mut Vec<Piece>) {
    let Some(reason) = value["stop_reason"].as_str() else { return };
    pieces.push(Piece::Finish(match reason {
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }));
}
