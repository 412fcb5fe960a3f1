//! How good is search, by words, by meaning, by both and with a second look?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use quaestor_core::embedders::Embedders;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::store::{ScopeFilter, SearchScope, Store};
use quaestor_core::retrieval::{Reranking, SearchQuery, SearchedBy, Searcher, Weights};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::dataset::{Dataset, JudgedSet, Query, Unit};
use super::load::Loaded;
use super::score::{Mean, Scores};

/// Searches at once.
const AT_ONCE: usize = 2;
/// How many passages a search asks for: several may stand in one entry or document.
const DEPTH: u32 = 100;

/// What a search goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Full text alone.
    Words,
    /// Vectors alone.
    Meaning,
    /// Both, as the product searches.
    Fused,
    /// Both, and the reranker that is configured.
    Reranked,
}

/// How much is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    /// Everything.
    Global,
    /// The collection that the query names.
    Collection,
    /// The document that the query names.
    Document,
}

/// The searchers that there are, each with what it goes by.
pub(super) struct Searchers(Vec<(Way, Searcher)>);

impl Searchers {
    /// Those of a store: with an embedder by meaning too, and with a reranker as that one
    /// orders what was found.
    pub(super) fn new(
        store: &Arc<dyn Store>,
        embedder: Option<&Arc<dyn Embedder>>,
        reranking: Option<&Reranking>,
    ) -> Self {
        let product = Searcher::new(store.clone(), embedder.cloned());
        let mut all = vec![(Way::Words, Searcher::new(store.clone(), Embedders::default()))];
        if embedder.is_some() {
            let alone = product.clone().with_weights(Weights::meaning_alone());
            all.extend([(Way::Meaning, alone), (Way::Fused, product.clone())]);
        }
        if let Some(reranking) = reranking {
            all.push((Way::Reranked, product.with_reranking(Some(reranking.clone()))));
        }
        Self(all)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// The means of a set in one scope by one way.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// How much was searched.
    pub(super) scope: Scope,
    /// By what.
    pub(super) way: Way,
    /// How many queries have such a scope.
    pub(super) queries: u32,
    /// The means over them.
    #[serde(flatten)]
    pub(super) scores: Scores,
    /// Searches whose passages the reranker did not order, because it failed or was too
    /// slow: they count in the order that users would have seen.
    pub(super) not_reranked: u64,
    /// nDCG@10 of the one and the other half of the queries, parted by the hash of their
    /// ids: how much of a difference is chance, and what tuning on one half is worth.
    pub(super) ndcg_10_halves: [f64; 2],
}

/// Where searches go.
pub(super) struct Ground<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) loaded: &'a Loaded,
    pub(super) workspace: WorkspaceId,
}

impl Ground<'_> {
    /// Evaluates a set; `tell` hears of every search that is done.
    pub(super) async fn evaluate(
        &self,
        set: &JudgedSet,
        chosen: &[usize],
        searchers: &Searchers,
        tell: &(dyn Fn(u64) + Sync),
    ) -> anyhow::Result<Vec<Row>> {
        let done = AtomicU64::new(0);
        let mut rows = Vec::new();
        for scope in [Scope::Global, Scope::Collection, Scope::Document] {
            if scope == Scope::Document && set.unit == Unit::Documents {
                continue;
            }
            for searcher in &searchers.0 {
                let (mut mean, mut halves) = (Mean::default(), [Mean::default(); 2]);
                let left = AtomicU64::new(0);
                let (done, left) = (&done, &left);
                let mut scores = futures::stream::iter(chosen)
                    .map(|at| async move {
                        let judged = &set.queries[*at];
                        let query = &self.dataset.queries[judged.query as usize];
                        let Some(filter) = self.filter(scope, query) else {
                            return anyhow::Ok(None);
                        };
                        let ranking = self.search(searcher, query, filter, set.unit, left).await?;
                        tell(done.fetch_add(1, Ordering::Relaxed) + 1);
                        Ok(Some((half(&query.id), Scores::of(&ranking, &judged.right))))
                    })
                    .buffer_unordered(AT_ONCE);
                while let Some(one) = scores.try_next().await? {
                    if let Some((half, scores)) = one {
                        mean.add(&scores);
                        halves[half].add(&scores);
                    }
                }
                if mean.count() > 0 {
                    rows.push(Row {
                        scope,
                        way: searcher.0,
                        queries: mean.count(),
                        scores: mean.scores(),
                        not_reranked: left.load(Ordering::Relaxed),
                        ndcg_10_halves: halves.map(|half| half.scores().ndcg_10),
                    });
                }
            }
        }
        Ok(rows)
    }

    /// What narrows the search to a query's scope; none where the query names none.
    fn filter(&self, scope: Scope, query: &Query) -> Option<ScopeFilter> {
        let places = match scope {
            Scope::Global => return Some(ScopeFilter::default()),
            Scope::Document => vec![query.document?],
            Scope::Collection => self.dataset.in_collection(query.collection.as_deref()?),
        };
        if places.is_empty() {
            return None;
        }
        let document_ids = Some(self.loaded.documents(&places));
        Some(ScopeFilter { document_ids, ..ScopeFilter::default() })
    }

    /// The first entries or documents that a search finds, each once, best first.
    async fn search(
        &self,
        (way, searcher): &(Way, Searcher),
        query: &Query,
        filter: ScopeFilter,
        unit: Unit,
        not_reranked: &AtomicU64,
    ) -> anyhow::Result<Vec<u32>> {
        let scope = SearchScope { collections: vec![self.loaded.collection], filter };
        let query = SearchQuery { text: query.text.clone(), scope, limit: DEPTH };
        let found = searcher.search(&CallScope::of(self.workspace, None), &query).await?;
        let by_meaning = found.by == SearchedBy::WordsAndMeaning;
        if matches!(way, Way::Meaning | Way::Fused) && !by_meaning {
            anyhow::bail!("the search went by words alone: {}", found.note.unwrap_or_default());
        }
        if *way == Way::Reranked && found.reranked != Some(true) {
            not_reranked.fetch_add(1, Ordering::Relaxed);
        }
        let mut ranking = Vec::new();
        for hit in &found.passages {
            let Some((document, entry)) = self.loaded.entry(self.dataset, &hit.passage) else {
                anyhow::bail!("the search found a passage that nobody stored");
            };
            let place = match unit {
                Unit::Passages => entry,
                Unit::Documents => document,
            };
            if !ranking.contains(&place) {
                ranking.push(place);
            }
        }
        Ok(ranking)
    }
}

/// Which half a query belongs to.
fn half(id: &str) -> usize {
    usize::from(Sha256::digest(id.as_bytes())[0] & 1)
}
