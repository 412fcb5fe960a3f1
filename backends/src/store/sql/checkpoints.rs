//! How far the parse of a version has come.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{
    Advance, Checkpoint, Checkpoints, Claim, IngestSubject, NewChunk, NewPage, StoreError,
};
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{DbConnection, DbStore};
use super::fault::{Fault, during};
use super::{ingest, rows, settle};

#[async_trait]
impl Checkpoints for DbStore {
    async fn resume_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        parser: &str,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let found = resume(&mut tx, workspace, claim, subject, parser).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(found)
        };
        work.await.map_err(during("take up an ingestion"))
    }

    async fn save_checkpoint(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        pages: Vec<NewPage>,
        chunks: Vec<NewChunk>,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            ingest::save(&mut tx, workspace, claim, subject, pages, chunks).await?;
            let key = ingest::held_version(&mut tx, workspace, claim, subject).await?;
            keep(&mut tx, workspace, key, checkpoint).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("store pages and passages"))
    }

    async fn continue_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        next: Advance,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            settle::advance(&mut tx, workspace, claim, &next, now).await?;
            sqlx::query("UPDATE jobs SET step_attempt = 0 WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(claim.job_id.uuid())
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("hand an ingestion on"))
    }
}

async fn resume(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    parser: &str,
) -> Result<Option<Checkpoint>, Fault> {
    let key = ingest::held_version(tx, workspace, claim, subject).await?;
    let found = sqlx::query(
        "SELECT c.parser, c.pages, c.chunks, c.state,
             (SELECT count(*) FROM pages p WHERE p.version_key = c.version_key) AS stored_pages,
             (SELECT count(*) FROM chunks k WHERE k.version_key = c.version_key) AS stored_chunks
         FROM checkpoints c JOIN versions v ON v.key = c.version_key
         WHERE c.workspace_id = $1 AND c.version_key = $2 AND v.cut = $3",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(i64::from(subject.cut))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = found else {
        ingest::begin(tx, workspace, claim, subject).await?;
        return Ok(None);
    };
    let checkpoint = Checkpoint {
        parser: row.try_get("parser")?,
        pages: rows::number(&row, "pages")?,
        chunks: rows::number(&row, "chunks")?,
        state: row.try_get("state")?,
    };
    // A program of the version before knows no checkpoints, and may have begun anew.
    let stored = (rows::number(&row, "stored_pages")?, rows::number(&row, "stored_chunks")?);
    if checkpoint.parser != parser || stored != (checkpoint.pages, checkpoint.chunks) {
        ingest::begin(tx, workspace, claim, subject).await?;
        return Ok(None);
    }
    Ok(Some(checkpoint))
}

async fn keep(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    version_key: i64,
    checkpoint: Checkpoint,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO checkpoints (version_key, workspace_id, parser, pages, chunks, state)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (version_key) DO UPDATE SET parser = excluded.parser,
             pages = excluded.pages, chunks = excluded.chunks, state = excluded.state",
    )
    .bind(version_key)
    .bind(workspace.uuid())
    .bind(checkpoint.parser)
    .bind(i64::from(checkpoint.pages))
    .bind(i64::from(checkpoint.chunks))
    .bind(checkpoint.state)
    .execute(tx)
    .await?;
    Ok(())
}

/// The parse is whole: nothing of it is taken up any more.
pub(super) async fn forget(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM checkpoints WHERE workspace_id = $1 AND version_key = $2")
        .bind(workspace.uuid())
        .bind(version_key)
        .execute(tx)
        .await?;
    Ok(())
}
