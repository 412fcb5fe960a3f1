//! Search on PostgreSQL: the port's methods. Words are in `text` and `postings`, vectors
//! in `vectors`, what is stored for both in `writing`, indexes of vectors in `indexes`.

mod arriving;
mod counts;
mod indexes;
mod known;
mod postings;
mod scope;
mod text;
mod vectors;
mod writing;

use std::collections::HashMap;

use async_trait::async_trait;
use futures::future::try_join_all;
use quaestor_core::ids::{ChunkId, CollectionId, GenerationId, WorkspaceId};
use quaestor_core::model::{Document, Generation, Passage};
use quaestor_core::ports::store::{Search, SearchScope, StoreError, TermStats, TextHit, VectorHit};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

pub(super) use arriving::{EXACT, from_stored, store_vectors, to_stored};
pub(super) use counts::TermCounts;
pub(super) use indexes::index_missing;
pub(super) use known::known_vectors;
pub(super) use writing::{
    forget_vectors, forget_version, save_chunks, save_vectors, store_chunks, take_out,
    vectors_table, version_goes, workspace_made,
};

use super::documents::document_columns;
use super::fault::{Fault, during};
use super::readings::searched;
use super::rows::passage_columns;
use super::{PgStore, rows};
use scope::Scope;

/// The longest vectors that pgvector's types hold.
pub(super) const MOST_DIMENSIONS: u32 = 16_000;

/// Beyond this many chunks searches run on connections of their own: below, a transaction
/// for each costs more than the search.
const SIDE_BY_SIDE: u64 = 20_000;

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

#[async_trait]
impl Search for PgStore {
    async fn term_stats(
        &self,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> Result<TermStats, StoreError> {
        let work = async {
            let mut reader = self.connections.searcher(workspace).await?;
            let (_, stats) = self.term_counts.of(&mut reader, workspace, terms).await?;
            Ok(stats)
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
            let mut reader = self.connections.searcher(workspace).await?;
            let (totals, stats) = self.term_counts.of(&mut reader, workspace, terms).await?;
            text::search(&mut reader, &scope, terms, totals, &stats, limit).await
        };
        work.await.map_err(during("search the text"))
    }

    async fn search_words(
        &self,
        workspace: WorkspaceId,
        scope: &SearchScope,
        terms: &[String],
        searches: &[Vec<String>],
        limit: u32,
    ) -> Result<(TermStats, Vec<Vec<TextHit>>), StoreError> {
        let work = async {
            let mut reader = self.connections.searcher(workspace).await?;
            let (totals, stats) = self.term_counts.of(&mut reader, workspace, terms).await?;
            let Some(within) = Scope::of(workspace, scope) else {
                return Ok((stats, vec![Vec::new(); searches.len()]));
            };
            if totals.chunks > SIDE_BY_SIDE {
                drop(reader);
                let found =
                    searches.iter().map(|terms| self.search_text(workspace, scope, terms, limit));
                return Ok((stats, try_join_all(found).await?));
            }
            let mut counted = Vec::with_capacity(searches.len());
            for wanted in searches {
                let counts = match counts::those_of(wanted, terms, &stats) {
                    Some(counts) => counts,
                    None => self.term_counts.of(&mut reader, workspace, wanted).await?.1,
                };
                counted.push((wanted.as_slice(), counts));
            }
            let found =
                text::search_together(&mut reader, &within, &counted, totals, limit).await?;
            Ok((stats, found))
        };
        work.await.map_err(during("search the text"))
    }

    async fn content_version(
        &self,
        workspace: WorkspaceId,
        collections: &[CollectionId],
    ) -> Result<String, StoreError> {
        let work = async {
            let mut reader = self.connections.searcher(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT count(version_key) AS documents,
                     CAST(coalesce(sum(version_key), 0) AS BIGINT) AS keys,
                     coalesce(max(version_key), 0) AS newest,
                     (SELECT coalesce(max(key), 0) FROM generations
                         WHERE workspace_id = $1 AND state = 'current'
                           AND collection_id = ANY($2)) AS generation
                 FROM ",
                searched!(),
                " d WHERE workspace_id = $1 AND collection_id = ANY($2)"
            ))
            .bind(workspace.uuid())
            .bind(collections.iter().map(|collection| collection.uuid()).collect::<Vec<Uuid>>())
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
            let mut reader = self.connections.searcher(workspace).await?;
            let found = sqlx::query(
                "SELECT g.id, g.collection_id, g.model, g.dimensions, g.state, g.created_at
                 FROM generations g
                 WHERE g.workspace_id = $1 AND g.state = 'current' AND g.collection_id = ANY($2)
                 ORDER BY g.key",
            )
            .bind(workspace.uuid())
            .bind(collections.iter().map(|collection| collection.uuid()).collect::<Vec<Uuid>>())
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
            let mut reader = self.connections.searcher(workspace).await?;
            vectors::search(&mut reader, &scope, generations, vector, limit).await
        };
        work.await.map_err(during("search the vectors"))
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
        workspace: WorkspaceId,
        scope: &SearchScope,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError> {
        let Some(scope) = Scope::of(workspace, scope) else { return Ok(Vec::new()) };
        let work = async {
            let mut reader = self.connections.searcher(workspace).await?;
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
            let found = scope.bind(sqlx::query(AssertSqlSafe(sql))).fetch_all(&mut *reader).await?;
            found.iter().map(rows::document).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list the searchable documents"))
    }
}
