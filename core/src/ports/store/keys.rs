//! API keys of a workspace.

use std::fmt;

use async_trait::async_trait;

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{KeyId, PrincipalId, WorkspaceId};
use crate::model::{ApiKey, Page, PageRequest, Role};

/// A key to be made. Its principal is made with it where it does not exist.
#[derive(Clone)]
pub struct NewKey {
    /// Its row.
    pub id: KeyId,
    /// Who acts with it.
    pub principal_id: PrincipalId,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The public part that finds the row; unique over the installation.
    pub prefix: String,
    /// SHA-256 of the secret part. The secret itself is never stored.
    pub secret_sha256: [u8; 32],
    /// When it is made.
    pub created_at: Time,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// API keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Makes a key (`Conflict` where the prefix is taken).
    async fn create_key(
        &self,
        workspace: WorkspaceId,
        key: NewKey,
        audit: NewAuditEntry,
    ) -> Result<ApiKey, StoreError>;

    /// The workspace's keys, oldest first.
    async fn list_keys(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<ApiKey>, StoreError>;

    /// Revokes a key; one that is revoked stays as it was.
    async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        key: KeyId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<ApiKey>, StoreError>;
}
