//! How are the ports asked for candidates?

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::{try_join, try_join_all};

use super::question::Question;
use super::rank::{Candidate, best, order};
use super::rerank::Reranking;
use super::weights::Weights;
use super::{SearchError, SearchQuery, SearchResult, SearchedBy};
use crate::embedders::Embedders;
use crate::ids::{ChunkId, GenerationId, WorkspaceId};
use crate::ports::embedder::{EmbedKind, Embedder};
use crate::ports::model_call::CallScope;
use crate::ports::store::{SearchScope, Store, TermStats, VectorHit};

/// Candidates by words.
const TEXT_CANDIDATES: u32 = 200;
/// Candidates by meaning.
const VECTOR_CANDIDATES: u32 = 80;
/// The most passages that one search gives.
const MOST_PASSAGES: u32 = 100;

/// Searches a store by words and, with an embedder, by meaning.
#[derive(Clone, Debug)]
pub struct Searcher {
    store: Arc<dyn Store>,
    embedders: Embedders,
    reranking: Option<Reranking>,
    weights: Weights,
}

impl Searcher {
    /// A searcher over a store. Without embedders it searches by words alone.
    pub fn new(store: Arc<dyn Store>, embedders: impl Into<Embedders>) -> Self {
        Self { store, embedders: embedders.into(), reranking: None, weights: Weights::default() }
    }

    /// The same searcher, with a model that reads the best passages again.
    #[must_use]
    pub fn with_reranking(mut self, reranking: Option<Reranking>) -> Self {
        self.reranking = reranking;
        self
    }

    /// The same searcher with other weights, for measurements.
    #[must_use]
    pub fn with_weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// The embedding models that are configured.
    #[must_use]
    pub fn embedders(&self) -> &Embedders {
        &self.embedders
    }

    /// Who looks again at the best passages, where anybody does.
    #[must_use]
    pub fn reranking(&self) -> Option<&Reranking> {
        self.reranking.as_ref()
    }

    /// The best passages for a query in the workspace of the scope, best first, at most 100.
    pub async fn search(
        &self,
        scope: &CallScope,
        query: &SearchQuery,
    ) -> Result<SearchResult, SearchError> {
        let workspace = scope.workspace;
        let question = Question::read(&query.text);
        let limit = query.limit.min(MOST_PASSAGES);
        let ((stats, by_text), (by, note, by_meaning)) = try_join(
            self.by_words(workspace, &query.scope, &question, limit),
            self.by_meaning(scope, query, limit),
        )
        .await?;
        let similarity: HashMap<ChunkId, f32> = by_meaning.iter().copied().collect();
        let mut chunks = by_text;
        chunks.extend(by_meaning.iter().map(|(chunk, _)| *chunk));
        let mut seen = std::collections::HashSet::new();
        chunks.retain(|chunk| seen.insert(*chunk));
        let candidates = self
            .store
            .passages(workspace, &chunks)
            .await?
            .into_iter()
            .map(|passage| Candidate {
                similarity: similarity.get(&passage.chunk_id).copied(),
                passage,
            })
            .collect();
        let mut ranked = order(&question, &stats, candidates, &self.weights);
        let reranked = match &self.reranking {
            Some(reranking) => Some(reranking.look_again(&query.text, &mut ranked, scope).await),
            None => None,
        };
        let passages = best(&question, ranked, &self.weights, limit as usize);
        Ok(SearchResult { passages, by, note, reranked })
    }

    async fn by_words(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        question: &Question,
        limit: u32,
    ) -> Result<(TermStats, Vec<ChunkId>), SearchError> {
        if question.terms.is_empty() {
            return Ok((TermStats::default(), Vec::new()));
        }
        let searches = question.searches();
        let limit = TEXT_CANDIDATES.max(limit * 2) / searches.len().max(1) as u32;
        let (stats, hits) =
            self.store.search_words(workspace, scope, &question.terms, &searches, limit).await?;
        Ok((stats, hits.into_iter().flatten().map(|hit| hit.chunk_id).collect()))
    }

