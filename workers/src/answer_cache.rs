//! Answers that are given again where the same is asked of the same documents.
//!
//! Off unless the configuration says for how long. An answer is kept under the workspace,
//! the collections that the asker may read, what stands in them, the models, the prompt's
//! version and the question. What another model wrote in the place of the first of the chain is
//! not kept. A follow-up is always answered anew: its answer leans on what
//! was said before.

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{Citation, Figure, Usage};
use quaestor_core::ports::cache::Cache;
use quaestor_core::ports::store::{Answer, QuestionContext, Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::prompt::ANSWER;

/// What a given-again answer's model is told as, before the model that wrote it.
const PROVIDER: &str = "cache";

/// Keeps answers.
#[derive(Clone, Debug)]
pub struct AnswerCache {
    cache: Arc<dyn Cache>,
    keep: Duration,
}

/// An answer as it is kept. Fields may be added; an entry that cannot be read is none.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    content: String,
    citations: Vec<Citation>,
    figures: Vec<Figure>,
    model: String,
}

impl AnswerCache {
    /// Keeps answers for a while.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, keep: Duration) -> Self {
        Self { cache, keep }
    }

    /// Under what an answer to the question is kept; none for a follow-up. To be asked for
    /// before anything is searched: an answer from older documents is never kept as one
    /// from newer ones.
    pub(crate) async fn key(
        &self,
        store: &dyn Store,
        workspace: WorkspaceId,
        subject: &QuestionContext,
        models: &[&str],
    ) -> Result<Option<String>, StoreError> {
        if !subject.earlier.is_empty() {
            return Ok(None);
        }
        let mut collections = subject.collection_ids.clone();
        collections.sort_unstable();
        let stands = store.content_version(workspace, &collections).await?;
        let mut hash = Sha256::new();
        for part in [ANSWER.name, &stands, &normalised(&subject.question.content)] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for model in models {
            hash.update((model.len() as u64).to_be_bytes());
            hash.update(model);
        }
        for collection in collections {
            hash.update(collection.uuid().as_bytes());
        }
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(format!("answer:{workspace}:{hex}")))
    }

    /// The answer that is kept under a key.
    pub(crate) async fn find(&self, key: &str) -> Option<Answer> {
        let kept: Kept = serde_json::from_slice(&self.cache.get(key).await?).ok()?;
        quaestor_core::metrics::ANSWERS_GIVEN_AGAIN.of([]).increment(1);
        Some(Answer {
            content: kept.content,
            citations: kept.citations,
            figures: kept.figures,
            model: format!("{PROVIDER}:{}", kept.model),
            usage: Usage::default(),
            calls: Vec::new(),
        })
    }

    /// Keeps an answer that a model ended by itself and that cites something.
    pub(crate) async fn keep(&self, key: &str, answer: &Answer) {
        if answer.citations.is_empty() {
            return;
        }
        let kept = Kept {
            content: answer.content.clone(),
            citations: answer.citations.clone(),
            figures: answer.figures.clone(),
            model: answer.model.clone(),
        };
        if let Ok(bytes) = serde_json::to_vec(&kept) {
            self.cache.put(key, bytes, self.keep).await;
        }
    }
}

/// The question without what makes no difference: case, spaces, the mark at its end.
fn normalised(question: &str) -> String {
    let lower = question.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    words.join(" ").trim_end_matches(['?', '.', '!', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_difference_is_left_out_of_a_question() {
        assert_eq!(normalised("  What were\nSALES in 2024 ?"), "what were sales in 2024");
        assert_ne!(normalised("sales in 2024"), normalised("sales in 2023"));
    }
}
