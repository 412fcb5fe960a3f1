//! The audit log: one entry with every effect, in its transaction.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::audit::Seal;
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

/// A link of the chain, with its entry where that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLink {
    /// The link.
    pub seal: Seal,
    /// The entry that it names.
    pub entry: Option<AuditEntry>,
}

/// A piece of a workspace's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditLinks {
    /// The link before the first one.
    pub previous: Option<Seal>,
    /// Links, by their numbers.
    pub links: Vec<AuditLink>,
    /// The ids of the entries that stand in the log in this piece's place, sealed or not, in
    /// order; some more than there are links at most.
    pub entries: Vec<AuditId>,
}

/// Where a chain ends, and what is not in it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEnd {
    /// The last link, as it is kept apart from the chain; none before the first.
    pub head: Option<Seal>,
    /// Entries after it, counted up to a bound.
    pub unsealed: u64,
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

    /// Puts up to `limit` entries whose ids are of a time before `before` into the workspace's
    /// chain, in the order of their ids. Returns how many. Safe in several processes at once:
    /// one of them does it, and the others do nothing.
    async fn seal_audit(
        &self,
        workspace: WorkspaceId,
        before: Time,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Up to `limit` links after the one of this number.
    async fn audit_links(
        &self,
        workspace: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<AuditLinks, StoreError>;

    /// Where the chain ends; what is not in it yet is counted up to `cap`.
    async fn audit_end(&self, workspace: WorkspaceId, cap: u32) -> Result<AuditEnd, StoreError>;
}
