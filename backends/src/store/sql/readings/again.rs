//! What is read again: documents that an older parser has read, and those that a generation of
//! another cut lacks.

use quaestor_core::ids::{CollectionId, DocumentId, GenerationId, JobId, PrincipalId, WorkspaceId};
use quaestor_core::jobs::{DocumentPayload, NewJob};
use quaestor_core::ports::store::{
    Claim, IngestSubject, NewReparse, READINGS_FROM, ReadAgain, ToReadAgain,
};
use sqlx::{AssertSqlSafe, Row};

use super::super::batches::{self, Added};
use super::super::dialect::DbConnection;
use super::super::fault::{Fault, corrupt};
use super::super::{audit, claims, ingest, rows, uploads};
use super::place::remove;
use super::{keys_of, searched};

/// Which of the searched readings `r` are to be read again. Placeholders from `first` on are
/// filled by [`labels`].
fn condition(which: ReadAgain<'_>, first: usize) -> String {
    let places = |parsers: &[String]| {
        (first..first + parsers.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
    };
    // What is being read needs no second reading, and what is being embedded has one soon.
    let idle = "r.status <> 'processing' AND NOT EXISTS (SELECT 1 FROM versions x
            WHERE x.document_id = r.document_id AND x.cut = r.cut
              AND x.reading_of = coalesce(r.reading_of, r.version)
              AND x.status IN ('queued', 'processing'))";
    let other = |parsers: &[String]| match parsers {
        [] => String::new(),
        _ => format!(" AND (r.parser IS NULL OR r.parser NOT IN ({}))", places(parsers)),
    };
    match which {
        ReadAgain::All => idle.to_owned(),
        ReadAgain::OtherThan(parsers) => format!("{idle}{}", other(parsers)),
        ReadAgain::NotYetTried(parsers) => format!(
            "{idle}{} AND NOT EXISTS (SELECT 1 FROM versions x
                 WHERE x.document_id = r.document_id AND x.cut = r.cut
                   AND x.reading_of = coalesce(r.reading_of, r.version)
                   AND x.status = 'failed' AND x.parser = ${})",
            other(parsers),
            first + parsers.len()
        ),
    }
}

/// What the placeholders of [`condition`] stand for.
fn labels(which: ReadAgain<'_>) -> Vec<String> {
    match which {
        ReadAgain::All => Vec::new(),
        ReadAgain::OtherThan(parsers) => parsers.to_vec(),
        ReadAgain::NotYetTried(parsers) => [parsers, &[tried_with(parsers)]].concat(),
    }
}

/// What a reading that is queued has for its parser: if it fails, it is known which parsers
/// could not read the file.
fn tried_with(parsers: &[String]) -> String {
    parsers.join("; ")
}

