//! The audit log: one entry with every effect, in its transaction.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::clock::Time;
use crate::ids::{AuditId, PrincipalId, WorkspaceId};
use crate::model::{Page, PageRequest};

/// An entry to be written.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    /// Its id.
    pub id: AuditId,
    /// Who did it.
    pub principal_id: PrincipalId,
    /// What was done: `document.delete`, `key.create`, `authz_denied`.
    pub action: &'static str,
    /// What it was done to: an id, never contents.
    pub subject: String,
    /// When.
    pub at: Time,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// Who did it.
    pub principal_id: PrincipalId,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// When.
    pub at: Time,
}

/// The audit log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Writes an entry that belongs to no other transaction, such as a refusal.
    async fn record_audit(
        &self,
        workspace: WorkspaceId,
        entry: NewAuditEntry,
    ) -> Result<(), StoreError>;

    /// The workspace's entries, newest first.
    async fn list_audit(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError>;
}
