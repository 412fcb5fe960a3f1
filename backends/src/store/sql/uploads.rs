//! Acceptance of uploaded files: what is a duplicate, a new version, a new document.
//!
//! The files of a request are written in statements of many rows each: most of what a small
//! file costs to accept is the way to the database and back.

use std::collections::{HashMap, HashSet};

use quaestor_core::ids::{DocumentId, JobId, WorkspaceId};
use quaestor_core::jobs::{DocumentPayload, NewJob};
use quaestor_core::ports::store::{
    AcceptUpload, AcceptedFile, AcceptedUpload, NewFile, StoreError, UploadStatus, UploadTo,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::batches::{self, Added, Room};
use super::dialect::{self, DbConnection, DbQuery, for_update};
use super::fault::{Fault, corrupt};
use super::{audit, idempotency, outbox, rows};

/// So many rows are one statement.
const ROWS_AT_ONCE: usize = 50;

pub(super) async fn accept(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
) -> Result<Option<AcceptedUpload>, Fault> {
    if let Some(key) = &upload.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    if upload.to == UploadTo::Begun
        && batches::take_in(tx, workspace, upload.batch_id).await? == Room::None
    {
        return Err(
            StoreError::Conflict { what: "the end of this batch: it takes no more files" }.into()
        );
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
    let items = take_in(tx, workspace, upload).await?;
    count_in(tx, workspace, upload, &items).await?;
    audit::record(tx, workspace, &upload.audit).await?;
    let accepted = AcceptedUpload { batch_id: upload.batch_id, items };
    if let Some(key) = &upload.idempotency {
        idempotency::remember(tx, workspace, key, &accepted).await?;
    }
    Ok(Some(accepted))
}

/// Writes the files that are new. One item for each file, in their order.
async fn take_in(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
) -> Result<Vec<AcceptedFile>, Fault> {
    let mut known = known_bytes(tx, workspace, upload).await?;
    let mut seen: HashSet<&str> = known.keys().map(String::as_str).collect();
    // An earlier file of this request counts.
    let fresh: Vec<&NewFile> =
        upload.files.iter().filter(|file| seen.insert(file.sha256.as_str())).collect();
    drop(seen);
    let mut queued: HashMap<JobId, DocumentId> = HashMap::new();
    for files in rounds(fresh) {
        for (file, document) in add_versions(tx, workspace, upload, &files).await? {
            known.insert(file.sha256.clone(), (document, file.job.id));
            queued.insert(file.job.id, document);
        }
    }
    let item = |file: &NewFile| {
        let missing = || corrupt("version", "a file was neither known nor made");
        let (document_id, job_id) = *known.get(&file.sha256).ok_or_else(missing)?;
        let is_new = queued.contains_key(&file.job.id);
        let status = if is_new { UploadStatus::Queued } else { UploadStatus::Duplicate };
        Ok(AcceptedFile { document_id, job_id, filename: file.filename.clone(), status })
    };
    upload.files.iter().map(item).collect()
}

/// Statements of many rows: no two files of one round have the same name.
fn rounds(files: Vec<&NewFile>) -> Vec<Vec<&NewFile>> {
    let mut rounds: Vec<(HashSet<&str>, Vec<&NewFile>)> = Vec::new();
    for file in files {
        let room = rounds.last_mut().filter(|(names, files)| {
            files.len() < ROWS_AT_ONCE && !names.contains(file.filename.as_str())
        });
        match room {
            Some((names, files)) => {
                names.insert(&file.filename);
                files.push(file);
            }
            None => rounds.push((HashSet::from([file.filename.as_str()]), vec![file])),
        }
    }
    rounds.into_iter().map(|(_, files)| files).collect()
}

async fn count_in(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
    items: &[AcceptedFile],
) -> Result<(), Fault> {
    let duplicates = items.iter().filter(|item| item.status == UploadStatus::Duplicate).count();
    let added = Added {
        files: rows::length(items),
        duplicates: duplicates as u64,
        size_bytes: upload.files.iter().map(|file| file.size_bytes).sum(),
    };
    let made_by = (upload.to == UploadTo::New).then_some(upload.audit.principal_id);
    batches::add_files(tx, workspace, upload.batch_id, made_by, added, upload.audit.at).await
}

/// Which of the files' bytes the collection has in a version that did not fail: by their
/// SHA-256 the newest one's document and job.
async fn known_bytes(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
) -> Result<HashMap<String, (DocumentId, JobId)>, Fault> {
    let mut known = HashMap::new();
    for files in upload.files.chunks(ROWS_AT_ONCE) {
        let places = (3..3 + files.len()).map(|place| format!("${place}"));
        let sql = format!(
            "SELECT sha256, document_id, job_id FROM versions
             WHERE workspace_id = $1 AND collection_id = $2 AND sha256 IN ({})
               AND status <> 'failed' AND reading_of IS NULL ORDER BY key",
            places.collect::<Vec<_>>().join(", ")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .persistent(is_usual(files.len()))
            .bind(workspace.uuid())
            .bind(upload.collection_id.uuid());
        let query = files.iter().fold(query, |query, file| query.bind(file.sha256.clone()));
        for row in query.fetch_all(&mut *tx).await? {
            // A later one takes the place of an earlier one.
            let of = (rows::id(&row, "document_id")?, rows::id(&row, "job_id")?);
            known.insert(row.try_get("sha256")?, of);
        }
    }
    Ok(known)
}

/// Only statements of one length are worth keeping.
fn is_usual(rows: usize) -> bool {
    rows == ROWS_AT_ONCE || rows == 1
}

/// An INSERT of rows that begin with the workspace, `$1`.
fn insert(table: &str, columns: &[&str], rows: usize) -> String {
    let lists = (0..rows).map(|row| {
        let first = 2 + row * columns.len();
        let places = (first..first + columns.len()).map(|place| format!("${place}"));
        format!("($1, {})", places.collect::<Vec<_>>().join(", "))
    });
    let lists = lists.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {table} (workspace_id, {}) VALUES {lists}", columns.join(", "))
}

fn of_rows(sql: String, rows: usize, workspace: WorkspaceId) -> DbQuery<'static> {
    sqlx::query(AssertSqlSafe(sql)).persistent(is_usual(rows)).bind(workspace.uuid())
}

/// Makes documents and versions of files, no two of which have the same name, and their jobs.
/// Returns the document of each.
async fn add_versions<'a>(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    upload: &AcceptUpload,
    files: &[&'a NewFile],
) -> Result<Vec<(&'a NewFile, DocumentId)>, Fault> {
    let columns = ["id", "collection_id", "filename", "newest_version", "created_at"];
    let sql = insert("documents", &columns, files.len())
        + " ON CONFLICT (collection_id, filename) DO UPDATE
             SET newest_version = documents.newest_version + 1
           RETURNING id, filename, newest_version";
    let mut query = of_rows(sql, files.len(), workspace);
    for file in files {
        query = query
            .bind(file.document_id.uuid())
            .bind(upload.collection_id.uuid())
            .bind(dialect::text(file.filename.clone()))
            .bind(1_i64)
            .bind(rows::micros(file.job.created_at));
    }
    let mut documents: HashMap<String, (DocumentId, u32)> = HashMap::new();
    for row in query.fetch_all(&mut *tx).await? {
        let of = (rows::id(&row, "id")?, rows::number(&row, "newest_version")?);
        documents.insert(row.try_get("filename")?, of);
    }
    let made = |file: &NewFile| {
        let missing = || corrupt("document", "it was not made");
        documents.get(&dialect::text(file.filename.clone())).copied().ok_or_else(missing)
    };

    let columns = [
        "document_id",
        "collection_id",
        "version",
        "filename",
        "media_type",
        "size_bytes",
        "sha256",
        "object_key",
        "status",
        "day",
        "job_id",
        "created_at",
    ];
    let mut query = of_rows(insert("versions", &columns, files.len()), files.len(), workspace);
    for file in files {
        let (document, version) = made(file)?;
        query = query
            .bind(document.uuid())
            .bind(upload.collection_id.uuid())
            .bind(i64::from(version))
            .bind(dialect::text(file.filename.clone()))
            .bind(file.media_type.clone())
            .bind(rows::signed(file.size_bytes))
            .bind(file.sha256.clone())
            .bind(file.object_key.clone())
            .bind("queued")
            .bind(file.job.created_at.date_naive())
            .bind(file.job.id.uuid())
            .bind(rows::micros(file.job.created_at));
    }
    query.execute(&mut *tx).await?;

    let mut jobs = Vec::with_capacity(files.len());
    let mut queued = Vec::with_capacity(files.len());
    for file in files {
        let (document_id, version) = made(file)?;
        let payload = DocumentPayload {
            document_id,
            version,
            collection_id: upload.collection_id,
            generation_id: None,
        };
        let payload = serde_json::to_value(&payload).map_err(|error| corrupt("payload", error))?;
        jobs.push((&file.job, payload, document_id.uuid(), Some(version)));
        queued.push((*file, document_id));
    }
    add_jobs(tx, workspace, &jobs).await?;
    Ok(queued)
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
    add_jobs(tx, workspace, &[(job, payload.clone(), subject, subject_version)]).await
}

/// A job with its payload, its subject and that one's version.
type JobOf<'a> = (&'a NewJob, Value, Uuid, Option<u32>);

/// Writes jobs, and for each the message of its first step.
async fn add_jobs(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    jobs: &[JobOf<'_>],
) -> Result<(), Fault> {
    let mut columns = vec![
        "id",
        "principal_id",
        "kind",
        "step",
        "state",
        "payload",
        "subject_id",
        "subject_version",
        "batch_id",
        "deadline",
        "traceparent",
        "created_at",
        "updated_at",
    ];
    columns.extend(dialect::MESSAGE_OF_JOB);
    let mut query = of_rows(insert("jobs", &columns, jobs.len()), jobs.len(), workspace);
    for (job, payload, subject, version) in jobs {
        query = query
            .bind(job.id.uuid())
            .bind(job.principal_id.uuid())
            .bind(job.kind.as_str())
            .bind(job.step.as_str())
            .bind("queued")
            .bind(rows::to_json(payload)?)
            .bind(*subject)
            .bind(version.map(i64::from))
            .bind(job.batch_id.map(|batch| batch.uuid()))
            .bind(job.deadline.map(rows::micros))
            .bind(job.traceparent.clone())
            .bind(rows::micros(job.created_at))
            .bind(rows::micros(job.created_at));
        if dialect::MESSAGE_OF_JOB.is_some() {
            query = query.bind(job.outbox_id.uuid());
        }
    }
    query.execute(&mut *tx).await?;
    let columns = ["id", "job_id", "enqueued_at", "due_at", "bulk"];
    let mut query = of_rows(insert("outbox", &columns, jobs.len()), jobs.len(), workspace);
    for (job, ..) in jobs {
        query = query
            .bind(job.outbox_id.uuid())
            .bind(job.id.uuid())
            .bind(rows::micros(job.created_at))
            .bind(rows::micros(job.held_until.unwrap_or(job.created_at)))
            .bind(outbox::is_bulk(job.step));
    }
    query.execute(tx).await?;
    Ok(())
}
