//! Gets vectors from an embedding model.

use std::sync::Arc;

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};
use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ids::CallId;
use quaestor_core::model::Usage;
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::tokens;
use serde::Deserialize;

use super::{Connection, Endpoint};
use crate::models::provider::{EmbedProvider, ProviderVectors, RequestLimits};
use crate::models::wire::Opened;

/// Texts of one request; what the smaller servers take.
const BATCH_TEXTS: usize = 64;

/// Bytes of text of one request, so that no request grows beyond what servers accept.
const BATCH_BYTES: usize = 256 * 1024;

/// What OpenAI's models read of a text, in tokens, less what an estimate may be off by.
const MAX_TEXT_TOKENS: usize = 7_000;

/// An embedding model at an endpoint.
#[derive(Debug)]
pub struct OpenAiEmbedder {
    connection: Connection,
    dimensions: u32,
}

impl OpenAiEmbedder {
    /// Makes the client; nothing is sent yet. Vectors of another length than
    /// `dimensions` are refused when they come.
    pub fn new(
        endpoint: &Endpoint,
        dimensions: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ModelError> {
        Ok(Self::at(Connection::new(endpoint, clock)?, dimensions))
    }

    pub(in crate::models) fn at(connection: Connection, dimensions: u32) -> Self {
        Self { connection, dimensions }
    }

    fn body(&self, texts: &[String]) -> CreateEmbeddingRequest {
        // The models that can give shorter vectors have to be asked for them.
        let shortens = self.connection.model.starts_with("text-embedding-3");
        CreateEmbeddingRequest {
            model: self.connection.model.clone(),
            input: EmbeddingInput::StringArray(texts.iter().map(|text| readable(text)).collect()),
            encoding_format: Some(EncodingFormat::Float),
            user: None,
            dimensions: shortens.then_some(self.dimensions),
        }
    }

    /// The vector in unit length, if it can be one of this model.
    fn checked(&self, opened: &Opened, mut vector: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        if vector.len() != self.dimensions as usize {
            return Err(unusable(
                opened,
                format!("its vectors have {} numbers instead of {}", vector.len(), self.dimensions),
            ));
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(unusable(opened, "it sent a vector without a direction"));
        }
        vector.iter_mut().for_each(|x| *x /= length);
        Ok(vector)
    }
}

/// Vectors that are wrong once are wrong again: a model that answers so cannot be used.
fn unusable(opened: &Opened, reason: impl Into<String>) -> ModelError {
    opened.error(ErrorClass::Unusable).because(reason)
}

/// The text as the interface takes it: not empty, and no longer than the model reads.
fn readable(text: &str) -> String {
    if text.trim().is_empty() {
        return " ".to_owned();
    }
    let tokens = usize::try_from(tokens::estimate(text)).unwrap_or(usize::MAX);
    if tokens <= MAX_TEXT_TOKENS {
        return text.to_owned();
    }
    let kept = text.len() / tokens.div_ceil(MAX_TEXT_TOKENS);
    text[..text.floor_char_boundary(kept)].to_owned()
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<TokenCounts>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    /// A number that is none comes as null.
    embedding: Vec<Option<f32>>,
}

#[derive(Deserialize)]
struct TokenCounts {
    #[serde(default)]
    prompt_tokens: u64,
}

#[async_trait]
impl EmbedProvider for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.connection.remote.name
    }

    fn dimensions(&self) -> u32 {
        self.dimensions
    }

    fn limits(&self) -> RequestLimits {
        RequestLimits { texts: BATCH_TEXTS, bytes: BATCH_BYTES }
    }

    async fn request(
        &self,
        _: EmbedKind,
        texts: &[String],
        call: CallId,
    ) -> Result<ProviderVectors, ModelError> {
        let (url, headers) = self.connection.access.to("/embeddings").await?;
        let opened = self.connection.remote.post(&url, headers, &self.body(texts), call).await;
        if matches!(&opened, Err(error) if error.class == ErrorClass::Credentials) {
            self.connection.access.refused().await;
        }
        let mut opened = opened?;
        let answer: Answer = opened.json().await?;
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        for (place, item) in answer.data.into_iter().enumerate() {
            // The order is the index's, not that of the list.
            let place = item.index.unwrap_or(place);
            let Some(vector) = item.embedding.into_iter().collect::<Option<Vec<f32>>>() else {
                return Err(unusable(&opened, "it sent a vector with numbers that are none"));
            };
            match vectors.get_mut(place) {
                Some(free @ None) => *free = Some(self.checked(&opened, vector)?),
                Some(Some(_)) => {
                    return Err(unusable(&opened, "it sent two vectors for the same text"));
                }
                None => {
                    return Err(unusable(&opened, "it sent a vector for a text that was not sent"));
                }
            }
        }
        let vectors = vectors
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| unusable(&opened, "it sent fewer vectors than texts"))?;
        let usage = answer
            .usage
            .map(|counts| Usage { input_tokens: counts.prompt_tokens, ..Usage::default() });
        Ok(ProviderVectors {
            vectors,
            request_id: opened.told.request_id,
            limits: opened.told.limits,
            usage,
        })
    }
}
