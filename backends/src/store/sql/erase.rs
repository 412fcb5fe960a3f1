//! Removing documents with all that was made of them.

use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, DocumentId, WorkspaceId};
use sqlx::{AssertSqlSafe, Row};

use super::dialect::DbConnection;
use super::fault::Fault;
use super::{rows, search};

/// Removes a collection; its documents, versions, pages, chunks, vectors and
/// generations go with it. Returns the object keys of the files.
pub(super) async fn collection(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    now: Time,
) -> Result<Vec<String>, Fault> {
    let documents =
        sqlx::query("SELECT id FROM documents WHERE workspace_id = $1 AND collection_id = $2")
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_all(&mut *tx)
            .await?;
    let mut objects = Vec::new();
    for row in documents {
        objects.extend(document(tx, workspace, rows::id(&row, "id")?, now).await?);
    }
    let generations =
        sqlx::query("SELECT id FROM generations WHERE workspace_id = $1 AND collection_id = $2")
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_all(&mut *tx)
            .await?;
    for row in generations {
        cancel_jobs_of(tx, workspace, row.try_get("id")?, now).await?;
    }
    sqlx::query("DELETE FROM collections WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(collection.uuid())
        .execute(tx)
        .await?;
    Ok(objects)
}

/// Removes a document and cancels its jobs: a worker that still holds one is refused
/// from now on. Returns the object keys of its files.
pub(super) async fn document(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    now: Time,
) -> Result<Vec<String>, Fault> {
    // The jobs before the document, as a worker takes them that finishes one.
    cancel_jobs_of(tx, workspace, document.uuid(), now).await?;
    let versions = sqlx::query(
        "SELECT key, object_key FROM versions WHERE workspace_id = $1 AND document_id = $2",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .fetch_all(&mut *tx)
    .await?;
    let mut objects = Vec::with_capacity(versions.len());
    for row in versions {
        search::version_goes(tx, workspace, row.try_get("key")?).await?;
        objects.push(row.try_get("object_key")?);
    }
    // Readings of one version share its file.
    objects.sort_unstable();
    objects.dedup();
    sqlx::query("DELETE FROM documents WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(document.uuid())
        .execute(tx)
        .await?;
    Ok(objects)
}

/// Ends the unfinished jobs of a subject that is being removed.
pub(super) async fn cancel_jobs_of(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    subject: uuid::Uuid,
    now: Time,
) -> Result<(), Fault> {
    // The job before its message, as everybody takes them.
    sqlx::query(
        "UPDATE jobs SET state = 'cancelled', reason = NULL, until = NULL, lease_until = NULL,
             worker_id = NULL, updated_at = $3, finished_at = $3
         WHERE subject_id = $2 AND workspace_id = $1
           AND state IN ('queued', 'running', 'waiting')",
    )
    .bind(workspace.uuid())
    .bind(subject)
    .bind(rows::micros(now))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM outbox WHERE workspace_id = $1
         AND job_id IN (SELECT id FROM jobs WHERE subject_id = $2 AND workspace_id = $1)",
    )
    .bind(workspace.uuid())
    .bind(subject)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes what was stored of a version, but not the version.
pub(super) async fn contents(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    search::forget_version(tx, workspace, version_key).await?;
    // Chunks first: a vector goes with its chunk.
    for table in ["chunks", "pages", "checkpoints"] {
        sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM {table} WHERE workspace_id = $1 AND version_key = $2"
        )))
        .bind(workspace.uuid())
        .bind(version_key)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
