//! Readings: what a parser made of a version, cut into passages. A version is read again by a
//! later parser, or beside its reading for a generation whose passages are cut otherwise. What
//! is searched stays searched until the later reading takes its place, in one transaction.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Claim, IngestSubject, NewAuditEntry, ParsedSummary, StoreError};
use crate::clock::Time;
use crate::ids::{BatchId, CollectionId, DocumentId, GenerationId, PrincipalId, WorkspaceId};
use crate::jobs::NewJob;
use crate::problem::Problem;

/// Numbers of versions from here on are readings beside a version's own row.
pub const READINGS_FROM: u32 = 1 << 30;

/// Which documents are to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAgain<'a> {
    /// Those that another parser has read than these.
    OtherThan(&'a [String]),
    /// The same, without those that one of these parsers could not read.
    NotYetTried(&'a [String]),
    /// All.
    All,
}

/// What is to be read again of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToReadAgain {
    /// Documents that are searched.
    pub documents: u64,
    /// Those among them that are to be read again, and are not being read.
    pub stale: u64,
    /// The size of their files, in bytes.
    pub size_bytes: u64,
    /// Their passages as they are now.
    pub passages: u64,
    /// Documents that are being read again now, or wait for it.
    pub being_read: u64,
}

/// Documents that are to be read again as files of a batch.
#[derive(Clone, Debug)]
pub struct NewReparse<'a> {
    /// Their collection.
    pub collection_id: CollectionId,
    /// Which of its documents.
    pub which: ReadAgain<'a>,
    /// The batch. It is made with the first of them, and takes no others than these.
    pub batch_id: BatchId,
    /// Whose it is, and who pays; for each document whoever uploaded it, where there is none.
    pub principal_id: Option<PrincipalId>,
    /// What it is called.
    pub name: String,
    /// A job for each document, in their order: no more are read than there are jobs. Payloads
    /// are written by the store.
    pub jobs: Vec<NewJob>,
    /// The entry for the audit log.
    pub audit: Option<NewAuditEntry>,
}

/// What identifies a reading: equal ones have the same pages and passages.
pub type ReadingDigest = [u8; 32];

/// Readings beside the one that is searched.
#[async_trait]
pub trait Readings: Send + Sync {
    /// How much of a collection is to be read again; none where there is no such collection.
    async fn to_read_again(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        which: ReadAgain<'_>,
    ) -> Result<Option<ToReadAgain>, StoreError>;

    /// Queues documents to be read again: a reading beside each, jobs, outbox rows, batch and
    /// audit entry in one transaction. What is being read already is passed over. Returns how
    /// many were queued; none where there is no such collection.
    async fn begin_reparse(
        &self,
        workspace: WorkspaceId,
        reparse: NewReparse<'_>,
    ) -> Result<Option<u64>, StoreError>;

    /// What the reading holds that this one would take the place of; none where that one is
    /// gone, or of another version by now.
    async fn reading_digest(
        &self,
        workspace: WorkspaceId,
        subject: &IngestSubject,
    ) -> Result<Option<ReadingDigest>, StoreError>;

    /// The parser found what is stored already: the reading goes, the one that is searched is
    /// noted as this parser's, and the job ends.
    async fn keep_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        parser: &str,
        now: Time,
    ) -> Result<(), StoreError>;

    /// The next documents behind `after` without a reading of the generation's cut, at most
    /// `limit`. Those that could not be read are passed over.
    async fn documents_to_read(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, StoreError>;

    /// How many documents have no reading of the generation's cut, those that could not be read
    /// not among them.
    async fn count_to_read(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<u64, StoreError>;

    /// Opens a document's reading for the generation that the claimed job builds, or finds the
    /// one that it has opened before. None where the document is gone or has one.
    async fn open_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        document: DocumentId,
    ) -> Result<Option<IngestSubject>, StoreError>;

    /// The reading is whole: it is the document's one of its cut from now on. The job goes on,
    /// and its tries count anew.
    async fn finish_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        summary: ParsedSummary,
    ) -> Result<(), StoreError>;

    /// The document cannot be read: it keeps the reading it has, and says why. The job goes on.
    async fn fail_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        problem: Problem,
    ) -> Result<(), StoreError>;

    /// Removes a piece of what is left in a collection of cuts that no generation goes by any
    /// more. Passages that were searched stay, for the answers that cite them. False where
    /// nothing is left.
    async fn clear_readings(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<bool, StoreError>;
}