async fn is_there(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<bool, Fault> {
    let found = sqlx::query("SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(collection.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

pub(super) async fn count(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    which: ReadAgain<'_>,
) -> Result<Option<ToReadAgain>, Fault> {
    if !is_there(connection, workspace, collection).await? {
        return Ok(None);
    }
    let all = sqlx::query(concat!(
        "SELECT count(s.version_key) AS documents FROM ",
        searched!(),
        " s WHERE s.workspace_id = $1 AND s.collection_id = $2"
    ))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_one(&mut *connection)
    .await?;
    let sql = format!(
        concat!(
            "SELECT count(*) AS stale, CAST(coalesce(sum(r.size_bytes), 0) AS BIGINT) AS bytes,
                 CAST(coalesce(sum(r.chunks), 0) AS BIGINT) AS passages
             FROM ",
            searched!(),
            " s JOIN versions r ON r.key = s.version_key
             WHERE s.workspace_id = $1 AND s.collection_id = $2 AND {}"
        ),
        condition(which, 3)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(workspace.uuid()).bind(collection.uuid());
    let query = labels(which).into_iter().fold(query, |query, label| query.bind(label));
    let stale = query.fetch_one(&mut *connection).await?;
    let read = sqlx::query(
        "SELECT count(DISTINCT document_id) AS documents FROM versions
         WHERE workspace_id = $1 AND collection_id = $2 AND reading_of IS NOT NULL
           AND status IN ('queued', 'processing')",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_one(connection)
    .await?;
    Ok(Some(ToReadAgain {
        documents: rows::unsigned(&all, "documents")?,
        stale: rows::unsigned(&stale, "stale")?,
        size_bytes: rows::unsigned(&stale, "bytes")?,
        passages: rows::unsigned(&stale, "passages")?,
        being_read: rows::unsigned(&read, "documents")?,
    }))
}

/// A reading beside another, with nothing in it yet: its number.
async fn add(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    of: i64,
    cut: i64,
    (job, status, parser): (JobId, &str, Option<String>),
) -> Result<u32, Fault> {
    let made = sqlx::query(
        "INSERT INTO versions (workspace_id, document_id, collection_id, version, filename,
             media_type, size_bytes, sha256, object_key, status, title, document_date, day,
             job_id, created_at, reading_of, cut, parser)
         SELECT r.workspace_id, r.document_id, r.collection_id,
             (SELECT CASE WHEN max(m.version) < $3 THEN $3 ELSE max(m.version) + 1 END
              FROM versions m WHERE m.document_id = r.document_id),
             r.filename, r.media_type, r.size_bytes, r.sha256, r.object_key, $4, r.title,
             r.document_date, r.day, $5, r.created_at, coalesce(r.reading_of, r.version), $6, $7
         FROM versions r WHERE r.workspace_id = $1 AND r.key = $2
         RETURNING version",
    )
    .bind(workspace.uuid())
    .bind(of)
    .bind(i64::from(READINGS_FROM))
    .bind(status.to_owned())
    .bind(job.uuid())
    .bind(cut)
    .bind(parser)
    .fetch_one(tx)
    .await?;
    rows::number(&made, "version")
}

/// Removes readings of a document's version and cut that came to nothing.
async fn remove_failed(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    cut: i64,
) -> Result<(), Fault> {
    let failed = sqlx::query(
        "SELECT key FROM versions WHERE workspace_id = $1 AND document_id = $2 AND cut = $3
           AND reading_of IS NOT NULL AND status = 'failed'",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(cut)
    .fetch_all(&mut *tx)
    .await?;
    for row in failed {
        remove(tx, workspace, row.try_get("key")?).await?;
    }
    Ok(())
}

pub(super) async fn begin(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    reparse: &NewReparse<'_>,
) -> Result<Option<u64>, Fault> {
    let collection = reparse.collection_id;
    // Of two wishes at once the later one sees what the earlier one has queued.
    if !super::super::generations::lock_collection(tx, workspace, collection).await? {
        return Ok(None);
    }
    let sql = format!(
        concat!(
            "SELECT r.key, r.document_id, r.cut, r.size_bytes,
                 (SELECT j.principal_id FROM jobs j WHERE j.id = r.job_id) AS uploader FROM ",
            searched!(),
            " s JOIN versions r ON r.key = s.version_key
             WHERE s.workspace_id = $1 AND s.collection_id = $2 AND {} ORDER BY s.id LIMIT {}"
        ),
        condition(reparse.which, 3),
        reparse.jobs.len()
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(workspace.uuid())
        .bind(collection.uuid());
    let query = labels(reparse.which).into_iter().fold(query, |query, label| query.bind(label));
    let found = query.fetch_all(&mut *tx).await?;
    let tried = match reparse.which {
        ReadAgain::All => None,
        ReadAgain::OtherThan(parsers) | ReadAgain::NotYetTried(parsers) => {
            Some(tried_with(parsers))
        }
    };
    let mut whose = None;
    let mut added = Added { files: 0, duplicates: 0, size_bytes: 0 };
    for (row, job) in found.iter().zip(&reparse.jobs) {
        let (key, cut): (i64, i64) = (row.try_get("key")?, row.try_get("cut")?);
        let document_id: DocumentId = rows::id(row, "document_id")?;
        remove_failed(tx, workspace, document_id, cut).await?;
        let of = (job.id, "queued", tried.clone());
        let version = add(tx, workspace, key, cut, of).await?;
        let payload = DocumentPayload {
            document_id,
            version,
            collection_id: collection,
            generation_id: None,
        };
        let payload = serde_json::to_value(&payload).map_err(|error| corrupt("payload", error))?;
        let uploader: Option<uuid::Uuid> = row.try_get("uploader")?;
        let principal_id =
            reparse.principal_id.or(uploader.map(PrincipalId)).unwrap_or(job.principal_id);
        let job = &NewJob { principal_id, ..job.clone() };
        whose.get_or_insert(principal_id);
        uploads::add_job(tx, workspace, job, &payload, document_id.uuid(), Some(version)).await?;
        added.files += 1;
        added.size_bytes += rows::unsigned(row, "size_bytes")?;
    }
    if let (Some(whose), Some(first)) = (whose, reparse.jobs.first()) {
        let batch = reparse.batch_id;
        let made = batches::is_there(tx, workspace, batch).await?;
        let made_by = (!made).then_some(whose);
        batches::add_files(tx, workspace, batch, made_by, added, first.created_at).await?;
        batches::name(tx, workspace, batch, &reparse.name).await?;
        if let Some(entry) = &reparse.audit {
            audit::record(tx, workspace, entry).await?;
        }
    }
    Ok(Some(added.files))
}

/// A generation's cut and collection; none where it is gone or dropped.
async fn cut_of(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
) -> Result<Option<(i64, CollectionId)>, Fault> {
    let found = sqlx::query(
        "SELECT cut, collection_id FROM generations
         WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(connection)
    .await?;
    found.map(|row| Ok((row.try_get("cut")?, rows::id(&row, "collection_id")?))).transpose()
}

/// The documents `d` that lack a reading of a cut, `$3`, though they have the other one `r`,
/// and have not been found unreadable.
fn lacking_sql(cut: i64) -> String {
    let (own, other) = keys_of(cut);
    format!(
        "FROM documents d JOIN versions r ON r.key = d.{other}
         WHERE d.workspace_id = $1 AND d.collection_id = $2 AND d.{own} IS NULL
           AND NOT EXISTS (SELECT 1 FROM versions f WHERE f.document_id = d.id AND f.cut = $3
                 AND f.reading_of = coalesce(r.reading_of, r.version) AND f.status = 'failed')"
    )
}

pub(super) async fn lacking(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    after: Option<DocumentId>,
    limit: u32,
) -> Result<Vec<DocumentId>, Fault> {
    let Some((cut, collection)) = cut_of(connection, workspace, generation).await? else {
        return Ok(Vec::new());
    };
    let from = lacking_sql(cut);
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT d.id {from} AND d.id > $4 ORDER BY d.id LIMIT $5"
    )))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(cut)
    .bind(after.map_or(uuid::Uuid::nil(), DocumentId::uuid))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(|row| rows::id(row, "id")).collect()
}

pub(super) async fn count_lacking(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
) -> Result<u64, Fault> {
    let Some((cut, collection)) = cut_of(connection, workspace, generation).await? else {
        return Ok(0);
    };
    count_lacking_of(connection, workspace, cut, collection).await
}

pub(in super::super) async fn count_lacking_of(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    cut: i64,
    collection: CollectionId,
) -> Result<u64, Fault> {
    let from = lacking_sql(cut);
    let counted = sqlx::query(AssertSqlSafe(format!("SELECT count(*) AS documents {from}")))
        .bind(workspace.uuid())
        .bind(collection.uuid())
        .bind(cut)
        .fetch_one(connection)
        .await?;
    rows::unsigned(&counted, "documents")
}

pub(super) async fn open(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    generation: GenerationId,
    document: DocumentId,
) -> Result<Option<IngestSubject>, Fault> {
    claims::hold(tx, workspace, claim).await?;
    let Some((cut, _)) = cut_of(tx, workspace, generation).await? else { return Ok(None) };
    let (own, other) = keys_of(cut);
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT r.key, coalesce(r.reading_of, r.version) AS version
         FROM documents d JOIN versions r ON r.key = d.{other}
         WHERE d.workspace_id = $1 AND d.id = $2 AND d.{own} IS NULL"
    )))
    .bind(workspace.uuid())
    .bind(document.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(from) = found else { return Ok(None) };
    let begun = sqlx::query(
        "UPDATE versions SET job_id = $5 WHERE workspace_id = $1 AND document_id = $2
             AND cut = $3 AND reading_of = $4 AND status IN ('queued', 'processing')
         RETURNING version",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(cut)
    .bind(from.try_get::<i64, _>("version")?)
    .bind(claim.job_id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let number = match begun {
        Some(row) => rows::number(&row, "version")?,
        None => {
            remove_failed(tx, workspace, document, cut).await?;
            let of = (claim.job_id, "processing", None);
            add(tx, workspace, from.try_get("key")?, cut, of).await?
        }
    };
    ingest::subject(tx, workspace, document, number).await
}
