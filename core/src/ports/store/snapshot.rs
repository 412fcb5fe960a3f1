//! One state of the whole store, read while others write.

use async_trait::async_trait;

use super::StoreError;
use super::portable::{Cursor, Most, RecordPage, Table};
use crate::ids::WorkspaceId;

/// What has snapshots.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// One state of the whole store, which others may go on to write to. It holds one
    /// connection and what the database keeps for its sake: not to be held for longer than
    /// the rows take to read.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;
}

/// The store as it was at one moment.
#[async_trait]
pub trait Snapshot: Send {
    /// Workspaces in the order in which they were made, after the given one, at most
    /// `limit`.
    async fn workspaces_after(
        &mut self,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<WorkspaceId>, StoreError>;

    /// Some records of a table, as [`Portable::read_records`](super::Portable::read_records) gives them.
    async fn read_records(
        &mut self,
        workspace: WorkspaceId,
        table: Table,
        after: Option<Cursor>,
        most: Most,
    ) -> Result<RecordPage, StoreError>;

    /// Lets go of it. One that is dropped is let go of as well, only later.
    async fn end(self: Box<Self>);
}
