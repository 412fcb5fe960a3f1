//! Acceptance of uploaded files: what is a duplicate, a new version, a new document.

use quaestor_core::ids::{DocumentId, JobId, WorkspaceId};
use quaestor_core::jobs::{DocumentPayload, NewJob};
use quaestor_core::ports::store::{
    AcceptUpload, AcceptedFile, AcceptedUpload, NewFile, UploadStatus,
};
use serde_json::Value;
use uuid::Uuid;

use super::dialect::{self, DbConnection, for_update};
use super::fault::{Fault, corrupt};
use super::{audit, idempotency, outbox, rows};

pub(super) async fn accept(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
) -> Result<Option<AcceptedUpload>, Fault> {
    if let Some(key) = &upload.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    // The lock makes uploads to one collection take turns: the same bytes in two of them
    // at once would else both be new.
    let collection = sqlx::query(concat!(
        "SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(upload.collection_id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    if collection.is_none() {
        return Ok(None);
    }
    let mut items = Vec::with_capacity(upload.files.len());
    for file in &upload.files {
        // Asked file by file: an earlier file of this request counts.
        let item = match duplicate_of(tx, workspace, upload, file).await? {
            Some((document_id, job_id)) => AcceptedFile {
                document_id,
                job_id,
                filename: file.filename.clone(),
                status: UploadStatus::Duplicate,
            },
            None => add_version(tx, workspace, upload, file).await?,
        };
        items.push(item);
    }
    audit::record(tx, workspace, &upload.audit).await?;
    let accepted = AcceptedUpload { batch_id: upload.batch_id, items };
    if let Some(key) = &upload.idempotency {
        idempotency::remember(tx, workspace, key, &accepted).await?;
    }
    Ok(Some(accepted))
}

async fn duplicate_of(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
    file: &NewFile,
) -> Result<Option<(DocumentId, JobId)>, Fault> {
    let found = sqlx::query(
        "SELECT document_id, job_id FROM versions
         WHERE workspace_id = $1 AND collection_id = $2 AND sha256 = $3 AND status <> 'failed'
         ORDER BY key DESC LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(upload.collection_id.uuid())
    .bind(file.sha256.clone())
    .fetch_optional(tx)
    .await?;
    found.map(|row| Ok((rows::id(&row, "document_id")?, rows::id(&row, "job_id")?))).transpose()
}

async fn add_version(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
    file: &NewFile,
) -> Result<AcceptedFile, Fault> {
    let created_at = rows::micros(file.job.created_at);
    let document = sqlx::query(
        "INSERT INTO documents
             (id, workspace_id, collection_id, filename, newest_version, created_at)
         VALUES ($1, $2, $3, $4, 1, $5)
         ON CONFLICT (collection_id, filename) DO UPDATE SET newest_version = documents.newest_version + 1
         RETURNING id, newest_version",
    )
    .bind(file.document_id.uuid())
    .bind(workspace.uuid())
    .bind(upload.collection_id.uuid())
    .bind(dialect::text(file.filename.clone()))
    .bind(created_at)
    .fetch_one(&mut *tx)
    .await?;
    let document_id: DocumentId = rows::id(&document, "id")?;
    let version = rows::number(&document, "newest_version")?;
    sqlx::query(
        "INSERT INTO versions (workspace_id, document_id, collection_id, version, filename,
             media_type, size_bytes, sha256, object_key, status, day, job_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', $10, $11, $12)",
    )
    .bind(workspace.uuid())
    .bind(document_id.uuid())
    .bind(upload.collection_id.uuid())
    .bind(i64::from(version))
    .bind(dialect::text(file.filename.clone()))
    .bind(file.media_type.clone())
    .bind(rows::signed(file.size_bytes))
    .bind(file.sha256.clone())
    .bind(file.object_key.clone())
    .bind(file.job.created_at.date_naive())
    .bind(file.job.id.uuid())
    .bind(created_at)
    .execute(&mut *tx)
    .await?;
    let payload = DocumentPayload {
        document_id,
        version,
        collection_id: upload.collection_id,
        generation_id: None,
    };
    let payload = serde_json::to_value(&payload).map_err(|error| corrupt("payload", error))?;
    add_job(tx, workspace, &file.job, &payload, document_id.uuid(), Some(version)).await?;
    Ok(AcceptedFile {
        document_id,
        job_id: file.job.id,
        filename: file.filename.clone(),
        status: UploadStatus::Queued,
    })
}

/// Writes a job and the message of its first step.
pub(super) async fn add_job(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: &NewJob,
    payload: &Value,
    subject: Uuid,
    subject_version: Option<u32>,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO jobs (id, workspace_id, principal_id, kind, step, state, payload, subject_id,
             subject_version, batch_id, deadline, traceparent, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11, $12, $12)",
    )
    .bind(job.id.uuid())
    .bind(workspace.uuid())
    .bind(job.principal_id.uuid())
    .bind(job.kind.as_str())
    .bind(job.step.as_str())
    .bind(rows::to_json(payload)?)
    .bind(subject)
    .bind(subject_version.map(i64::from))
    .bind(job.batch_id.map(|batch| batch.uuid()))
    .bind(job.deadline.map(rows::micros))
    .bind(job.traceparent.clone())
    .bind(rows::micros(job.created_at))
    .execute(&mut *tx)
    .await?;
    let due_at = job.held_until.unwrap_or(job.created_at);
    outbox::put(tx, workspace, job.id, (job.outbox_id, job.step), job.created_at, due_at).await
}
