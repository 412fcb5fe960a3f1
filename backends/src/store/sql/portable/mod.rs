//! The portable form: the port's methods. How rows are found is in `ways`, how they are
//! read in `read` and how they are written in `write`.

mod read;
mod snapshot;
mod values;
mod ways;
mod write;

use async_trait::async_trait;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Cursor, Most, Portable, Record, RecordPage, StoreError, Table};
use sqlx::AssertSqlSafe;

use super::connections::Commit;
use super::dialect::DbStore;
use super::fault::during;
use super::rows;

#[async_trait]
impl Portable for DbStore {
    async fn read_records(
        &self,
        workspace: WorkspaceId,
        table: Table,
        after: Option<Cursor>,
        most: Most,
    ) -> Result<RecordPage, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            read::page(&mut reader, workspace, table, after, most).await
        };
        work.await.map_err(during("read records"))
    }

    async fn write_records(
        &self,
        workspace: WorkspaceId,
        table: Table,
        records: Vec<Record>,
    ) -> Result<(), StoreError> {
        for record in &records {
            record.check()?;
        }
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            write::records(&mut tx, workspace, table, records).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(())
        };
        work.await.map_err(during("write records"))
    }

    async fn count_records(&self, workspace: WorkspaceId, table: Table) -> Result<u64, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let column = if table == Table::Workspaces { "id" } else { "workspace_id" };
            let sql = format!("SELECT count(*) AS n FROM {} WHERE {column} = $1", table.name());
            let row = sqlx::query(AssertSqlSafe(sql))
                .bind(workspace.uuid())
                .fetch_one(&mut *reader)
                .await?;
            rows::unsigned(&row, "n")
        };
        work.await.map_err(during("count records"))
    }
}
