//! A reranking model at a provider, behind its guard.

use std::sync::Arc;

use async_trait::async_trait;
use quaestor_core::model::Usage;
use quaestor_core::ports::model_call::{CallOutcome, CallScope, Operation};
use quaestor_core::ports::model_error::ModelError;
use quaestor_core::ports::reranker::Reranker;
use quaestor_core::tokens;

use super::Guards;
use super::guard::{Guard, Sent};
use crate::models::provider::RerankProvider;

/// A reranking model behind its guard.
#[derive(Debug)]
pub struct GuardedReranker {
    provider: Arc<dyn RerankProvider>,
    guard: Arc<Guard>,
}

impl GuardedReranker {
    /// The model, guarded.
    #[must_use]
    pub fn new(provider: Arc<dyn RerankProvider>, guards: &Guards) -> Self {
        let guard = guards.of(provider.model(), Operation::Rerank);
        Self { provider, guard }
    }
}

#[async_trait]
impl Reranker for GuardedReranker {
    fn model(&self) -> &str {
        self.provider.model()
    }

    async fn rerank(
        &self,
        query: &str,
        passages: &[String],
        scope: &CallScope,
    ) -> Result<Vec<f32>, ModelError> {
        let request = |call| self.provider.request(query, passages, call);
        let expected = estimate(query, passages);
        let Sent { answer, started } = self.guard.call(scope, expected, request).await?;
        self.guard.told(&answer.limits);
        let usage =
            answer.usage.map_or_else(|| (estimate(query, passages), true), |usage| (usage, false));
        self.guard.enter(scope, &started, CallOutcome::Done, answer.request_id, usage);
        Ok(answer.scores)
    }
}

fn estimate(query: &str, passages: &[String]) -> Usage {
    let query = u64::from(tokens::estimate(query)) * passages.len() as u64;
    let passages: u64 = passages.iter().map(|text| u64::from(tokens::estimate(text))).sum();
    Usage { input_tokens: query + passages, ..Usage::default() }
}
