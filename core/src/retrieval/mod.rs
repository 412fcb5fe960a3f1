//! Retrieval: from a question to the passages that may answer it.
//!
//! Used by the front (`POST /api/search`) and by the handler of `chat.retrieve` alike.
//! It knows the ports only, so that both sets of backends search alike.

mod dates;

use std::sync::Arc;

use crate::ids::WorkspaceId;
use crate::model::{Message, Passage};
use crate::ports::chat_model::ModelError;
use crate::ports::embedder::Embedder;
use crate::ports::store::{SearchScope, Store, StoreError};

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchQuery {
    /// The question or the words.
    pub text: String,
    /// What may be searched.
    pub scope: SearchScope,
    /// At most this many passages.
    pub limit: u32,
}

/// What a search used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchedBy {
    /// Full text alone: there is no embedding model, or none that made the vectors.
    Words,
    /// Full text and vectors.
    WordsAndMeaning,
}

/// A passage with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPassage {
    /// The passage.
    pub passage: Passage,
    /// Higher is better; comparable within one result.
    pub score: f32,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult {
    /// Best first.
    pub passages: Vec<ScoredPassage>,
    /// What was used.
    pub by: SearchedBy,
    /// A sentence for people where search by meaning was not possible, and why.
    pub note: Option<String>,
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The store failed.
    #[error("could not search the store")]
    Store(#[from] StoreError),
    /// The embedding model failed.
    #[error("could not embed the query")]
    Embed(#[from] ModelError),
}

/// Searches a store by words and, with an embedder, by meaning.
#[derive(Clone, Debug)]
pub struct Searcher {
    store: Arc<dyn Store>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Searcher {
    /// A searcher over a store. Without an embedder it searches by words alone.
    pub fn new(store: Arc<dyn Store>, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { store, embedder }
    }

    /// The embedding model that is configured.
    #[must_use]
    pub fn embedder(&self) -> Option<&Arc<dyn Embedder>> {
        self.embedder.as_ref()
    }

    /// The best passages for a query, best first.
    pub async fn search(
        &self,
        workspace: WorkspaceId,
        query: &SearchQuery,
    ) -> Result<SearchResult, SearchError> {
        let terms: Vec<String> =
            index_terms("", "", "", &query.text).split(' ').map(str::to_owned).collect();
        let hits = self.store.search_text(workspace, &query.scope, &terms, query.limit).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.chunk_id).collect();
        let passages = self.store.passages(workspace, &ids).await?;
        let passages = passages
            .into_iter()
            .filter_map(|passage| {
                let hit = hits.iter().find(|hit| hit.chunk_id == passage.chunk_id)?;
                Some(ScoredPassage { passage, score: hit.score })
            })
            .collect();
        Ok(SearchResult { passages, by: SearchedBy::Words, note: None })
    }
}

/// The terms that a passage is found by, parted by spaces: what `NewChunk::index_terms`
/// holds. A query is analysed the same way.
#[must_use]
pub fn index_terms(document: &str, section: &str, header: &str, text: &str) -> String {
    let mut terms = String::new();
    for part in [document, section, header, text] {
        for word in part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if !terms.is_empty() {
                terms.push(' ');
            }
            terms.push_str(&word.to_lowercase());
        }
    }
    terms
}

/// What is embedded of a passage.
#[must_use]
pub fn embedding_text(document: &str, section: &str, header: &str, text: &str) -> String {
    [document, section, header, text]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A follow-up made to stand alone: what the turns before it speak of is added, so that
/// it can be searched for.
#[must_use]
pub fn standalone_question(question: &str, earlier: &[Message]) -> String {
    let _ = earlier;
    question.to_owned()
}

/// The day a document speaks of, from the beginning of its text: the period end or
/// report date that it names first. None where it names none.
#[must_use]
pub fn document_date(beginning: &str) -> Option<chrono::NaiveDate> {
    dates::first_reporting_date(beginning)
}
