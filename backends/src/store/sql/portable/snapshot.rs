//! One state of the whole store, read while others write.

use async_trait::async_trait;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{
    Cursor, Most, RecordPage, Snapshot, Snapshots, StoreError, Table,
};

use super::super::dialect::{self, DbStore, DbTransaction, WhileHeld};
use super::super::fault::{Fault, during};
use super::super::standing;
use super::read;

struct DbSnapshot {
    tx: DbTransaction,
    held: WhileHeld,
    /// Whose rows the transaction sees.
    sees: Option<WorkspaceId>,
}

impl DbSnapshot {
    async fn take(store: &DbStore) -> Result<Self, Fault> {
        let mut tx = store.connections.snapshot().await?;
        // The state is that of the first statement, and not that of BEGIN.
        sqlx::query("SELECT count(*) FROM schema_migrations").fetch_one(&mut *tx).await?;
        Ok(Self { tx, held: WhileHeld::of(store), sees: None })
    }
}

#[async_trait]
impl Snapshots for DbStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let taken = DbSnapshot::take(self).await.map_err(during("take a snapshot"))?;
        Ok(Box::new(taken))
    }
}

#[async_trait]
impl Snapshot for DbSnapshot {
    async fn workspaces_after(
        &mut self,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<WorkspaceId>, StoreError> {
        let listed = standing::workspaces_after(&mut self.tx, after, limit).await;
        listed.map_err(during("list workspaces"))
    }

    async fn read_records(
        &mut self,
        workspace: WorkspaceId,
        table: Table,
        after: Option<Cursor>,
        most: Most,
    ) -> Result<RecordPage, StoreError> {
        self.held.check().await?;
        let work = async {
            if self.sees != Some(workspace) {
                dialect::see(&mut self.tx, workspace).await?;
                self.sees = Some(workspace);
            }
            read::page(&mut self.tx, workspace, table, after, most).await
        };
        work.await.map_err(during("read records"))
    }

    async fn end(self: Box<Self>) {
        // It has written nothing; a connection that fails here is closed by the pool.
        if let Err(error) = self.tx.rollback().await {
            tracing::debug!(%error, "could not end a snapshot cleanly");
        }
    }
}
