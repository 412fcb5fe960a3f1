//! The port to what turns text into vectors.

use async_trait::async_trait;

use super::model_call::{CallScope, Readiness};
use super::model_error::ModelError;

/// What a text is, for models that embed the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedKind {
    /// A question.
    Query,
    /// A passage.
    Passage,
}

/// Turns text into vectors of unit length. Vectors of different models never mix.
#[async_trait]
pub trait Embedder: Send + Sync + std::fmt::Debug {
    /// The model's name as an index generation keeps it.
    fn model(&self) -> &str;

    /// The length of the vectors.
    fn dimensions(&self) -> u32;

    /// Whether it makes sense to ask.
    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    /// What it costs to embed texts of so many tokens, in millionths of the currency; 0 where
    /// that is not known, or nothing.
    fn cost_micros(&self, _tokens: u64) -> u64 {
        0
    }

    /// One vector of unit length for each text, in the order of the texts. Text beyond
    /// what the model reads is left out.
    async fn embed(
        &self,
        kind: EmbedKind,
        texts: &[String],
        scope: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError>;
}
