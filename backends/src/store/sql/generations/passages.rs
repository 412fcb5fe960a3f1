//! Which passages a generation has vectors of, and which it lacks.

use quaestor_core::ids::{CollectionId, DocumentId, GenerationId, JobId, WorkspaceId};
use quaestor_core::ports::store::{GenerationStatus, PassageCursor, PassagesToIndex};
use sqlx::{AssertSqlSafe, Row};

use super::super::dialect::{DbConnection, DbRow};
use super::super::fault::Fault;
use super::super::readings::{self, keys_of, searched};
use super::super::{embed, rows, search};

/// How many passages are looked at for one call at least: most of them have their vector
/// already, where a reindexing is taken up again.
const LOOKED_AT: i64 = 2_048;

/// How many vectors a generation has.
pub(super) async fn count_vectors(connection: &mut DbConnection, key: i64) -> Result<u64, Fault> {
    let table = search::vectors_table(key);
    let counted = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS vectors FROM {table} WHERE generation_key = $1"
    )))
    .bind(key)
    .fetch_one(connection)
    .await?;
    rows::unsigned(&counted, "vectors")
}

/// The documents and passages of a collection that are searched under a cut.
pub(super) async fn searched(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    cut: i64,
) -> Result<(u64, u64), Fault> {
    let (own, other) = keys_of(cut);
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS documents, CAST(coalesce(sum(v.chunks), 0) AS BIGINT) AS passages
         FROM documents d JOIN versions v ON v.key = coalesce(d.{own}, d.{other})
         WHERE d.workspace_id = $1 AND d.collection_id = $2"
    )))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_one(connection)
    .await?;
    Ok((rows::unsigned(&row, "documents")?, rows::unsigned(&row, "passages")?))
}

/// A generation as the store names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: i64,
    pub(super) collection: CollectionId,
    pub(super) cut: i64,
}

pub(super) async fn key_of(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
) -> Result<Option<Place>, Fault> {
    let found = sqlx::query(
        "SELECT key, collection_id, cut FROM generations
         WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(connection)
    .await?;
    let place = |row: DbRow| {
        let collection = rows::id(&row, "collection_id")?;
        Ok(Place { key: row.try_get("key")?, collection, cut: row.try_get("cut")? })
    };
    found.map(place).transpose()
}

pub(super) async fn status(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    row: &DbRow,
) -> Result<GenerationStatus, Fault> {
    let (generation, cut) = (rows::generation(row)?, row.try_get("cut")?);
    let collection = generation.collection_id;
    let (_, total) = searched(connection, workspace, collection, cut).await?;
    let documents_to_read =
        readings::count_lacking_of(connection, workspace, cut, collection).await?;
    Ok(GenerationStatus {
        generation,
        chunking: readings::chunking(row)?,
        documents_to_read,
        passages: count_vectors(connection, row.try_get("key")?).await?,
        total,
        paused_at: rows::optional_time(row, "paused_at")?,
        passages_per_minute: rows::optional_number(row, "passages_per_minute")?,
        job_id: row.try_get::<Option<uuid::Uuid>, _>("job_id")?.map(JobId),
        switched_at: rows::optional_time(row, "switched_at")?,
    })
}

/// Whole documents, as many as hold the passages that are looked at, and of them the passages
/// behind the cursor that lack a vector.
pub(super) async fn lacking(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    Place { key: generation_key, collection, cut }: Place,
    after: Option<PassageCursor>,
    limit: u32,
) -> Result<PassagesToIndex, Fault> {
    let vectors = search::vectors_table(generation_key);
    let (document, ordinal) =
        after.map_or((uuid::Uuid::nil(), -1), |after| (after.document_id.uuid(), after.ordinal));
    let (own, other) = keys_of(cut);
    let looked_at = LOOKED_AT.max(i64::from(limit));
    let window = format!(
        "SELECT w.id, w.key, w.title FROM (
             SELECT d.id, v.key, v.title,
                 sum(v.chunks + 1) OVER (ORDER BY d.id) - v.chunks - 1 AS before
             FROM documents d JOIN versions v ON v.key = coalesce(d.{own}, d.{other})
             WHERE d.workspace_id = $1 AND d.collection_id = $2 AND d.id >= $3
             ORDER BY d.id LIMIT {looked_at}) w
         WHERE w.before < {looked_at}"
    );
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT w.id AS document_id, w.title, c.id, c.ordinal, c.section, c.header, c.text
         FROM ({window}) w JOIN chunks c ON c.version_key = w.key
         WHERE c.workspace_id = $1 AND (w.id > $3 OR c.ordinal > $4)
           AND NOT EXISTS (SELECT 1 FROM {vectors} x
                           WHERE x.chunk_key = c.key AND x.generation_key = $5)
         ORDER BY w.id, c.ordinal LIMIT $6"
    )))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(document)
    .bind(ordinal)
    .bind(generation_key)
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut chunks = Vec::with_capacity(found.len());
    for row in &found {
        let title: Option<String> = row.try_get("title")?;
        chunks.push((rows::id(row, "id")?, embed::embedded_text(title.as_deref(), row)?));
    }
    let next = match found.last() {
        Some(last) if found.len() as u64 >= u64::from(limit) => Some(PassageCursor {
            document_id: rows::id(last, "document_id")?,
            ordinal: last.try_get("ordinal")?,
        }),
        _ => end_of_window(connection, workspace, collection, document, &window).await?,
    };
    Ok(PassagesToIndex { chunks, next })
}

/// The end of the documents that were looked at; none where no others come behind them.
async fn end_of_window(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    document: uuid::Uuid,
    window: &str,
) -> Result<Option<PassageCursor>, Fault> {
    let last = format!("SELECT id FROM ({window}) x ORDER BY id DESC LIMIT 1");
    let last = sqlx::query(AssertSqlSafe(last))
        .bind(workspace.uuid())
        .bind(collection.uuid())
        .bind(document)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(last) = last else { return Ok(None) };
    let document_id: DocumentId = rows::id(&last, "id")?;
    let more = sqlx::query(
        "SELECT 1 FROM documents WHERE workspace_id = $1 AND collection_id = $2 AND id > $3
             AND coalesce(current_key, other_key) IS NOT NULL LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(document_id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(more.map(|_| PassageCursor { document_id, ordinal: i64::MAX }))
}

/// How many passages there are of each length in hundreds of characters, rounded up, of what is
/// searched.
pub(super) async fn lengths(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<Vec<(u32, u64)>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT CAST((c.char_end - c.char_start + 99) / 100 AS BIGINT) AS hundreds,
             count(*) AS passages FROM ",
        searched!(),
        " d JOIN chunks c ON c.version_key = d.version_key
         WHERE d.workspace_id = $1 AND d.collection_id = $2
         GROUP BY 1 ORDER BY 1"
    ))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| Ok((rows::number(row, "hundreds")?, rows::unsigned(row, "passages")?)))
        .collect()
}
