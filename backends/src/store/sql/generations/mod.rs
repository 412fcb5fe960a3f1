//! Index generations: built beside the one that is searched, switched to, gone back from.

mod changes;
mod passages;

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, GenerationId, JobId, WorkspaceId};
use quaestor_core::jobs::NewJob;
use quaestor_core::model::{Chunking, Generation, GenerationState};
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{
    Claim, EmbeddedChunk, GenerationStatus, Generations, NewAuditEntry, NewReindex, PassageCursor,
    PassagesToIndex, ReindexAccepted, ReindexOutcome, ReindexSize, ReindexSubject, StoreError,
    Switch, TextHash,
};
use sqlx::Row;

use super::connections::Commit;
use super::dialect::DbStore;
use super::ending::{self, Ending};
use super::fault::{Fault, during};
use super::readings::searched;
use super::{audit, claims, money, readings, rows, search};
use changes::{begin, go_back, in_state, is_unfinished, set_state, switch};
pub(super) use changes::{end, lock_collection};
use passages::{Place, count_vectors, key_of, lacking, lengths, searched, status};

macro_rules! generation_columns {
    () => {
        "g.id, g.collection_id, g.model, g.dimensions, g.state, g.created_at"
    };
}

#[async_trait]
impl Generations for DbStore {
    fn most_dimensions(&self) -> u32 {
        search::MOST_DIMENSIONS
    }

