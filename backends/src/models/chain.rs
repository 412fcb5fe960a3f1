//! Several chat models tried in order: the next one answers where one cannot begin.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use quaestor_core::ports::chat_model::{ChatDelta, ChatModel, ChatRequest, ModelError};
use tracing::warn;

/// A chain of chat models. Only the beginning of an answer is tried with the next one:
/// once text was shown, an answer is never spliced from two models.
#[derive(Debug)]
pub struct ChatChain {
    name: String,
    models: Vec<Arc<dyn ChatModel>>,
}

impl ChatChain {
    /// The chain, best first; one model is itself. None where there is no model.
    #[must_use]
    pub fn of(mut models: Vec<Arc<dyn ChatModel>>) -> Option<Arc<dyn ChatModel>> {
        if models.len() <= 1 {
            return models.pop();
        }
        let names: Vec<&str> = models.iter().map(|model| model.name()).collect();
        Some(Arc::new(Self { name: names.join(","), models }))
    }
}

#[async_trait]
impl ChatModel for ChatChain {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(
        &self,
        request: ChatRequest,
    ) -> Result<BoxStream<'static, Result<ChatDelta, ModelError>>, ModelError> {
        let mut last = None;
        for model in &self.models {
            match model.stream(request.clone()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "{} cannot answer; the next model of the chain is asked",
                        model.name()
                    );
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| ModelError::Refused {
            provider: self.name.clone(),
            reason: "the chain is empty".to_owned(),
        }))
    }
}
