//! Gets vectors from an embedding model.

use std::sync::Arc;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::model::Usage;
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_error::ModelError;
use serde::Deserialize;
use serde_json::json;

use super::{Connection, Endpoint};
use crate::models::provider::{EmbedProvider, LimitsTold, ProviderVectors};

/// Texts of one request; what the smaller servers take.
const BATCH_TEXTS: usize = 64;

/// Bytes of text of one request, so that no request grows beyond what servers accept.
const BATCH_BYTES: usize = 256 * 1024;

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
        endpoint: Endpoint,
        dimensions: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ModelError> {
        Ok(Self { connection: Connection::new(endpoint, clock)?, dimensions })
    }

    /// The vector in unit length, if it can be one of this model.
    fn checked(&self, mut vector: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        let failures = &self.connection.failures;
        if vector.len() != self.dimensions as usize {
            return Err(failures.malformed(format!(
                "vectors of {} numbers instead of {}",
                vector.len(),
                self.dimensions
            )));
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(failures.malformed("a vector without a direction"));
        }
        vector.iter_mut().for_each(|x| *x /= length);
        Ok(vector)
    }
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
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct TokenCounts {
    #[serde(default)]
    prompt_tokens: u64,
}

#[async_trait]
impl EmbedProvider for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.connection.failures.name
    }

    fn dimensions(&self) -> u32 {
        self.dimensions
    }

    fn fits(&self, texts: &[String]) -> usize {
        let mut bytes = 0;
        let fits = texts.iter().take(BATCH_TEXTS).take_while(|text| {
            bytes += text.len();
            bytes <= BATCH_BYTES
        });
        fits.count().max(1)
    }

    async fn request(&self, _: EmbedKind, texts: &[String]) -> Result<ProviderVectors, ModelError> {
        let failures = &self.connection.failures;
        let body = json!({
            "model": self.connection.endpoint.model,
            "input": texts,
            "encoding_format": "float",
        });
        let asked = async { self.connection.client.embeddings().create_byot(body).await };
        let answer: Answer = asked.await.map_err(|error| failures.of(error))?;
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        for (place, item) in answer.data.into_iter().enumerate() {
            // The order is the index's, not that of the list.
            let place = item.index.unwrap_or(place);
            match vectors.get_mut(place) {
                Some(free @ None) => *free = Some(self.checked(item.embedding)?),
                _ => return Err(failures.malformed("a vector for a text that was not sent")),
            }
        }
        let vectors = vectors
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| failures.malformed("fewer vectors than texts"))?;
        let usage = answer
            .usage
            .map(|counts| Usage { input_tokens: counts.prompt_tokens, ..Usage::default() });
        Ok(ProviderVectors { vectors, request_id: None, limits: LimitsTold::default(), usage })
    }
}
