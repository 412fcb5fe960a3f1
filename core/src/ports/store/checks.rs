//! What the check of what is stored reads: for each version and export what its row says, and
//! what is there.

use async_trait::async_trait;

use super::StoreError;
use crate::ids::{CollectionId, DocumentId, ExportId, GenerationId, WorkspaceId};
use crate::jobs::NewJob;
use crate::model::DocumentStatus;

/// A version of a document: what its row says, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedVersion {
    /// The document.
    pub document_id: DocumentId,
    /// The version; of a reading beside its number, from
    /// [`READINGS_FROM`](super::READINGS_FROM) on.
    pub version: u32,
    /// Its collection.
    pub collection_id: CollectionId,
    /// How it stands.
    pub status: DocumentStatus,
    /// Whether it is the one that is searched.
    pub is_current: bool,
    /// Where its file is.
    pub object_key: String,
    /// The size that the file should have.
    pub size_bytes: u64,
    /// The SHA-256 that it should have.
    pub sha256: String,
    /// How many passages it should have.
    pub passages: u64,
    /// How many it has.
    pub stored: u64,
    /// How many of these are found by words.
    pub indexed: u64,
    /// Its vectors in the generation that is searched; none where the collection has none.
    pub vectors: Option<CheckedVectors>,
}

/// The vectors of a version in the generation that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedVectors {
    /// The generation.
    pub generation_id: GenerationId,
    /// The length that they should have.
    pub dimensions: u32,
    /// How many there are.
    pub vectors: u64,
    /// How many of these have another length.
    pub other_length: u64,
    /// How many a search by meaning looks through.
    pub searched: u64,
}

/// Some versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedVersions {
    /// The versions, in the order of their files' keys.
    pub items: Vec<CheckedVersion>,
    /// After which key the next piece begins; none after the last one.
    pub next: Option<String>,
}

/// An export with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedExport {
    /// The export.
    pub export_id: ExportId,
    /// Where its file is.
    pub object_key: String,
    /// The size that the file should have.
    pub size_bytes: u64,
    /// The SHA-256 that it should have.
    pub sha256: String,
}

/// What the check reads of a workspace, in bounded pieces.
#[async_trait]
pub trait Checks: Send + Sync {
    /// Versions whose files' keys come after the given one, whose passages are `passages` or
    /// one version's at the most. Each is read as it is at one moment.
    async fn check_versions(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        versions: u32,
        passages: u64,
    ) -> Result<CheckedVersions, StoreError>;

    /// Exports whose files' keys come after the given one, at most `limit`.
    async fn check_exports(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CheckedExport>, StoreError>;

    /// Has the vectors made that a document lacks which is `ready`, by this job. False where it
    /// is not, or a job works on it.
    async fn embed_again(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        job: NewJob,
    ) -> Result<bool, StoreError>;
}
