//! Index generations: the one that is searched, the next one that is built beside it, and the
//! former one that is kept to go back to.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Claim, EmbeddedChunk, IdempotencyKey, NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{ChunkId, CollectionId, DocumentId, GenerationId, JobId, WorkspaceId};
use crate::jobs::NewJob;
use crate::model::{Chunking, Generation, GenerationState};
use crate::ports::model_call::ModelCall;

/// A reindexing to be begun.
#[derive(Clone, Debug)]
pub struct NewReindex {
    /// The collection.
    pub collection_id: CollectionId,
    /// The generation to be built.
    pub generation_id: GenerationId,
    /// The model that makes its vectors.
    pub model: String,
    /// Their length.
    pub dimensions: u32,
    /// How passages are cut anew; none where it has those that are searched.
    pub chunking: Option<Chunking>,
    /// At most so many passages a minute; none where nothing holds it back.
    pub passages_per_minute: Option<u32>,
    /// The job that builds it. Its payload is written by the caller.
    pub job: NewJob,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The entry for the audit log.
    pub audit: NewAuditEntry,
}

/// The answer to a wish to reindex, kept with its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReindexAccepted {
    /// The job.
    pub job_id: JobId,
    /// The generation that it builds, or fills.
    pub generation_id: GenerationId,
}

/// What became of a wish that concerns a collection's generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReindexOutcome<T> {
    /// It is done, or will be.
    Accepted(T),
    /// There is no such collection.
    NoCollection,
    /// Another reindexing of the collection has not ended.
    UnderWay(JobId),
    /// There is no generation that it could be done to.
    NoGeneration,
    /// The former generation is cut otherwise than the current one: two cuts are kept at the
    /// most, and this would be a third.
    FormerCut,
}

/// How much would have to be embedded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReindexSize {
    /// Documents that are searched.
    pub documents: u64,
    /// Their passages.
    pub passages: u64,
    /// The tokens of these.
    pub tokens: u64,
    /// How long a passage took with this model in this workspace, in microseconds; none where
    /// it has made no vectors yet.
    pub us_per_passage: Option<f64>,
    /// How the passages are cut.
    pub chunking: Chunking,
    /// How long they are: for each length in hundreds of characters, rounded up, how many.
    pub lengths: Vec<(u32, u64)>,
}

/// A generation as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// The generation.
    #[serde(flatten)]
    pub generation: Generation,
    /// How many vectors it has.
    pub passages: u64,
    /// How many the collection's searched passages need.
    pub total: u64,
    /// Since when its building is paused; null where it is not.
    pub paused_at: Option<Time>,
    /// At most so many passages a minute; null where nothing holds it back.
    pub passages_per_minute: Option<u32>,
    /// The job that builds or has built it; null where documents have as they came.
    pub job_id: Option<JobId>,
    /// When the search changed over to it; null where it never did, or from the beginning on.
    pub switched_at: Option<Time>,
    /// How its passages are cut.
    pub chunking: Chunking,
    /// How many documents are still to be read for it.
    pub documents_to_read: u64,
}

/// How the generation of a running reindexing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReindexSubject {
    /// The generation.
    pub generation: Generation,
    /// Whether somebody has paused it.
    pub paused: bool,
    /// At most so many passages a minute.
    pub passages_per_minute: Option<u32>,
    /// How often a document was made searchable without being given its vectors: what was
    /// looked through before has to be looked through again.
    pub skipped: u64,
}

/// Where to go on among a collection's passages: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassageCursor {
    /// The document.
    pub document_id: DocumentId,
    /// The place in it.
    pub ordinal: i64,
}

/// Passages without a vector in a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassagesToIndex {
    /// Their ids and what is to be embedded of each.
    pub chunks: Vec<(ChunkId, String)>,
    /// Where to go on; none where all passages were looked through.
    pub next: Option<PassageCursor>,
}

/// What became of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The generation is the one that is searched, and the job has ended.
    Done,
    /// Documents have come in without their vectors since: look through all again.
    Behind,
    /// The search would be slow without the index over its vectors, which is being built.
    IndexMissing,
}

/// Index generations.
#[async_trait]
pub trait Generations: Send + Sync {
    /// The longest vectors that this store holds.
    fn most_dimensions(&self) -> u32;

    /// How much of a collection would have to be embedded with a model; none where there is no
    /// such collection.
    async fn reindex_size(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        model: &str,
    ) -> Result<Option<ReindexSize>, StoreError>;

    /// Begins to build a generation beside the one that is searched: generation, job, outbox
    /// row, audit entry, idempotency key in one transaction. One whose job has ended without
    /// it having become the current one is dropped.
    async fn begin_reindex(
        &self,
        workspace: WorkspaceId,
        reindex: NewReindex,
    ) -> Result<ReindexOutcome<ReindexAccepted>, StoreError>;

    /// The generations of a collection that are not dropped, oldest first; none where there is
    /// no such collection.
    async fn collection_generations(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Option<Vec<GenerationStatus>>, StoreError>;

    /// The generations that a document of the collection has to have vectors in: the current
    /// one first, then the one that is being built.
    async fn live_generations(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Vec<Generation>, StoreError>;

    /// Pauses what builds the collection's next generation, or lets it go on. The job that does;
    /// [`ReindexOutcome::NoGeneration`] where none is being built.
    async fn pause_reindex(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        paused: bool,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<JobId>, StoreError>;

    /// Makes the former generation the one that is searched, at once, and the current one the
    /// former. The job makes the vectors that it lacks, of what came in since.
    async fn roll_back(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        job: NewJob,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<ReindexAccepted>, StoreError>;

    /// Drops the former generation.
    async fn drop_former(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<()>, StoreError>;

    /// The generation that a claimed job builds or fills; none where it is gone or dropped.
    async fn reindex_subject(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<Option<ReindexSubject>, StoreError>;

    /// How many passages the generation's collection has that are searched, and how many of
    /// them have their vector.
    async fn reindex_progress(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<(u64, u64), StoreError>;

    /// The next passages without a vector in the generation, at most `limit`, in the order of
    /// documents and places. May give none though there are more.
    async fn passages_to_index(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        after: Option<PassageCursor>,
        limit: u32,
    ) -> Result<PassagesToIndex, StoreError>;

    /// Of these texts the vectors that the workspace has of the model already, in their order.
    async fn known_vectors(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        texts: &[super::TextHash],
    ) -> Result<Vec<Option<Vec<f32>>>, StoreError>;

    /// Stores vectors of unit length, and the requests that made them; `took_us` is how long
    /// the model took for those it made. A chunk that has a vector keeps it, and one that is
    /// no longer searched gets none. The step's tries count anew.
    async fn save_vectors(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        vectors: Vec<EmbeddedChunk>,
        took_us: u64,
        calls: &[ModelCall],
    ) -> Result<(), StoreError>;

    /// Notes that a document was made searchable without its vectors in a generation that is
    /// being built.
    async fn note_skipped(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
    ) -> Result<(), StoreError>;

    /// Makes the generation the one that is searched and ends the job, in one transaction. The
    /// one before becomes the former, and what was the former is dropped. `skipped` is what
    /// the subject said before all passages were looked through.
    async fn switch_generation(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        skipped: u64,
        now: Time,
    ) -> Result<Switch, StoreError>;

    /// Ends the job that has filled a generation.
    async fn finish_reindex(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        now: Time,
    ) -> Result<(), StoreError>;
}

impl GenerationStatus {
    /// Whether it is being built.
    #[must_use]
    pub fn is_building(&self) -> bool {
        self.generation.state == GenerationState::Building
    }
}
