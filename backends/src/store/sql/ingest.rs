//! What `documents.ingest` writes: pages, passages and terms, then the switch of the
//! current version.
//!
//! Terms are indexed while the file is parsed, in short transactions, and search leaves
//! out versions that are not current. The switch itself then changes a few rows, and
//! other writers need not wait for a large document.

use quaestor_core::clock::Time;
use quaestor_core::ids::{DocumentId, WorkspaceId};
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{
    Advance, Claim, IngestSubject, NewChunk, NewPage, ParsedSummary, StoreError,
};
use quaestor_core::problem::Problem;
use sqlx::Row;

use super::dialect::{self, DbConnection, for_update};
use super::ending::{self, Ending};
use super::fault::Fault;
use super::{checkpoints, claims, erase, rows, search, settle};

pub(super) async fn subject(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    version: u32,
) -> Result<Option<IngestSubject>, Fault> {
    let found = sqlx::query(
        "SELECT document_id, collection_id, version, status, object_key, size_bytes, sha256,
             media_type, filename
         FROM versions WHERE workspace_id = $1 AND document_id = $2 AND version = $3",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(i64::from(version))
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(IngestSubject {
        document_id: rows::id(&row, "document_id")?,
        collection_id: rows::id(&row, "collection_id")?,
        version: rows::number(&row, "version")?,
        status: rows::named(&row, "status")?,
        object: rows::stored_object(&row)?,
    }))
}

/// The version's key, where the claim may write for it.
pub(super) async fn held_version(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
) -> Result<i64, Fault> {
    claims::hold(tx, workspace, claim).await?;
    let found = sqlx::query(
        "SELECT v.key FROM versions v
         JOIN jobs j ON j.subject_id = v.document_id AND j.subject_version = v.version
         WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3 AND j.id = $4",
    )
    .bind(workspace.uuid())
    .bind(subject.document_id.uuid())
    .bind(i64::from(subject.version))
    .bind(claim.job_id.uuid())
    .fetch_optional(tx)
    .await?;
    match found {
        Some(row) => Ok(row.try_get("key")?),
        None => Err(StoreError::Fenced.into()),
    }
}

pub(super) async fn begin(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
) -> Result<(), Fault> {
    let key = held_version(tx, workspace, claim, subject).await?;
    erase::contents(tx, workspace, key).await?;
    sqlx::query(
        "UPDATE versions SET status = 'processing', error = NULL, pages = 0, chunks = 0
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn save(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    pages: Vec<NewPage>,
    chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    let version_key = held_version(tx, workspace, claim, subject).await?;
    for page in pages {
        sqlx::query(
            "INSERT INTO pages
                 (workspace_id, version_key, ordinal, number, label, text, boxes, missing)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(workspace.uuid())
        .bind(version_key)
        .bind(i64::from(page.ordinal))
        .bind(page.number.map(i64::from))
        .bind(page.label.map(dialect::text))
        .bind(dialect::text(page.text))
        .bind(page.boxes)
        .bind(page.missing.map(dialect::text))
        .execute(&mut *tx)
        .await?;
    }
    search::save_chunks(tx, workspace, version_key, chunks).await
}

pub(super) async fn finish(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    summary: ParsedSummary,
    next: Option<&Advance>,
    now: Time,
) -> Result<(), Fault> {
    let key = held_version(tx, workspace, claim, subject).await?;
    sqlx::query(
        "UPDATE versions SET status = $3, error = $4, media_type = $5, title = $6,
             document_date = $7, day = coalesce($7, day), pages = $8, chunks = $9
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(if next.is_some() { "processing" } else { "ready" })
    .bind(summary.warning.as_ref().map(rows::to_json).transpose()?)
    .bind(summary.media_type)
    .bind(summary.title.map(dialect::text))
    .bind(summary.document_date)
    .bind(i64::from(summary.pages))
    .bind(i64::from(summary.chunks))
    .execute(&mut *tx)
    .await?;
    checkpoints::forget(tx, workspace, key).await?;
    make_current(tx, workspace, subject.document_id, key).await?;
    match next {
        Some(next) => settle::advance(tx, workspace, claim, next, now).await,
        None => ending::end(tx, workspace, claim.job_id, &Ending::Done, now).await,
    }
}

/// Makes the version the one that is searched and takes the one before out of search.
/// An upload that was overtaken by a later one is not searched at all.
async fn make_current(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    key: i64,
) -> Result<(), Fault> {
    // Locked, so that of two versions that finish at once the later one sees the other,
    // and no vectors are stored meanwhile for the one that goes.
    let current: Option<i64> = sqlx::query(concat!(
        "SELECT current_key FROM documents WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(document.uuid())
    .fetch_one(&mut *tx)
    .await?
    .try_get("current_key")?;
    match current {
        // Keys grow with the versions of a document.
        Some(current) if current > key => return search::forget_version(tx, workspace, key).await,
        Some(current) if current < key => search::forget_version(tx, workspace, current).await?,
        _ => {}
    }
    sqlx::query("UPDATE documents SET current_key = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(document.uuid())
        .bind(key)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn fail(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    problem: Problem,
    now: Time,
) -> Result<(), Fault> {
    held_version(tx, workspace, claim, subject).await?;
    let ending = Ending::Unsuccessful { state: JobState::Failed, problem };
    ending::end_with_subject(tx, workspace, claim.job_id, &ending, now).await
}
