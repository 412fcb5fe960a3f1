//! Documents of a workspace: acceptance of uploads, lists, deletion.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{IdempotencyKey, NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{BatchId, ChunkId, CollectionId, DocumentId, JobId, WorkspaceId};
use crate::jobs::NewJob;
use crate::model::{
    Document, DocumentStatus, Page, PageRequest, Passage, StoredObject, StoredPage,
};

/// A file that was uploaded and stands in the object store.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// The document's id, should the file be a new document; a file whose name the
    /// collection knows becomes a new version of that document instead.
    pub document_id: DocumentId,
    /// As uploaded: for people, never a path.
    pub filename: String,
    /// As the upload claimed; the parser corrects it by content.
    pub media_type: String,
    /// The file's size.
    pub size_bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Where it stands in the object store.
    pub object_key: String,
    /// The job that makes it searchable. Its payload is written by the store, which
    /// alone knows the version.
    pub job: NewJob,
}

/// The batch that files come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadTo {
    /// One that is made with them, and takes no others.
    New,
    /// One that was begun before, and takes more: else the upload is a `Conflict`.
    Begun,
}

/// The files of one request.
#[derive(Clone, Debug)]
pub struct AcceptUpload {
    /// Their batch.
    pub batch_id: BatchId,
    /// Whether it is made with them.
    pub to: UploadTo,
    /// The collection they go to.
    pub collection_id: CollectionId,
    /// The files, in the order of the request.
    pub files: Vec<NewFile>,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The entry for the audit log.
    pub audit: NewAuditEntry,
}

/// Whether an uploaded file means work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// It will be made searchable.
    Queued,
    /// The collection has a file with these bytes; the ids are that one's.
    Duplicate,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedFile {
    /// The document.
    pub document_id: DocumentId,
    /// The job that makes (or made) it searchable.
    pub job_id: JobId,
    /// As uploaded.
    pub filename: String,
    /// Whether it means work.
    pub status: UploadStatus,
}

/// The answer to an upload, kept with its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedUpload {
    /// The batch.
    pub batch_id: BatchId,
    /// The files, in the order of the request.
    pub items: Vec<AcceptedFile>,
}

/// Which documents a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentFilter {
    /// Only those of this collection.
    pub collection_id: Option<CollectionId>,
    /// Only those in this status.
    pub status: Option<DocumentStatus>,
}

/// Documents.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Accepts uploaded files in one transaction: documents and versions, jobs, outbox
    /// rows, audit entry, idempotency key. A file whose bytes the collection has in a
    /// version that did not fail, or that an earlier file of the same request has, is a
    /// duplicate. None where there is no such collection.
    async fn accept_upload(
        &self,
        workspace: WorkspaceId,
        upload: AcceptUpload,
    ) -> Result<Option<AcceptedUpload>, StoreError>;

    /// The workspace's documents, oldest first.
    async fn list_documents(
        &self,
        workspace: WorkspaceId,
        filter: DocumentFilter,
        page: PageRequest,
    ) -> Result<Page<Document>, StoreError>;

    /// One document.
    async fn document(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
    ) -> Result<Option<Document>, StoreError>;

    /// The stored file of a version, or of the newest one.
    async fn document_object(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: Option<u32>,
    ) -> Result<Option<StoredObject>, StoreError>;

    /// Which of these keys of stored files a row names.
    async fn known_objects(
        &self,
        workspace: WorkspaceId,
        keys: &[String],
    ) -> Result<Vec<String>, StoreError>;

    /// The passages of the current version from place `from` on, at most `limit`.
    async fn document_chunks(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        from: u32,
        limit: u32,
    ) -> Result<Option<Vec<Passage>>, StoreError>;

    /// One page of a version, with the boxes of its words.
    async fn document_page(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        page_ordinal: u32,
    ) -> Result<Option<StoredPage>, StoreError>;

    /// The page that a passage stands on, as its own reading has it: another reading of the
    /// version may have other pages.
    async fn passage_page(
        &self,
        workspace: WorkspaceId,
        passage: ChunkId,
    ) -> Result<Option<StoredPage>, StoreError>;

    /// Removes a document with all that was made of it, and cancels its jobs. Returns
    /// the object keys of its files, for the caller to delete; none if there was none.
    async fn delete_document(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Vec<String>>, StoreError>;
}
