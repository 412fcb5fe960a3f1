//! Search: the port's methods. Words are in `text` and `indexing`, vectors in `vectors`
//! and `blocks`.

mod blocks;
mod dropped;
mod indexing;
mod known;
mod scope;
mod terms;
mod text;
mod vectors;

use std::collections::HashMap;

use async_trait::async_trait;
use quaestor_core::ids::{ChunkId, CollectionId, GenerationId, WorkspaceId};
use quaestor_core::model::{Document, Generation, Passage};
use quaestor_core::ports::store::{Search, SearchScope, StoreError, TermStats, TextHit, VectorHit};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

pub(super) use blocks::{
    EXACT, from_stored, save as save_vectors, store as store_vectors, to_stored,
};
pub(super) use dropped::remove_dropped;
pub(super) use indexing::{
    forget_vectors, forget_version, save_chunks, store_chunks, take_out, vectors_table,
    version_goes,
};
pub(super) use known::known_vectors;
pub(super) use terms::{
    TermCounts, create_terms_table as workspace_made, drop_terms_table, terms_table,
};

use super::documents::document_columns;
use super::fault::{Fault, during};
use super::readings::searched;
use super::rows::passage_columns;
use super::{SqliteStore, rows};
use scope::Scope;

/// The longest vectors that are taken; the file would hold longer ones.
pub(super) const MOST_DIMENSIONS: u32 = 16_000;

/// Whether a generation should have an index that it lacks: none has any here.
#[expect(clippy::unused_async, reason = "the other database is asked")]
pub(super) async fn index_missing(
    _tx: &mut SqliteConnection,
    _generation_key: i64,
) -> Result<bool, Fault> {
    Ok(false)
}

/// The passages of these chunks, in the order asked for.
pub(super) async fn passages(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    chunks: &[ChunkId],
) -> Result<Vec<Passage>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        passage_columns!(),
        " FROM json_each($2) wanted
          JOIN chunks c ON c.id = unhex(wanted.value)
          JOIN versions v ON v.key = c.version_key
          LEFT JOIN pages p ON p.version_key = v.key AND p.ordinal = c.page_ordinal
          WHERE c.workspace_id = $1"
    ))
    .bind(workspace.uuid())
    .bind(scope::hex_list(chunks.iter().map(|chunk| chunk.uuid())))
    .fetch_all(connection)
    .await?;
    let mut by_id = HashMap::with_capacity(found.len());
    for row in &found {
        let passage = rows::passage(row)?;
        by_id.insert(passage.chunk_id, passage);
    }
    Ok(chunks.iter().filter_map(|chunk| by_id.remove(chunk)).collect())
}

#[async_trait]
impl Search for SqliteStore {
    async fn term_stats(
        &self,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> Result<TermStats, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let mut tx = reader.begin().await?;
            self.term_counts.of(&mut tx, workspace, terms).await
        };
        work.await.map_err(during("count terms"))
    }

    async fn search_text(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        terms: &[String],
        limit: u32,
    ) -> Result<Vec<TextHit>, StoreError> {
        let Some(scope) = Scope::of(workspace, scope) else { return Ok(Vec::new()) };
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            // One snapshot for all statements: a search never sees half of a switch.
            let mut tx = reader.begin().await?;
            let counts = self.term_counts.of(&mut tx, workspace, terms).await?;
            text::search(&mut tx, &scope, terms, &counts, limit).await
        };
        work.await.map_err(during("search the text"))
    }

    async fn content_version(
        &self,
        workspace: WorkspaceId,
        collections: &[CollectionId],
    ) -> Result<String, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT count(version_key) AS documents,
                     CAST(coalesce(sum(version_key), 0) AS BIGINT) AS keys,
                     coalesce(max(version_key), 0) AS newest,
                     (SELECT coalesce(max(key), 0) FROM generations
                         WHERE workspace_id = $1 AND state = 'current'
                           AND collection_id IN (SELECT unhex(value) FROM json_each($2))) AS generation
                 FROM ",
                searched!(),
                " d WHERE workspace_id = $1
                     AND collection_id IN (SELECT unhex(value) FROM json_each($2))"
            ))
            .bind(workspace.uuid())
            .bind(scope::hex_list(collections.iter().map(|collection| collection.uuid())))
            .fetch_one(&mut *reader)
            .await?;
            rows::content_version(&found)
        };
        work.await.map_err(during("tell what stands in the collections"))
    }

    async fn generations(
        &self,
        workspace: WorkspaceId,
        collections: &[CollectionId],
    ) -> Result<Vec<Generation>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT g.id, g.collection_id, g.model, g.dimensions, g.state, g.created_at
                 FROM generations g
                 WHERE g.workspace_id = $1 AND g.state = 'current'
                   AND g.collection_id IN (SELECT unhex(value) FROM json_each($2))
                 ORDER BY g.key",
            )
            .bind(workspace.uuid())
            .bind(scope::hex_list(collections.iter().map(|collection| collection.uuid())))
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(rows::generation).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list the generations"))
    }

    async fn search_vectors(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        generations: &[GenerationId],
        vector: &[f32],
        limit: u32,
    ) -> Result<Vec<VectorHit>, StoreError> {
        let Some(scope) = Scope::of(workspace, scope) else { return Ok(Vec::new()) };
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let mut tx = reader.begin().await?;
            vectors::search(&mut tx, &scope, generations, vector, limit).await
        };
        work.await.map_err(during("search the vectors"))
    }

    async fn passages(
        &self,
        workspace: WorkspaceId,
        chunks: &[ChunkId],
    ) -> Result<Vec<Passage>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            passages(&mut reader, workspace, chunks).await
        };
        work.await.map_err(during("read passages"))
    }

    async fn searchable_documents(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError> {
        let Some(scope) = Scope::of(workspace, scope) else { return Ok(Vec::new()) };
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let sql = format!(
                "SELECT {columns} FROM documents d
                 JOIN versions v ON v.document_id = d.id AND v.version = d.newest_version
                 WHERE d.workspace_id = $1 AND d.id IN (SELECT y.id FROM {searched} y
                     WHERE y.workspace_id = $1 AND y.version_key IN ({versions}))
                 ORDER BY d.id DESC LIMIT {limit}",
                columns = document_columns!(),
                searched = searched!(),
                versions = scope.versions_sql(),
            );
            let found =
                scope.bind(sqlx::query(sqlx::AssertSqlSafe(sql))).fetch_all(&mut *reader).await?;
            found.iter().map(rows::document).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list the searchable documents"))
    }
}
