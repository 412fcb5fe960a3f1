//! What the ingest and embed handlers read and write. Every write carries its claim and
//! is refused as `Fenced` where a later one holds the job.

use async_trait::async_trait;
use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use super::{Advance, Claim, StoreError};
use crate::clock::Time;
use crate::ids::{ChunkId, CollectionId, DocumentId, GenerationId, WorkspaceId};
use crate::model::{Chunking, DocumentStatus, Generation, StoredObject};
use crate::problem::Problem;

/// The version of a document that is to be made searchable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestSubject {
    /// The document.
    pub document_id: DocumentId,
    /// Its collection.
    pub collection_id: CollectionId,
    /// The version.
    pub version: u32,
    /// Where it stands.
    pub status: DocumentStatus,
    /// Its file.
    pub object: StoredObject,
    /// Of a reading beside: the version that it is a reading of. `version` is then its own
    /// number, from [`READINGS_FROM`](super::READINGS_FROM) on.
    pub reading_of: Option<u32>,
    /// The cut of the collection that it is read for.
    pub cut: u32,
    /// How that one's passages are cut.
    pub chunking: Chunking,
}

/// A page to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPage {
    /// The place in the document, from 0.
    pub ordinal: u32,
    /// The page's number, from 1, where the format has pages.
    pub number: Option<u32>,
    /// The sheet's name or the slide's title.
    pub label: Option<String>,
    /// The canonical text.
    pub text: String,
    /// Packed boxes of its words.
    pub boxes: Vec<u8>,
    /// Why the page gave no text, if it gave none.
    pub missing: Option<String>,
}

/// A chunk to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChunk {
    /// Follows from document, version and ordinal.
    pub id: ChunkId,
    /// What the parser made.
    pub chunk: crate::parsed::ParsedChunk,
    /// The terms it is found by, analysed, parted by spaces: what full text indexes.
    pub index_terms: String,
    /// Tokens of header and text, by tiktoken.
    pub tokens: u32,
}

/// What is known of a version once it is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedSummary {
    /// By content.
    pub media_type: String,
    /// The document's own title.
    pub title: Option<String>,
    /// The day the document speaks of, where its text tells.
    pub document_date: Option<NaiveDate>,
    /// How many pages were stored.
    pub pages: u32,
    /// How many chunks were stored.
    pub chunks: u32,
    /// A note for people where part of the file could not be read.
    pub warning: Option<Problem>,
    /// Which parser has read it.
    pub parser: String,
}

/// What tells two texts apart that are to be embedded: the first 16 bytes of the SHA-256 of what
/// is sent to the model. Within a workspace alone are texts compared by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextHash(pub [u8; 16]);

impl TextHash {
    /// The hash of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

/// A chunk with its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedChunk {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// What was embedded of it; none where that is not known.
    pub text: Option<TextHash>,
    /// Of unit length.
    pub vector: Vec<f32>,
}

impl From<(ChunkId, Vec<f32>)> for EmbeddedChunk {
    /// A vector of which nobody knows the text.
    fn from((chunk_id, vector): (ChunkId, Vec<f32>)) -> Self {
        Self { chunk_id, text: None, vector }
    }
}

/// Chunks that have no vector in a generation yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbedBatch {
    /// The chunks and what is to be embedded of each: title, section, header and text.
    pub chunks: Vec<(ChunkId, String)>,
    /// How many chunks of the version have their vector.
    pub done: u64,
    /// How many the version has.
    pub total: u64,
}

/// The writes of ingestion.
#[async_trait]
pub trait IngestStore: Send + Sync {
    /// The version to work on; none if it was deleted since.
    async fn ingest_subject(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
    ) -> Result<Option<IngestSubject>, StoreError>;

    /// Marks the version as being processed and removes what an earlier attempt left.
    async fn begin_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
    ) -> Result<(), StoreError>;

    /// Stores pages and chunks of the version; called many times, in order.
    async fn save_parsed(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        pages: Vec<NewPage>,
        chunks: Vec<NewChunk>,
    ) -> Result<(), StoreError>;

    /// The parse is whole. In one transaction: this version becomes the current one,
    /// searchable by words, and the one before is no longer searched; the job advances
    /// to `documents.embed`, or, with no next step, ends with the document `ready`. A reading
    /// beside takes the place of the one that is searched only once it has its vectors, or
    /// with no next step. `Conflict` where the collection's passages are cut otherwise by now:
    /// the version has to be read anew.
    async fn finish_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        summary: ParsedSummary,
        next: Option<Advance>,
        now: Time,
    ) -> Result<(), StoreError>;

    /// The version cannot be made searchable. In one transaction: document `failed` with
    /// the problem, job `failed`, what was stored of the version removed. A former
    /// version stays current.
    async fn fail_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        problem: Problem,
        now: Time,
    ) -> Result<(), StoreError>;

    /// The collection's current generation for this model, made where the collection has
    /// no current one; none where the current one is another model's.
    async fn current_generation(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        model: &str,
        dimensions: u32,
        new_id: GenerationId,
        now: Time,
    ) -> Result<Option<Generation>, StoreError>;

    /// The next chunks of the version without a vector in the generation, at most `limit`.
    async fn chunks_to_embed(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        generation: GenerationId,
        limit: u32,
    ) -> Result<EmbedBatch, StoreError>;

    /// Every chunk has its vector: document `ready`, job `done`, in one transaction. A reading
    /// beside takes the place of the one that is searched.
    async fn finish_embed(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        document: DocumentId,
        version: u32,
        now: Time,
    ) -> Result<(), StoreError>;
}