    async fn reindex_size(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        model: &str,
    ) -> Result<Option<ReindexSize>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found =
                sqlx::query("SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2")
                    .bind(workspace.uuid())
                    .bind(collection.uuid())
                    .fetch_optional(&mut *reader)
                    .await?;
            if found.is_none() {
                return Ok(None);
            }
            let current = sqlx::query(
                "SELECT cut, target_chars, max_chars FROM generations
                 WHERE workspace_id = $1 AND collection_id = $2 AND state = 'current'",
            )
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            let (cut, chunking) = match &current {
                Some(row) => (row.try_get("cut")?, readings::chunking(row)?),
                None => (0, Chunking::default()),
            };
            let (documents, passages) = searched(&mut reader, workspace, collection, cut).await?;
            let lengths = lengths(&mut reader, workspace, collection).await?;
            let tokens = sqlx::query(concat!(
                "SELECT CAST(coalesce(sum(c.tokens), 0) AS BIGINT) AS tokens FROM ",
                searched!(),
                " d JOIN chunks c ON c.version_key = d.version_key
                 WHERE d.workspace_id = $1 AND d.collection_id = $2"
            ))
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_one(&mut *reader)
            .await?;
            let pace = sqlx::query(
                "SELECT embedded, embed_us FROM generations
                 WHERE workspace_id = $1 AND model = $2 AND embedded > 0
                 ORDER BY key DESC LIMIT 1",
            )
            .bind(workspace.uuid())
            .bind(model.to_owned())
            .fetch_optional(&mut *reader)
            .await?;
            let us_per_passage = match pace {
                Some(row) => Some(
                    row.try_get::<i64, _>("embed_us")? as f64
                        / row.try_get::<i64, _>("embedded")? as f64,
                ),
                None => None,
            };
            let tokens = rows::unsigned(&tokens, "tokens")?;
            Ok(Some(ReindexSize { documents, passages, tokens, us_per_passage, chunking, lengths }))
        };
        work.await.map_err(during("measure a reindexing"))
    }

    async fn begin_reindex(
        &self,
        workspace: WorkspaceId,
        reindex: NewReindex,
    ) -> Result<ReindexOutcome<ReindexAccepted>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let outcome = begin(&mut tx, workspace, &reindex).await?;
            if matches!(outcome, ReindexOutcome::Accepted(_)) {
                tx.commit().await?;
            }
            Ok(outcome)
        };
        work.await.map_err(during("accept a reindexing"))
    }

    async fn collection_generations(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Option<Vec<GenerationStatus>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let there =
                sqlx::query("SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2")
                    .bind(workspace.uuid())
                    .bind(collection.uuid())
                    .fetch_optional(&mut *reader)
                    .await?;
            if there.is_none() {
                return Ok(None);
            }
            let found = sqlx::query(concat!(
                "SELECT g.key, g.paused_at, g.passages_per_minute, g.job_id, g.switched_at, g.cut,
                     g.target_chars, g.max_chars, ",
                generation_columns!(),
                " FROM generations g
                  WHERE g.workspace_id = $1 AND g.collection_id = $2 AND g.state <> 'dropped'
                  ORDER BY g.key"
            ))
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_all(&mut *reader)
            .await?;
            let mut all = Vec::with_capacity(found.len());
            for row in &found {
                all.push(status(&mut reader, workspace, row).await?);
            }
            Ok(Some(all))
        };
        work.await.map_err(during("list a collection's generations"))
    }

    async fn live_generations(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Vec<Generation>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                generation_columns!(),
                " FROM generations g WHERE g.workspace_id = $1 AND g.collection_id = $2
                    AND g.state IN ('current', 'building')
                  ORDER BY g.state DESC"
            ))
            .bind(workspace.uuid())
            .bind(collection.uuid())
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(rows::generation).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list a collection's live generations"))
    }

    async fn pause_reindex(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        paused: bool,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<JobId>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if !lock_collection(&mut tx, workspace, collection).await? {
                return Ok(ReindexOutcome::NoCollection);
            }
            let building =
                in_state(&mut tx, workspace, collection, GenerationState::Building).await?;
            let Some((generation, Some(job))) = building else {
                return Ok(ReindexOutcome::NoGeneration);
            };
            if !is_unfinished(&mut tx, workspace, job).await? {
                return Ok(ReindexOutcome::NoGeneration);
            }
            let changed = sqlx::query(
                "UPDATE generations SET paused_at = CASE WHEN $3 THEN $4 END
                 WHERE workspace_id = $1 AND id = $2 AND (paused_at IS NULL) = $3",
            )
            .bind(workspace.uuid())
            .bind(generation.uuid())
            .bind(paused)
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
            if changed.rows_affected() > 0 {
                audit::record(&mut tx, workspace, &audit).await?;
                tx.commit().await?;
            }
            Ok(ReindexOutcome::Accepted(job))
        };
        work.await.map_err(during("pause a reindexing"))
    }

    async fn roll_back(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        job: NewJob,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<ReindexAccepted>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let outcome = go_back(&mut tx, workspace, collection, &job, &audit).await?;
            if matches!(outcome, ReindexOutcome::Accepted(_)) {
                tx.commit().await?;
                self.term_counts.forget(workspace);
            }
            Ok(outcome)
        };
        work.await.map_err(during("go back to the former generation"))
    }

    async fn drop_former(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        audit: NewAuditEntry,
    ) -> Result<ReindexOutcome<()>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if !lock_collection(&mut tx, workspace, collection).await? {
                return Ok(ReindexOutcome::NoCollection);
            }
            let former = in_state(&mut tx, workspace, collection, GenerationState::Former).await?;
            let Some((former, _)) = former else { return Ok(ReindexOutcome::NoGeneration) };
            set_state(&mut tx, workspace, former, GenerationState::Dropped).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(ReindexOutcome::Accepted(()))
        };
        work.await.map_err(during("drop the former generation"))
    }

    async fn reindex_subject(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<Option<ReindexSubject>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT g.paused_at, g.passages_per_minute, g.skipped, ",
                generation_columns!(),
                " FROM generations g
                  WHERE g.workspace_id = $1 AND g.id = $2 AND g.state <> 'dropped'"
            ))
            .bind(workspace.uuid())
            .bind(generation.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            Ok(Some(ReindexSubject {
                generation: rows::generation(&row)?,
                paused: rows::optional_time(&row, "paused_at")?.is_some(),
                passages_per_minute: rows::optional_number(&row, "passages_per_minute")?,
                skipped: rows::unsigned(&row, "skipped")?,
            }))
        };
        work.await.map_err(during("read a generation"))
    }

    async fn reindex_progress(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<(u64, u64), StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let Some(Place { key, collection, cut }) =
                key_of(&mut reader, workspace, generation).await?
            else {
                return Ok((0, 0));
            };
            let (_, total) = searched(&mut reader, workspace, collection, cut).await?;
            Ok((total, count_vectors(&mut reader, key).await?))
        };
        work.await.map_err(during("count a generation's vectors"))
    }

    async fn passages_to_index(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        after: Option<PassageCursor>,
        limit: u32,
    ) -> Result<PassagesToIndex, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let Some(of) = key_of(&mut reader, workspace, generation).await? else {
                return Ok(PassagesToIndex::default());
            };
            lacking(&mut reader, workspace, of, after, limit).await
        };
        work.await.map_err(during("read passages to index"))
    }

    async fn known_vectors(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        texts: &[TextHash],
    ) -> Result<Vec<Option<Vec<f32>>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = search::known_vectors(&mut reader, workspace, generation, texts).await?;
            Ok(texts.iter().map(|text| found.get(text).cloned()).collect())
        };
        work.await.map_err(during("look up vectors"))
    }

    async fn save_vectors(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        vectors: Vec<EmbeddedChunk>,
        took_us: u64,
        calls: &[ModelCall],
    ) -> Result<(), StoreError> {
        let made = if took_us == 0 { 0 } else { vectors.len() as u64 };
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            search::save_vectors(&mut tx, workspace, generation, vectors).await?;
            // It got further: whatever stops it from now on has not stopped it so often.
            sqlx::query(
                "UPDATE jobs SET step_attempt = 1
                 WHERE workspace_id = $1 AND id = $2 AND step_attempt > 1",
            )
            .bind(workspace.uuid())
            .bind(claim.job_id.uuid())
            .execute(&mut *tx)
            .await?;
            if made > 0 {
                sqlx::query(
                    "UPDATE generations SET embedded = embedded + $3, embed_us = embed_us + $4
                     WHERE workspace_id = $1 AND id = $2",
                )
                .bind(workspace.uuid())
                .bind(generation.uuid())
                .bind(rows::signed(made))
                .bind(rows::signed(took_us))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("store vectors"))
    }

    async fn note_skipped(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            sqlx::query(
                "UPDATE generations SET skipped = skipped + 1 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(generation.uuid())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("note a document without vectors"))
    }

    async fn switch_generation(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        skipped: u64,
        now: Time,
    ) -> Result<Switch, StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let switched = switch(&mut tx, workspace, claim, generation, skipped, now).await?;
            if switched != Switch::Behind {
                tx.commit().await?;
                self.term_counts.forget(workspace);
            }
            Ok(switched)
        };
        work.await.map_err(during("switch to a generation"))
    }

    async fn finish_reindex(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("finish a reindexing"))
    }
}
