//! Retrieval: from a question to the passages that may answer it.
//!
//! Used by the front (`POST /api/search`) and by the handler of `chat.retrieve` alike.
//! It knows the ports only, so that both sets of backends search alike.
//!
//! The way of a search: the question is understood (`question`, `period`), the store
//! gives candidates by words and by meaning (`searcher`), they are scored again here
//! (`words`, `documents`, `rank`), a model may read the best again (`rerank`), and repetitions are passed over (`spread`).

pub mod analyse;
pub mod calendar;
mod describe;
mod documents;
mod follow_up;
pub mod period;
mod question;
mod quotes;
mod rank;
mod rerank;
mod searcher;
mod spread;
mod weights;
mod words;

pub use describe::{Description, OPENING_CHARS, describe};
pub use follow_up::standalone_question;
pub use question::Question;
pub use quotes::{Quote, quotes, write_quote};
pub use rank::{Candidate, rank};
pub use rerank::Reranking;
pub use searcher::Searcher;
pub use weights::Weights;

use crate::model::Passage;
use crate::ports::model_error::ModelError;
use crate::ports::store::{SearchScope, StoreError};

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

impl SearchedBy {
    /// The name in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::WordsAndMeaning => "words_and_meaning",
        }
    }
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
    /// Whether a model has put the best passages in its order; none where there is no such
    /// model. False where it failed or was too slow: the order is that of the search.
    pub reranked: Option<bool>,
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

/// What [`index_terms`] and [`embedding_text`] take as the document: its name and, where
/// it has one, its title.
#[must_use]
pub fn document_field(filename: &str, title: Option<&str>) -> String {
    match title {
        Some(title) => format!("{filename} {title}"),
        None => filename.to_owned(),
    }
}

/// The terms that a passage is found by, parted by spaces: what `NewChunk::index_terms`
/// holds. A query is analysed the same way. `document` is what [`document_field`] gives.
#[must_use]
pub fn index_terms(document: &str, section: &str, header: &str, text: &str) -> String {
    let mut terms = String::with_capacity(text.len() + header.len() + section.len());
    for part in [document, section, header, text] {
        analyse::analyse(part, |term, _| {
            if !terms.is_empty() {
                terms.push(' ');
            }
            terms.push_str(term);
        });
    }
    terms
}

/// What is embedded of a passage: what it says first, then where it stands, as far as
/// the model still reads.
#[must_use]
pub fn embedding_text(document: &str, section: &str, header: &str, text: &str) -> String {
    [document, section, header, text]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}
