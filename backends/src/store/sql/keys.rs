//! API keys and their principals.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{KeyId, WorkspaceId};
use quaestor_core::model::{ApiKey, Page, PageRequest};
use quaestor_core::ports::store::{Keys, NewAuditEntry, NewKey, StoreError};

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore};
use super::fault::{Fault, during, unique};
use super::{audit, rows};

/// Writes a key, and its principal where that does not exist.
pub(super) async fn insert(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: &NewKey,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO principals (workspace_id, id, created_at) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind(workspace.uuid())
    .bind(key.principal_id.uuid())
    .bind(rows::micros(key.created_at))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO api_keys
             (id, workspace_id, principal_id, name, role, prefix, secret_sha256, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.uuid())
    .bind(workspace.uuid())
    .bind(key.principal_id.uuid())
    .bind(dialect::text(key.name.clone()))
    .bind(key.role.as_str())
    .bind(key.prefix.clone())
    .bind(key.secret_sha256.to_vec())
    .bind(rows::micros(key.created_at))
    .execute(&mut *tx)
    .await
    .map_err(unique("a key with this prefix"))?;
    Ok(())
}

#[async_trait]
impl Keys for DbStore {
    async fn create_key(
        &self,
        workspace: WorkspaceId,
        key: NewKey,
        audit: NewAuditEntry,
    ) -> Result<ApiKey, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            insert(&mut tx, workspace, &key).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(ApiKey {
                id: key.id,
                principal_id: key.principal_id,
                name: key.name,
                role: key.role,
                prefix: key.prefix,
                created_at: key.created_at,
                revoked_at: None,
            })
        };
        work.await.map_err(during("create a key"))
    }

    async fn list_keys(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<ApiKey>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT id, principal_id, name, role, prefix, created_at, revoked_at
                 FROM api_keys WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3",
            )
            .bind(workspace.uuid())
            .bind(rows::after(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::api_key).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |key| key.id.uuid()))
        };
        work.await.map_err(during("list the keys"))
    }

    async fn revoke_key(
        &self,
        workspace: WorkspaceId,
        key: KeyId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<ApiKey>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let changed = sqlx::query(
                "UPDATE api_keys SET revoked_at = $3
                 WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL",
            )
            .bind(workspace.uuid())
            .bind(key.uuid())
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
            let found = sqlx::query(
                "SELECT id, principal_id, name, role, prefix, created_at, revoked_at
                 FROM api_keys WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(key.uuid())
            .fetch_optional(&mut *tx)
            .await?;
            let Some(found) = found else { return Ok(None) };
            if changed.rows_affected() > 0 {
                audit::record(&mut tx, workspace, &audit).await?;
            }
            tx.commit().await?;
            rows::api_key(&found).map(Some)
        };
        work.await.map_err(during("revoke a key"))
    }
}
