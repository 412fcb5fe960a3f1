//! The audit log.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{Page, PageRequest};
use quaestor_core::ports::store::{
    Audit, AuditEnd, AuditEntry, AuditLinks, NewAuditEntry, StoreError,
};

use super::connections::Commit;
use super::dialect::{DbConnection, DbStore};
use super::fault::{Fault, during};
use super::{chain, rows};

/// Writes an entry in the transaction of its effect.
pub(super) async fn record(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    entry: &NewAuditEntry,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO audit_log (id, workspace_id, principal_id, action, subject, at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(entry.id.uuid())
    .bind(workspace.uuid())
    .bind(entry.principal_id.uuid())
    .bind(entry.action)
    .bind(entry.subject.clone())
    .bind(rows::micros(entry.at))
    .execute(tx)
    .await?;
    Ok(())
}

#[async_trait]
impl Audit for DbStore {
    async fn record_audit(
        &self,
        workspace: WorkspaceId,
        entry: NewAuditEntry,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            record(&mut tx, workspace, &entry).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("record an audit entry"))
    }

    async fn list_audit(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT id, principal_id, action, subject, at FROM audit_log
                 WHERE workspace_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(workspace.uuid())
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::audit_entry).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |entry| entry.id.uuid()))
        };
        work.await.map_err(during("list the audit log"))
    }

    async fn seal_audit(
        &self,
        workspace: WorkspaceId,
        before: Time,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let due = chain::is_due(&mut reader, workspace, before).await?;
            drop(reader);
            if !due {
                return Ok(0);
            }
            // What was told of the chain must not be undone by a crash.
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let sealed = chain::extend(&mut tx, workspace, before, limit).await?;
            tx.commit().await?;
            Ok(sealed)
        };
        work.await.map_err(during("seal the audit log"))
    }

    async fn audit_links(
        &self,
        workspace: WorkspaceId,
        after: u64,
        limit: u32,
    ) -> Result<AuditLinks, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            chain::links(&mut reader, workspace, after, limit).await
        };
        work.await.map_err(during("read the chain of the audit log"))
    }

    async fn audit_end(&self, workspace: WorkspaceId, cap: u32) -> Result<AuditEnd, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            chain::end(&mut reader, workspace, cap).await
        };
        work.await.map_err(during("read the end of the audit log's chain"))
    }
}
