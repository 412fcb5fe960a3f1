//! Streams answers from a chat model.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::types::stream::StreamResponse;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use quaestor_core::clock::Clock;
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{
    ChatDelta, ChatModel, ChatRequest, FinishReason, ModelError, PromptRole,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::transport::ErrorDetail;
use super::{Connection, Endpoint};

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
impl ChatModel for OpenAiChat {
    fn name(&self) -> &str {
        &self.connection.failures.name
    }

    async fn stream(
        &self,
        request: ChatRequest,
    ) -> Result<BoxStream<'static, Result<ChatDelta, ModelError>>, ModelError> {
        let now = Instant::now();
        let connection = self.connection.clone();
        let first_until = now + connection.endpoint.timeouts.first;
        let until = request.deadline.and_then(|deadline| {
            let left = deadline.signed_duration_since(connection.clock.now());
            now.checked_add(left.to_std().unwrap_or(Duration::ZERO))
        });
        let wait_until = until.map_or(first_until, |until| until.min(first_until));
        let body = self.body(&request);
        let opened = async { connection.client.chat().create_stream_byot(body).await };
        let chunks: StreamResponse<Chunk> = timeout_at(wait_until, opened)
            .await
            .map_err(|_| connection.failures.too_slow("response"))?
            .map_err(|error| connection.failures.of(error))?;
        let reading = Reading {
            connection,
            chunks,
            ready: VecDeque::new(),
            wait_until: first_until,
            until,
            answer_bytes: 0,
            finish: None,
            usage: None,
            ended: false,
        };
        Ok(stream::unfold(reading, Reading::next).boxed())
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
    wait_until: Instant,
    until: Option<Instant>,
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
            let limit = self.until.map_or(self.wait_until, |until| until.min(self.wait_until));
            let chunk = timeout_at(limit, self.chunks.next()).await;
            match self.take(chunk) {
                Ok(()) => {}
                Err(error) => {
                    self.ended = true;
                    return Some((Err(error), self));
                }
            }
        }
    }

    /// Takes in what came: a chunk, an error, the end, or nothing in time.
    fn take(
        &mut self,
        chunk: Result<Option<Result<Chunk, OpenAIError>>, tokio::time::error::Elapsed>,
    ) -> Result<(), ModelError> {
        let chunk = match (chunk, self.finish) {
            (Ok(Some(Ok(chunk))), _) => chunk,
            // Whatever happens after the reason: the answer is whole.
            (_, Some(reason)) => {
                self.finish(reason);
                return Ok(());
            }
            (Ok(Some(Err(error))), None) => return Err(self.connection.failures.of(error)),
            (Ok(None), None) => return Err(self.connection.failures.broken_off()),
            (Err(_), None) => return Err(self.connection.failures.too_slow("next piece")),
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
        self.wait_until = Instant::now() + self.connection.endpoint.timeouts.between;
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
                self.wait_until = Instant::now() + USAGE_WAIT;
            }
        }
        Ok(())
    }

    fn finish(&mut self, reason: FinishReason) {
        self.ready.push_back(ChatDelta::Finished { reason, usage: self.usage.take() });
        self.ended = true;
    }
}
