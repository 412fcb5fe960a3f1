//! Gets vectors from an embedding model.

use std::sync::Arc;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::ports::chat_model::ModelError;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{Connection, Endpoint};

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

    async fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let failures = &self.connection.failures;
        let body = json!({
            "model": self.connection.endpoint.model,
            "input": texts,
            "encoding_format": "float",
        });
        let asked = async { self.connection.client.embeddings().create_byot(body).await };
        let answer: Answer = timeout(self.connection.endpoint.timeouts.first, asked)
            .await
            .map_err(|_| failures.too_slow("response"))?
            .map_err(|error| failures.of(error))?;
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts.len()];
        for (place, item) in answer.data.into_iter().enumerate() {
            // The order is the index's, not that of the list.
            let place = item.index.unwrap_or(place);
            match vectors.get_mut(place) {
                Some(free @ None) => *free = Some(self.checked(item.embedding)?),
                _ => return Err(failures.malformed("a vector for a text that was not sent")),
            }
        }
        vectors
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| failures.malformed("fewer vectors than texts"))
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
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn model(&self) -> &str {
        &self.connection.failures.name
    }

    fn dimensions(&self) -> u32 {
        self.dimensions
    }

    async fn embed(&self, _: EmbedKind, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(BATCH_TEXTS).take_while(|text| {
                bytes += text.len();
                bytes <= BATCH_BYTES
            });
            let (batch, later) = rest.split_at(fits.count().max(1));
            vectors.extend(self.batch(batch).await?);
            rest = later;
        }
        Ok(vectors)
    }
}
