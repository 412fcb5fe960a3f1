//! The port's ingestion methods, and what `documents.embed` reads and writes.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, DocumentId, GenerationId, WorkspaceId};
use quaestor_core::model::Generation;
use quaestor_core::ports::store::{
    Advance, Claim, EmbedBatch, IngestStore, IngestSubject, NewChunk, NewPage, ParsedSummary,
    StoreError,
};
use quaestor_core::problem::Problem;
use sqlx::{AssertSqlSafe, Row};

use super::connections::Commit;
use super::dialect::{DbConnection, DbRow, DbStore};
use super::ending::{self, Ending};
use super::fault::{Fault, during};
use super::readings::searched_under;
use super::{claims, ingest, readings, rows, search};

#[async_trait]
impl IngestStore for DbStore {
    async fn ingest_subject(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
    ) -> Result<Option<IngestSubject>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            ingest::subject(&mut reader, workspace, document, version).await
        };
        work.await.map_err(during("read what is to be ingested"))
    }

    async fn begin_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            ingest::begin(&mut tx, workspace, claim, subject).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(())
        };
        work.await.map_err(during("begin an ingestion"))
    }

    async fn save_parsed(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        pages: Vec<NewPage>,
        chunks: Vec<NewChunk>,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            ingest::save(&mut tx, workspace, claim, subject, pages, chunks).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("store pages and passages"))
    }

    async fn finish_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        summary: ParsedSummary,
        next: Option<Advance>,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            ingest::finish(&mut tx, workspace, claim, subject, summary, next.as_ref(), now).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(())
        };
        work.await.map_err(during("finish an ingestion"))
    }

    async fn fail_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        problem: Problem,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            ingest::fail(&mut tx, workspace, claim, subject, problem, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("fail an ingestion"))
    }

    async fn current_generation(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        model: &str,
        dimensions: u32,
        new_id: GenerationId,
        now: Time,
    ) -> Result<Option<Generation>, StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            sqlx::query(
                "INSERT INTO generations
                     (id, workspace_id, collection_id, model, dimensions, state, created_at)
                 SELECT $3, $1, $2, $4, $5, 'current', $6 FROM collections
                 WHERE workspace_id = $1 AND id = $2
                 ON CONFLICT (collection_id) WHERE state = 'current' DO NOTHING",
            )
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .bind(new_id.uuid())
            .bind(model.to_owned())
            .bind(i64::from(dimensions))
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
            let found = sqlx::query(
                "SELECT id, collection_id, model, dimensions, state, created_at FROM generations
                 WHERE workspace_id = $1 AND collection_id = $2 AND state = 'current'
                   AND model = $3 AND dimensions = $4",
            )
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .bind(model.to_owned())
            .bind(i64::from(dimensions))
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            found.as_ref().map(rows::generation).transpose()
        };
        work.await.map_err(during("find a collection's generation"))
    }

    async fn chunks_to_embed(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        generation: GenerationId,
        limit: u32,
    ) -> Result<EmbedBatch, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            to_embed(&mut reader, workspace, document, version, generation, limit).await
        };
        work.await.map_err(during("read passages to embed"))
    }

    async fn finish_embed(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        document: DocumentId,
        version: u32,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            ready(&mut tx, workspace, claim, document, version).await?;
            // What it held before has served.
            sqlx::query("DELETE FROM kept_vectors WHERE workspace_id = $1 AND document_id = $2")
                .bind(workspace.uuid())
                .bind(document.uuid())
                .execute(&mut *tx)
                .await?;
            ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(())
        };
        work.await.map_err(during("finish an embedding"))
    }
}

/// The version has its vectors. A reading beside takes the place of the one that is searched.
async fn ready(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    document: DocumentId,
    version: u32,
) -> Result<(), Fault> {
    let found = sqlx::query(
        "UPDATE versions SET status = 'ready'
         WHERE workspace_id = $1 AND document_id = $2 AND version = $3
           AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = $4 AND j.subject_id = $2
                       AND j.subject_version = $3)
         RETURNING key, staged",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(i64::from(version))
    .bind(claim.job_id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = found else { return Ok(()) };
    if !row.try_get::<bool, _>("staged")? {
        return Ok(());
    }
    let key: i64 = row.try_get("key")?;
    sqlx::query("UPDATE versions SET staged = FALSE WHERE workspace_id = $1 AND key = $2")
        .bind(workspace.uuid())
        .bind(key)
        .execute(&mut *tx)
        .await?;
    if let Some(subject) = ingest::subject(tx, workspace, document, version).await? {
        readings::place(tx, workspace, document, key).await?;
        readings::name_version(tx, workspace, claim, &subject).await?;
    }
    Ok(())
}

/// What is embedded of a passage: the document's title, its section, header and text.
pub(super) fn embedded_text(title: Option<&str>, chunk: &DbRow) -> Result<String, Fault> {
    let parts: [String; 3] =
        [chunk.try_get("section")?, chunk.try_get("header")?, chunk.try_get("text")?];
    let parts = title.into_iter().chain(parts.iter().map(String::as_str));
    Ok(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// A version that is no longer current has nothing left to embed: nobody searches it.
async fn to_embed(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    version: u32,
    generation: GenerationId,
    limit: u32,
) -> Result<EmbedBatch, Fault> {
    // What is cut otherwise for a generation that is built is given its vectors there.
    let counted = sqlx::query(concat!(
        "SELECT v.key, g.key AS generation_key, v.title,
             (SELECT count(*) FROM chunks c WHERE c.version_key = v.key) AS total
         FROM documents d JOIN versions v ON v.document_id = d.id, generations g
         WHERE d.workspace_id = $1 AND d.id = $2 AND v.version = $3
           AND g.workspace_id = $1 AND g.id = $4
           AND CASE WHEN v.cut % 2 = g.cut % 2 THEN TRUE WHEN g.state = 'building' THEN FALSE
                   WHEN NOT v.staged THEN TRUE WHEN g.cut % 2 = 1 THEN d.other_key IS NULL
                   ELSE d.current_key IS NULL END
           AND (v.staged OR v.key = ",
        searched_under!(),
        ")"
    ))
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(i64::from(version))
    .bind(generation.uuid())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = counted else { return Ok(EmbedBatch::default()) };
    let title: Option<String> = row.try_get("title")?;
    let version_key: i64 = row.try_get("key")?;
    let generation_key: i64 = row.try_get("generation_key")?;
    let vectors = search::vectors_table(generation_key);
    let embedded = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS done FROM chunks c JOIN {vectors} x ON x.chunk_key = c.key
         WHERE c.version_key = $1 AND x.generation_key = $2"
    )))
    .bind(version_key)
    .bind(generation_key)
    .fetch_one(&mut *connection)
    .await?;
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT c.id, c.section, c.header, c.text FROM chunks c
         WHERE c.workspace_id = $1 AND c.version_key = $2
           AND NOT EXISTS (SELECT 1 FROM {vectors} x
                           WHERE x.chunk_key = c.key AND x.generation_key = $3)
         ORDER BY c.ordinal LIMIT $4"
    )))
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(generation_key)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let mut chunks = Vec::with_capacity(found.len());
    for chunk in found {
        chunks.push((rows::id(&chunk, "id")?, embedded_text(title.as_deref(), &chunk)?));
    }
    Ok(EmbedBatch {
        chunks,
        done: rows::unsigned(&embedded, "done")?,
        total: rows::unsigned(&row, "total")?,
    })
}
