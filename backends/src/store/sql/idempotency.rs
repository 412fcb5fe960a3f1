//! Idempotency keys: what was answered the first time.

use async_trait::async_trait;
use quaestor_core::ids::{PrincipalId, WorkspaceId};
use quaestor_core::ports::store::{Idempotency, IdempotencyKey, RememberedResponse, StoreError};
use serde::Serialize;
use sqlx::Row;

use super::dialect::{DbConnection, DbStore};
use super::fault::{Fault, corrupt, during, unique};
use super::rows;

/// Keeps a key with its answer, in the transaction of the effect.
pub(super) async fn remember(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: &IdempotencyKey,
    response: &impl Serialize,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO idempotency_keys
             (workspace_id, principal_id, key, request_sha256, response, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(workspace.uuid())
    .bind(key.principal_id.uuid())
    .bind(key.key.clone())
    .bind(key.request_sha256.to_vec())
    .bind(rows::to_json(response)?)
    .bind(rows::micros(key.created_at))
    .execute(tx)
    .await
    .map_err(unique("a request with this idempotency key"))?;
    Ok(())
}

/// Refuses a key that is taken. Asked before the effect, so that a request that came
/// twice is told so, and not what its second effect would run into.
pub(super) async fn refuse_taken(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: &IdempotencyKey,
) -> Result<(), Fault> {
    let taken = sqlx::query(
        "SELECT 1 FROM idempotency_keys
         WHERE workspace_id = $1 AND principal_id = $2 AND key = $3",
    )
    .bind(workspace.uuid())
    .bind(key.principal_id.uuid())
    .bind(key.key.clone())
    .fetch_optional(tx)
    .await?;
    match taken {
        None => Ok(()),
        Some(_) => Err(StoreError::Conflict { what: "a request with this idempotency key" }.into()),
    }
}

#[async_trait]
impl Idempotency for DbStore {
    async fn remembered(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        key: &str,
    ) -> Result<Option<RememberedResponse>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT request_sha256, response FROM idempotency_keys
                 WHERE workspace_id = $1 AND principal_id = $2 AND key = $3",
            )
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(key.to_owned())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let request_sha256 = row
                .try_get::<Vec<u8>, _>("request_sha256")?
                .try_into()
                .map_err(|_| corrupt("idempotency key", "its checksum is not 32 bytes long"))?;
            Ok(Some(RememberedResponse {
                request_sha256,
                response: rows::from_json(&row, "response")?,
            }))
        };
        work.await.map_err(during("look up an idempotency key"))
    }
}
