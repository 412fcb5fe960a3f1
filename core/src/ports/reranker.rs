//! The port to what reads a question and a passage together and tells how well they fit.

use async_trait::async_trait;

use super::model_call::CallScope;
use super::model_error::ModelError;

/// Scores passages for a question.
#[async_trait]
pub trait Reranker: Send + Sync + std::fmt::Debug {
    /// `provider:model`.
    fn model(&self) -> &str;

    /// One score for each passage, in their order; higher is better, comparable within
    /// one call.
    async fn rerank(
        &self,
        query: &str,
        passages: &[String],
        scope: &CallScope,
    ) -> Result<Vec<f32>, ModelError>;
}
