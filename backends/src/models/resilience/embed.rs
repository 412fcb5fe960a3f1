//! An embedding model at a provider, asked in portions that it takes.

use std::sync::Arc;

use async_trait::async_trait;
use quaestor_core::model::Usage;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::{CallOutcome, CallScope, Operation, Readiness};
use quaestor_core::ports::model_error::ModelError;
use quaestor_core::tokens;

use super::Guards;
use super::gather::Gather;
use super::guard::{Guard, Sent};
use crate::models::provider::EmbedProvider;

/// An embedding model behind its guard.
#[derive(Debug)]
pub struct GuardedEmbedder {
    provider: Arc<dyn EmbedProvider>,
    guard: Arc<Guard>,
    passages: Gather,
}

impl GuardedEmbedder {
    /// The model, guarded.
    #[must_use]
    pub fn new(provider: Arc<dyn EmbedProvider>, guards: &Guards) -> Self {
        let guard = guards.of(provider.model(), Operation::Embed);
        let passages = Gather::new(Arc::clone(&provider), Arc::clone(&guard));
        Self { provider, guard, passages }
    }
}

#[async_trait]
impl Embedder for GuardedEmbedder {
    fn model(&self) -> &str {
        self.provider.model()
    }

    fn dimensions(&self) -> u32 {
        self.provider.dimensions()
    }

    fn readiness(&self) -> Readiness {
        self.guard.readiness()
    }

    fn cost_micros(&self, tokens: u64) -> u64 {
        let usage = Usage { input_tokens: tokens, ..Usage::default() };
        self.guard.cost_micros(&usage)
    }

    async fn embed(
        &self,
        kind: EmbedKind,
        texts: &[String],
        scope: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        if kind == EmbedKind::Passage {
            return self.passages.embed(texts, scope).await;
        }
        // Somebody waits for it: it goes alone.
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let (portion, later) = rest.split_at(self.provider.fits(rest).clamp(1, rest.len()));
            let request = |call| self.provider.request(kind, portion, call);
            let expected = estimate(portion);
            let Sent { answer, started } = self.guard.call(scope, expected, request).await?;
            self.guard.told(&answer.limits);
            let usage =
                answer.usage.map_or_else(|| (estimate(portion), true), |usage| (usage, false));
            self.guard.enter(scope, &started, CallOutcome::Done, answer.request_id, usage);
            vectors.extend(answer.vectors);
            rest = later;
        }
        Ok(vectors)
    }
}

pub(super) fn estimate(texts: &[String]) -> Usage {
    let input_tokens = texts.iter().map(|text| u64::from(tokens::estimate(text))).sum();
    Usage { input_tokens, ..Usage::default() }
}
