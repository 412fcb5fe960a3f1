//! Search by words and by meaning, always within a scope.

use async_trait::async_trait;
use chrono::NaiveDate;
use futures::future::try_join_all;

use super::StoreError;
use crate::ids::{ChunkId, CollectionId, DocumentId, GenerationId, WorkspaceId};
use crate::model::{Document, Generation, Passage};

/// What may be searched. An empty list of collections means nothing, not everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchScope {
    /// The collections, which the caller has checked to be the workspace's.
    pub collections: Vec<CollectionId>,
    /// What narrows them.
    pub filter: ScopeFilter,
}

/// What narrows a scope. A `None` does not narrow; an empty list lets nothing through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeFilter {
    /// Only these documents.
    pub document_ids: Option<Vec<DocumentId>>,
    /// Only these media types.
    pub media_types: Option<Vec<String>>,
    /// Only documents of this day or later: the day the document speaks of, or else the
    /// day of its upload.
    pub date_from: Option<NaiveDate>,
    /// Only documents of this day or earlier.
    pub date_to: Option<NaiveDate>,
}

/// A chunk found by words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextHit {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// BM25, higher is better; comparable within one answer.
    pub score: f32,
}

/// A chunk found by meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHit {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Cosine similarity, -1 to 1.
    pub similarity: f32,
}

/// How common terms are in the workspace's searchable chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermStats {
    /// How many chunks there are.
    pub chunks: u64,
    /// For each term asked for, in order, how many chunks hold it. May be some seconds
    /// old, and may be an estimate above 100,000 chunks.
    pub chunks_with: Vec<u64>,
}

/// Search. Only current versions are found.
#[async_trait]
pub trait Search: Send + Sync {
    /// What stands in the collections: a text that is another one whenever a version of a
    /// document has become searchable or is gone, or an index generation was switched.
    async fn content_version(
        &self,
        workspace: WorkspaceId,
        collections: &[CollectionId],
    ) -> Result<String, StoreError>;

    /// How common the analysed terms are.
    async fn term_stats(
        &self,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> Result<TermStats, StoreError>;

    /// The best chunks that hold at least one of the analysed terms, best first, by
    /// BM25 over `NewChunk::index_terms`.
    async fn search_text(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        terms: &[String],
        limit: u32,
    ) -> Result<Vec<TextHit>, StoreError>;

    /// Both at once: how common `terms` are, and the best chunks for each of `searches`,
    /// at most `limit` for each.
    async fn search_words(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        terms: &[String],
        searches: &[Vec<String>],
        limit: u32,
    ) -> Result<(TermStats, Vec<Vec<TextHit>>), StoreError> {
        let stats = self.term_stats(workspace, terms).await?;
        let found = searches.iter().map(|terms| self.search_text(workspace, scope, terms, limit));
        Ok((stats, try_join_all(found).await?))
    }

    /// The current generations of the scope's collections.
    async fn generations(
        &self,
        workspace: WorkspaceId,
        collections: &[CollectionId],
    ) -> Result<Vec<Generation>, StoreError>;

    /// The nearest chunks of the generations to a vector of unit length, nearest first.
    /// All generations must be of one model.
    async fn search_vectors(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        generations: &[GenerationId],
        vector: &[f32],
        limit: u32,
    ) -> Result<Vec<VectorHit>, StoreError>;

    /// The passages of these chunks, in the order asked for; those that are gone are
    /// left out.
    async fn passages(
        &self,
        workspace: WorkspaceId,
        chunks: &[ChunkId],
    ) -> Result<Vec<Passage>, StoreError>;

    /// The searchable documents of a scope, newest first, at most `limit`: what a
    /// question's names ("Apple's 10-Q") are matched against.
    async fn searchable_documents(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError>;
}
