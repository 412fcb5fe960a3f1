//! Passages and vectors that belong to nothing: what a damaged database may hold.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::ids::WorkspaceId;

/// Where the look for strays goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrayCursor {
    /// The part of the table, where it has parts.
    pub part: i64,
    /// The last key that was looked at.
    pub key: i64,
}

/// What a piece of a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// How many rows were looked at.
    pub looked: u64,
    /// How many of them belong to nothing.
    pub strays: u64,
    /// Some of them: whose, and what.
    pub examples: Vec<(WorkspaceId, String)>,
    /// Where the next piece begins; none after the last one.
    pub next: Option<StrayCursor>,
}

/// Looks through tables in the order of their keys, and not workspace by workspace: with many
/// workspaces each would read the rows of all. Counts, and ids, and no contents.
#[async_trait]
pub trait StrayRows: Send + Sync {
    /// Passages of versions that are not there, of these workspaces, among `limit` rows.
    async fn stray_passages(
        &self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError>;

    /// Vectors of passages that are not there, of these workspaces, among `limit` rows.
    async fn stray_vectors(
        &self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError>;
}
