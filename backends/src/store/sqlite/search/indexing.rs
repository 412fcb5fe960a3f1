//! Chunks on their way into search, and out of it.

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{NewChunk, StoreError};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::known;
use super::terms::terms_table;
use crate::store::sqlite::fault::Fault;

/// Where a generation's vectors are: all stand in one table here.
pub(in crate::store::sqlite) fn vectors_table(_generation_key: i64) -> &'static str {
    "vectors"
}

/// Stores chunks of a version with the terms they are found by.
pub(in crate::store::sqlite) async fn save_chunks(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
    chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    if chunks.is_empty() {
        return Ok(());
    }
    let Some(table) = terms_table(tx, workspace).await? else {
        return Err(StoreError::Fenced.into());
    };
    let index = format!("INSERT INTO {table} (rowid, terms) VALUES ($1, $2)");
    for mut chunk in chunks {
        let index_terms = std::mem::take(&mut chunk.index_terms);
        let key = store_chunk(tx, workspace, version_key, chunk).await?;
        sqlx::query(AssertSqlSafe(index.clone()))
            .bind(key)
            .bind(index_terms)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Stores chunks of a version that is not searched.
pub(in crate::store::sqlite) async fn store_chunks(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
    chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    for chunk in chunks {
        store_chunk(tx, workspace, version_key, chunk).await?;
    }
    Ok(())
}

/// Returns the chunk's key.
async fn store_chunk(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
    NewChunk { id, chunk, tokens, .. }: NewChunk,
) -> Result<i64, Fault> {
    let row = sqlx::query(
        "INSERT INTO chunks (workspace_id, version_key, id, ordinal, page_ordinal, char_start,
             char_end, is_table, tokens, cells, section, header, text)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING key",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(id.uuid())
    .bind(chunk.ordinal)
    .bind(chunk.page_ordinal)
    .bind(chunk.char_start)
    .bind(chunk.char_end)
    .bind(chunk.is_table)
    .bind(tokens)
    .bind(chunk.cells)
    .bind(chunk.section)
    .bind(chunk.header)
    .bind(chunk.text)
    .fetch_one(tx)
    .await?;
    Ok(row.try_get("key")?)
}

/// Takes a version out of full text and vectors. Its passages stay, for the answers
/// that cite them.
pub(in crate::store::sqlite) async fn forget_version(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    known::keep(tx, workspace, version_key).await?;
    take_out(tx, workspace, version_key).await
}

/// The same, where nobody needs its vectors any more.
pub(in crate::store::sqlite) async fn take_out(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    version_goes(tx, workspace, version_key).await?;
    sqlx::query(
        "DELETE FROM vectors WHERE workspace_id = $1
         AND chunk_key IN (SELECT key FROM chunks WHERE version_key = $2)",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM vector_blocks WHERE workspace_id = $1 AND version_key = $2")
        .bind(workspace.uuid())
        .bind(version_key)
        .execute(tx)
        .await?;
    Ok(())
}

/// Removes of a version what no foreign key removes with it: its terms.
pub(in crate::store::sqlite) async fn version_goes(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    let Some(table) = terms_table(tx, workspace).await? else { return Ok(()) };
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM {table} WHERE rowid IN
             (SELECT key FROM chunks WHERE workspace_id = $1 AND version_key = $2)"
    )))
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a version's vectors from one generation.
pub(in crate::store::sqlite) async fn forget_vectors(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
    generation_key: i64,
) -> Result<(), Fault> {
    for sql in [
        "DELETE FROM vectors WHERE workspace_id = $1 AND generation_key = $3
         AND chunk_key IN (SELECT key FROM chunks WHERE version_key = $2)",
        "DELETE FROM vector_blocks
         WHERE workspace_id = $1 AND generation_key = $3 AND version_key = $2",
    ] {
        sqlx::query(sql)
            .bind(workspace.uuid())
            .bind(version_key)
            .bind(generation_key)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
