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

use super::dialect::{self, DbConnection, for_share};
use super::ending::{self, Ending};
use super::fault::Fault;
use super::{claims, erase, readings, rows, search, settle};

pub(super) async fn subject(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    version: u32,
) -> Result<Option<IngestSubject>, Fault> {
    let found = sqlx::query(
        "SELECT v.document_id, v.collection_id, v.version, v.status, v.object_key, v.size_bytes,
             v.sha256, v.media_type, v.filename, v.reading_of,
             CASE WHEN v.reading_of IS NULL THEN coalesce(g.cut, 0) ELSE v.cut END AS cut,
             g.target_chars, g.max_chars
         FROM versions v LEFT JOIN generations g ON g.collection_id = v.collection_id
             AND ((v.reading_of IS NULL AND g.state = 'current')
                  OR (v.reading_of IS NOT NULL AND g.cut = v.cut AND g.state <> 'dropped'))
         WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3 LIMIT 1",
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
        reading_of: rows::optional_number(&row, "reading_of")?,
        cut: rows::number(&row, "cut")?,
        chunking: readings::chunking(&row)?,
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
        "SELECT v.key FROM versions v, jobs j
         WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3 AND j.id = $4
           AND ((j.subject_id = v.document_id AND j.subject_version = v.version)
                OR (v.reading_of IS NOT NULL AND v.job_id = j.id))",
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
        "UPDATE versions SET status = 'processing', error = NULL, pages = 0, chunks = 0, cut = $3
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(i64::from(subject.cut))
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
    let beside = subject.reading_of.is_some();
    let status = if next.is_some() { "processing" } else { "ready" };
    let staged = beside && next.is_some();
    readings::summarise(tx, workspace, key, summary, status, staged).await?;
    if !staged {
        readings::place(tx, workspace, subject.document_id, key).await?;
    }
    // The generation behind the document, as those who store vectors take them.
    if !beside {
        cut_stands(tx, workspace, subject).await?;
    }
    if beside && next.is_none() {
        readings::name_version(tx, workspace, claim, subject).await?;
    }
    match next {
        Some(next) => settle::advance(tx, workspace, claim, next, now).await,
        None => ending::end(tx, workspace, claim.job_id, &Ending::Done, now).await,
    }
}

/// Whether the collection's passages are still cut as this version was: else it has to be read
/// anew. A generation of another cut that is being built learns that there is a document more.
async fn cut_stands(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    subject: &IngestSubject,
) -> Result<(), Fault> {
    // Held: no reindexing begins, and none switches, before this document is there.
    let found = sqlx::query(concat!(
        "SELECT cut FROM generations
         WHERE workspace_id = $1 AND collection_id = $2 AND state = 'current'",
        for_share!()
    ))
    .bind(workspace.uuid())
    .bind(subject.collection_id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE generations SET skipped = skipped + 1 WHERE workspace_id = $1
             AND collection_id = $2 AND state = 'building' AND cut % 2 <> $3",
    )
    .bind(workspace.uuid())
    .bind(subject.collection_id.uuid())
    .bind(i64::from(subject.cut % 2))
    .execute(&mut *tx)
    .await?;
    let cut: i64 = found.map(|row| row.try_get("cut")).transpose()?.unwrap_or(0);
    if cut == i64::from(subject.cut) {
        return Ok(());
    }
    Err(StoreError::Conflict { what: "another cut of the collection's passages" }.into())
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
