//! Collections of a workspace.

use async_trait::async_trait;

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{CollectionId, WorkspaceId};
use crate::model::{Collection, Page, PageRequest};

/// A collection to be made.
#[derive(Clone, Debug)]
pub struct NewCollection {
    /// Its id.
    pub id: CollectionId,
    /// Its name; unique in the workspace.
    pub name: String,
    /// When it is made.
    pub created_at: Time,
}

/// Collections.
#[async_trait]
pub trait Collections: Send + Sync {
    /// Makes a collection (`Conflict` where the name is taken).
    async fn create_collection(
        &self,
        workspace: WorkspaceId,
        collection: NewCollection,
        audit: NewAuditEntry,
    ) -> Result<Collection, StoreError>;

    /// The workspace's collections, oldest first.
    async fn list_collections(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<Collection>, StoreError>;

    /// One collection.
    async fn collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Option<Collection>, StoreError>;

    /// Gives it another name (`Conflict` where the name is taken).
    async fn rename_collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        name: &str,
        audit: NewAuditEntry,
    ) -> Result<Option<Collection>, StoreError>;

    /// Removes it with its documents, chunks and vectors, and cancels their jobs.
    /// Returns the object keys of the files, for the caller to delete; none if there
    /// was no such collection.
    async fn delete_collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Vec<String>>, StoreError>;
}
