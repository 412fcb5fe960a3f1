//! Streams answers from a chat model.

use std::sync::Arc;

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage,
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
    ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ids::CallId;
use quaestor_core::ports::chat_model::{ChatRequest, PromptMessage, PromptRole};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};

use super::dialect::OpenAiDialect;
use super::{Connection, Endpoint, LimitName};
use crate::models::provider::{ChatProvider, ProviderStream};
use crate::models::wire::deltas;

/// A chat model at an endpoint.
#[derive(Debug)]
pub struct OpenAiChat {
    connection: Connection,
}

impl OpenAiChat {
    /// Makes the client; nothing is sent yet.
    pub fn new(endpoint: &Endpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        Ok(Self::at(Connection::new(endpoint, clock)?))
    }

    pub(in crate::models) fn at(connection: Connection) -> Self {
        Self { connection }
    }

    fn body(&self, request: &ChatRequest) -> CreateChatCompletionRequest {
        let mut body = CreateChatCompletionRequest {
            model: self.connection.model.clone(),
            messages: request.messages.iter().map(message).collect(),
            stream: Some(true),
            stream_options: Some(ChatCompletionStreamOptions {
                include_usage: Some(true),
                include_obfuscation: None,
            }),
            ..CreateChatCompletionRequest::default()
        };
        let limit = Some(request.max_output_tokens);
        match self.connection.limit {
            LimitName::MaxCompletionTokens => body.max_completion_tokens = limit,
            #[expect(deprecated, reason = "most servers know no other name")]
            LimitName::MaxTokens => body.max_tokens = limit,
        }
        body
    }
}

fn message(message: &PromptMessage) -> ChatCompletionRequestMessage {
    let content = message.content.clone();
    match message.role {
        PromptRole::System => ChatCompletionRequestSystemMessage::from(content).into(),
        PromptRole::User => ChatCompletionRequestUserMessage::from(content).into(),
        PromptRole::Assistant => ChatCompletionRequestAssistantMessage::from(content).into(),
    }
}

#[async_trait]
impl ChatProvider for OpenAiChat {
    fn name(&self) -> &str {
        &self.connection.remote.name
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        call: CallId,
    ) -> Result<ProviderStream, ModelError> {
        let (url, headers) = self.connection.access.to("/chat/completions").await?;
        let opened = self.connection.remote.post(&url, headers, &self.body(request), call).await;
        if matches!(&opened, Err(error) if error.class == ErrorClass::Credentials) {
            self.connection.access.refused().await;
        }
        let opened = opened?;
        Ok(ProviderStream {
            request_id: opened.told.request_id.clone(),
            limits: opened.told.limits,
            deltas: deltas(opened.events(), OpenAiDialect::default()),
        })
    }
}
