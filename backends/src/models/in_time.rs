//! A reranker that answers in time or not at all: no question waits for a better order.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::metrics;
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::reranker::Reranker;
use tracing::warn;

/// See the module. Every failure is logged and counted here, since who asks goes on with
/// the order that it has.
#[derive(Debug)]
pub struct InTime {
    reranker: Arc<dyn Reranker>,
    limit: Duration,
    clock: Arc<dyn Clock>,
}

impl InTime {
    /// The reranker, given so much time for each question.
    #[must_use]
    pub fn new(reranker: Arc<dyn Reranker>, limit: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { reranker, limit, clock }
    }
}

impl InTime {
    fn checked(&self, scores: Vec<f32>, passages: usize) -> Result<Vec<f32>, ModelError> {
        if scores.len() == passages && scores.iter().all(|score| score.is_finite()) {
            return Ok(scores);
        }
        let malformed = ModelError::new(self.model(), ErrorClass::Malformed);
        Err(malformed.because(format!("{passages} passages, {} usable scores", scores.len())))
    }
}

#[async_trait]
impl Reranker for InTime {
    fn model(&self) -> &str {
        self.reranker.model()
    }

    async fn rerank(
        &self,
        query: &str,
        passages: &[String],
        scope: &CallScope,
    ) -> Result<Vec<f32>, ModelError> {
        if passages.is_empty() {
            return Ok(Vec::new());
        }
        let answered = tokio::select! {
            biased;
            answered = self.reranker.rerank(query, passages, scope) => answered,
            () = self.clock.sleep(self.limit) => {
                let late = ModelError::new(self.model(), ErrorClass::TooSlow);
                Err(late.because(format!("it did not answer within {} ms", self.limit.as_millis())))
            }
        };
        let answered = answered.and_then(|scores| self.checked(scores, passages.len()));
        if let Err(error) = &answered {
            warn!(
                error = error as &dyn std::error::Error,
                "the passages stay in the order of the search"
            );
            let class = error.class.as_str();
            metrics::SEARCHES_NOT_RERANKED.of([class.into()]).increment(1);
        }
        answered
    }
}
