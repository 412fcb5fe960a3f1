//! A second look at the best passages: a model reads the question and each of them together.

use std::sync::Arc;

use super::spread::Ranked;
use super::{document_field, embedding_text};
use crate::ports::model_call::CallScope;
use crate::ports::reranker::Reranker;

/// Who looks again, and at how much.
#[derive(Clone, Debug)]
pub struct Reranking {
    /// The model. It answers in time or fails: nothing here watches the clock.
    pub reranker: Arc<dyn Reranker>,
    /// So many of the best passages are read again; the others follow them.
    pub candidates: u32,
}

impl Reranking {
    /// Puts the beginning of a ranking in the model's order. Whether it could; where it
    /// could not, the ranking is as it was, which is an order too.
    pub(super) async fn look_again(
        &self,
        question: &str,
        ranked: &mut [Ranked],
        scope: &CallScope,
    ) -> bool {
        let count = ranked.len().min(self.candidates as usize);
        let (head, tail) = ranked.split_at_mut(count);
        if head.len() < 2 {
            return true;
        }
        let texts: Vec<String> = head.iter().map(text).collect();
        let Ok(scores) = self.reranker.rerank(question, &texts, scope).await else { return false };
        if scores.len() != head.len() || !scores.iter().all(|score| score.is_finite()) {
            return false;
        }
        for (ranked, score) in head.iter_mut().zip(&scores) {
            ranked.scored.score = *score;
        }
        // A stable sort: equal scores keep the order of the search.
        head.sort_by(|one, two| two.scored.score.total_cmp(&one.scored.score));
        // What was not read stands below, as far apart as it was.
        let lowest = scores.iter().copied().fold(f32::INFINITY, f32::min);
        if let Some(best) = tail.first().map(|ranked| ranked.scored.score) {
            for ranked in tail {
                ranked.scored.score = lowest.next_down() - (best - ranked.scored.score);
            }
        }
        true
    }
}

/// What a model reads of a passage: as an embedding model does.
fn text(ranked: &Ranked) -> String {
    let passage = &ranked.scored.passage;
    let document = document_field(&passage.filename, passage.title.as_deref());
    embedding_text(&document, &passage.section, &passage.header, &passage.text)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ChunkId, CollectionId, DocumentId, WorkspaceId};
    use crate::model::Passage;
    use crate::ports::model_error::{ErrorClass, ModelError};
    use crate::retrieval::ScoredPassage;

    /// Likes long passages; fails where it is told to.
    #[derive(Debug)]
    struct Long {
        fails: bool,
        gives: usize,
    }

    #[async_trait]
    impl Reranker for Long {
        fn model(&self) -> &str {
            "test:long"
        }

        async fn rerank(
            &self,
            _query: &str,
            passages: &[String],
            _scope: &CallScope,
        ) -> Result<Vec<f32>, ModelError> {
            if self.fails {
                return Err(ModelError::new(self.model(), ErrorClass::Unavailable));
            }
            Ok(passages.iter().take(self.gives).map(|text| text.len() as f32).collect())
        }
    }

    fn ranking() -> Vec<Ranked> {
        let texts = ["a", "aaa", "aa", "aaaaaaaaa", "aaaaaaaa"];
        let passage = |n: usize, text: &str| Passage {
            chunk_id: ChunkId(Uuid::nil()),
            document_id: DocumentId(Uuid::nil()),
            version: 1,
            collection_id: CollectionId(Uuid::nil()),
            filename: "f".to_owned(),
            title: None,
            media_type: String::new(),
            document_date: None,
            ordinal: n as u32,
            page_ordinal: 0,
            page: None,
            char_start: 0,
            char_end: 0,
            section: String::new(),
            header: String::new(),
            text: text.to_owned(),
            is_table: false,
            cells: None,
            tokens: 0,
        };
        let ranked = |(n, text): (usize, &&str)| Ranked {
            scored: ScoredPassage { passage: passage(n, text), score: 1.0 - n as f32 / 10.0 },
            fingerprint: n as u64,
            named: false,
        };
        texts.iter().enumerate().map(ranked).collect()
    }

    async fn looked(fails: bool, gives: usize, candidates: u32) -> (bool, Vec<u32>, Vec<f32>) {
        let reranking = Reranking { reranker: Arc::new(Long { fails, gives }), candidates };
        let scope = CallScope::of(WorkspaceId(Uuid::nil()), None);
        let mut ranked = ranking();
        let done = reranking.look_again("which?", &mut ranked, &scope).await;
        let order = ranked.iter().map(|ranked| ranked.scored.passage.ordinal).collect();
        (done, order, ranked.iter().map(|ranked| ranked.scored.score).collect())
    }

    #[tokio::test]
    async fn the_best_are_put_in_the_models_order_and_the_others_follow() {
        let (done, order, scores) = looked(false, 9, 3).await;
        assert!(done);
        assert_eq!(order, [1, 2, 0, 3, 4]);
        assert!(scores.is_sorted_by(|one, two| one > two), "{scores:?}");
        assert_eq!(looked(false, 9, 40).await.1, [3, 4, 1, 2, 0]);
    }

    #[tokio::test]
    async fn a_reranker_that_fails_leaves_the_order_as_it_was() {
        for (fails, gives) in [(true, 9), (false, 2)] {
            let (done, order, scores) = looked(fails, gives, 3).await;
            assert!(!done);
            assert_eq!(order, [0, 1, 2, 3, 4]);
            assert_eq!(scores[0], 1.0);
        }
    }
}
