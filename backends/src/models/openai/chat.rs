//! Streams answers from a chat model.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::types::stream::StreamResponse;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use quaestor_core::clock::Clock;
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{ChatDelta, ChatRequest, FinishReason, PromptRole};
use quaestor_core::ports::model_error::ModelError;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::transport::ErrorDetail;
use super::{Connection, Endpoint};
use crate::models::provider::{ChatProvider, LimitsTold, ProviderStream};

/// An answer is cut here, as if the model had reached its limit.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How long a finished answer waits for the usage that may follow it.
const USAGE_WAIT: Duration = Duration::from_secs(5);

/// A chat model at an endpoint.
#[derive(Debug)]
pub struct OpenAiChat {
    connection: Connection,
}

impl OpenAiChat {
    /// Makes the client; nothing is sent yet.
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        Ok(Self { connection: Connection::new(endpoint, clock)? })
    }

    fn body(&self, request: &ChatRequest) -> Value {
        let endpoint = &self.connection.endpoint;
        let messages: Vec<Value> = request
            .messages
            .iter()
            .map(|message| {
                let role = match message.role {
                    PromptRole::System => "system",
                    PromptRole::User => "user",
                    PromptRole::Assistant => "assistant",
                };
                json!({"role": role, "content": message.content})
            })
            .collect();
        // OpenAI's newer models refuse the old name, most other servers know only that.
        let limit = if endpoint.base_url.starts_with("https://api.openai.com") {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        json!({
            "model": endpoint.model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
            limit: request.max_output_tokens,
        })
    }
}

#[async_trait]
impl ChatProvider for OpenAiChat {
    fn name(&self) -> &str {
        &self.connection.failures.name
    }

    async fn stream(&self, request: &ChatRequest) -> Result<ProviderStream, ModelError> {
        let connection = self.connection.clone();
        let body = self.body(request);
        let chunks: StreamResponse<Chunk> = connection
            .client
            .chat()
            .create_stream_byot(body)
            .await
            .map_err(|error| connection.failures.of(error))?;
        let reading = Reading {
            connection,
            chunks,
            ready: VecDeque::new(),
            usage_until: None,
            answer_bytes: 0,
            finish: None,
            usage: None,
            ended: false,
        };
        let deltas = stream::unfold(reading, Reading::next).boxed();
        Ok(ProviderStream { request_id: None, limits: LimitsTold::default(), deltas })
    }
}

/// A piece of the stream; fields that are not named here are left unread.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<TokenCounts>,
    #[serde(default)]
    error: Option<ErrorDetail>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct TokenCounts {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

/// An answer that is being read.
struct Reading {
    connection: Connection,
    chunks: StreamResponse<Chunk>,
    /// Read and not yet handed on; at most what one chunk holds.
    ready: VecDeque<ChatDelta>,
    /// Set when the answer is whole and only its usage is missing.
    usage_until: Option<Instant>,
    answer_bytes: usize,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    ended: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<ChatDelta, ModelError>, Self)> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some((Ok(delta), self));
            }
            if self.ended {
                return None;
            }
            let chunk = match self.usage_until {
                Some(until) => timeout_at(until, self.chunks.next()).await.unwrap_or(None),
                None => self.chunks.next().await,
            };
            match self.take(chunk) {
                Ok(()) => {}
                Err(error) => {
                    self.ended = true;
                    return Some((Err(error), self));
                }
            }
        }
    }

    /// Takes in what came: a chunk, an error, or the end.
    fn take(&mut self, chunk: Option<Result<Chunk, OpenAIError>>) -> Result<(), ModelError> {
        let chunk = match (chunk, self.finish) {
            (Some(Ok(chunk)), _) => chunk,
            // Whatever happens after the reason: the answer is whole.
            (_, Some(reason)) => {
                self.finish(reason);
                return Ok(());
            }
            (Some(Err(error)), None) => return Err(self.connection.failures.of(error)),
            (None, None) => return Err(self.connection.failures.broken_off()),
        };
        if let Some(error) = &chunk.error {
            return Err(self.connection.failures.reported(error));
        }
        if let Some(counts) = chunk.usage {
            self.usage = Some(Usage {
                input_tokens: counts.prompt_tokens.into(),
                output_tokens: counts.completion_tokens.into(),
                cost_micros: 0,
            });
        }
        for choice in chunk.choices.into_iter().flatten() {
            let texts = choice.delta.map(|delta| [delta.content, delta.refusal]);
            for text in texts.into_iter().flatten().flatten().filter(|text| !text.is_empty()) {
                self.answer_bytes += text.len();
                if self.answer_bytes > MAX_ANSWER_BYTES {
                    self.finish(FinishReason::Length);
                    return Ok(());
                }
                self.ready.push_back(ChatDelta::Text(text));
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = Some(match reason.as_str() {
                    "length" => FinishReason::Length,
                    "content_filter" => FinishReason::ContentFilter,
                    "error" => return Err(self.connection.failures.broken_off()),
                    // Servers have words of their own for an ordinary end.
                    _ => FinishReason::Stop,
                });
                self.usage_until = Some(Instant::now() + USAGE_WAIT);
            }
        }
        Ok(())
    }

    fn finish(&mut self, reason: FinishReason) {
        self.ready.push_back(ChatDelta::Finished { reason, usage: self.usage.take() });
        self.ended = true;
    }
}