    /// The nearest chunks, or a sentence that says why there are none.
    async fn by_meaning(
        &self,
        scope: &CallScope,
        query: &SearchQuery,
        limit: u32,
    ) -> Result<(SearchedBy, Option<String>, Vec<(ChunkId, f32)>), SearchError> {
        let workspace = scope.workspace;
        let words_only = |note: String| Ok((SearchedBy::Words, Some(note), Vec::new()));
        let Some(first) = self.embedders.first() else {
            return words_only(
                "No embedding model is configured, so the search went by words alone.".to_owned(),
            );
        };
        let generations = self.store.generations(workspace, &query.scope.collections).await?;
        // Each model is asked once, for all the generations of its own.
        let mut by_model: Vec<(&Arc<dyn Embedder>, Vec<GenerationId>)> = Vec::new();
        let mut without = 0;
        for generation in &generations {
            let Some(embedder) = self.embedders.of(generation) else {
                without += 1;
                continue;
            };
            match by_model.iter_mut().find(|(of, _)| of.model() == embedder.model()) {
                Some((_, ids)) => ids.push(generation.id),
                None => by_model.push((embedder, vec![generation.id])),
            }
        }
        if by_model.is_empty() {
            return words_only(match generations.first() {
                Some(other) => format!(
                    "The vectors were made by {}, and {} is configured, so the search went by words alone.",
                    other.model,
                    first.model()
                ),
                None => {
                    "No vectors have been made yet, so the search went by words alone.".to_owned()
                }
            });
        }
        let limit = VECTOR_CANDIDATES.max(limit);
        let asked = by_model.iter().map(|(embedder, generations)| {
            self.nearest(scope, query, embedder, generations, limit)
        });
        let mut near = Vec::new();
        let mut notes = Vec::new();
        let mut answered = 0;
        for found in try_join_all(asked).await? {
            match found {
                Ok(hits) => {
                    answered += 1;
                    near.push(hits);
                }
                Err(note) => notes.push(note),
            }
        }
        if answered == 0 {
            return words_only(notes.swap_remove(0));
        }
        if without > 0 {
            notes.push(format!(
                "Some collections hold vectors of another model than {} and were searched by words alone.",
                self.embedders.names()
            ));
        }
        let note = (!notes.is_empty()).then(|| notes.join(" "));
        Ok((SearchedBy::WordsAndMeaning, note, merged(near)))
    }

    /// The nearest chunks of one model's generations; a sentence where it cannot answer now.
    async fn nearest(
        &self,
        scope: &CallScope,
        query: &SearchQuery,
        embedder: &Arc<dyn Embedder>,
        generations: &[GenerationId],
        limit: u32,
    ) -> Result<Result<Vec<VectorHit>, String>, SearchError> {
        let words_only = |what: &str| {
            Ok(Err(format!("{} {what}, so the search went by words alone.", embedder.model())))
        };
        let texts = [query.text.clone()];
        let vectors = match embedder.embed(EmbedKind::Query, &texts, scope).await {
            Ok(vectors) => vectors,
            Err(error) if error.class.is_transient() => return words_only("cannot answer now"),
            Err(error) => return Err(error.into()),
        };
        let Some(vector) = vectors.first() else {
            return words_only("gave no vector for the query");
        };
        let (store, workspace) = (&self.store, scope.workspace);
        Ok(Ok(store.search_vectors(workspace, &query.scope, generations, vector, limit).await?))
    }
}

/// What several models found. What one calls near may be far for another, so their
/// similarities are stretched over the same range before they stand beside each other.
fn merged(near: Vec<Vec<VectorHit>>) -> Vec<(ChunkId, f32)> {
    let several = near.len() > 1;
    let mut all: Vec<(ChunkId, f32)> = Vec::new();
    for hits in near {
        let most = hits.iter().map(|hit| hit.similarity).fold(f32::NEG_INFINITY, f32::max);
        let least = hits.iter().map(|hit| hit.similarity).fold(f32::INFINITY, f32::min);
        let range = (most - least).max(1e-6);
        all.extend(hits.into_iter().map(|hit| {
            let stretched = (hit.similarity - least) / range;
            (hit.chunk_id, if several { stretched } else { hit.similarity })
        }));
    }
    all
}
