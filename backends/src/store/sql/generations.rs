//! Index generations: built beside the one that is searched, switched to, gone back from.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, DocumentId, GenerationId, JobId, WorkspaceId};
use quaestor_core::jobs::{NewJob, ReindexPayload};
use quaestor_core::model::{Generation, GenerationState, JobState};
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{
    Claim, EmbeddedChunk, GenerationStatus, Generations, NewAuditEntry, NewReindex, PassageCursor,
    PassagesToIndex, ReindexAccepted, ReindexOutcome, ReindexSize, ReindexSubject, StoreError,
    Switch, TextHash,
};
use sqlx::{AssertSqlSafe, Row};

use super::connections::Commit;
use super::dialect::{DbConnection, DbRow, DbStore, for_update};
use super::ending::{self, Ending};
use super::fault::{Fault, corrupt, during};
use super::{audit, claims, embed, idempotency, money, rows, search, uploads};

macro_rules! generation_columns {
    () => {
        "g.id, g.collection_id, g.model, g.dimensions, g.state, g.created_at"
    };
}

/// Whether a collection is there; it is locked until the transaction ends, so that of two
/// wishes that concern its generations one is granted first.
async fn lock_collection(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<bool, Fault> {
    let found = sqlx::query(concat!(
        "SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// The generation of a collection in this state, and its job.
async fn in_state(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    state: GenerationState,
) -> Result<Option<(GenerationId, Option<JobId>)>, Fault> {
    let found = sqlx::query(
        "SELECT id, job_id FROM generations
         WHERE workspace_id = $1 AND collection_id = $2 AND state = $3",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(state.as_str())
    .fetch_optional(tx)
    .await?;
    let of = |row: DbRow| {
        Ok((rows::id(&row, "id")?, row.try_get::<Option<uuid::Uuid>, _>("job_id")?.map(JobId)))
    };
    found.map(of).transpose()
}

/// Whether a job has not ended.
async fn is_unfinished(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
) -> Result<bool, Fault> {
    let found = sqlx::query("SELECT state FROM jobs WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(job.uuid())
        .fetch_optional(tx)
        .await?;
    let Some(row) = found else { return Ok(false) };
    Ok(!rows::named::<JobState>(&row, "state")?.is_terminal())
}

async fn set_state(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    state: GenerationState,
) -> Result<(), Fault> {
    sqlx::query("UPDATE generations SET state = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(generation.uuid())
        .bind(state.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes a generation the current one: the one before is the former, and the former dropped.
async fn make_current(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    generation: GenerationId,
    now: Time,
) -> Result<(), Fault> {
    if let Some((former, _)) = in_state(tx, workspace, collection, GenerationState::Former).await?
        && former != generation
    {
        set_state(tx, workspace, former, GenerationState::Dropped).await?;
    }
    let current = in_state(tx, workspace, collection, GenerationState::Current).await?;
    // First out of the way: there is one of each at any time.
    set_state(tx, workspace, generation, GenerationState::Building).await?;
    if let Some((current, _)) = current {
        set_state(tx, workspace, current, GenerationState::Former).await?;
    }
    sqlx::query(
        "UPDATE generations SET state = 'current', switched_at = $3, paused_at = NULL
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .bind(rows::micros(now))
    .execute(tx)
    .await?;
    Ok(())
}

/// What becomes of a generation whose job ends otherwise than well: one that nobody wants any
/// more is dropped, one that could not be built can be gone on with.
pub(super) async fn end(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    generation: uuid::Uuid,
    ending: &Ending,
) -> Result<(), Fault> {
    if !matches!(ending, Ending::Cancelled) {
        return Ok(());
    }
    sqlx::query(
        "UPDATE generations SET state = 'dropped'
         WHERE workspace_id = $1 AND id = $2 AND state = 'building'",
    )
    .bind(workspace.uuid())
    .bind(generation)
    .execute(tx)
    .await?;
    Ok(())
}

/// How many vectors a generation has.
async fn count_vectors(connection: &mut DbConnection, key: i64) -> Result<u64, Fault> {
    let table = search::vectors_table(key);
    let counted = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS vectors FROM {table} WHERE generation_key = $1"
    )))
    .bind(key)
    .fetch_one(connection)
    .await?;
    rows::unsigned(&counted, "vectors")
}

/// The documents, passages and tokens of a collection that are searched.
async fn searched(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<(u64, u64), Fault> {
    let row = sqlx::query(
        "SELECT count(*) AS documents, CAST(coalesce(sum(v.chunks), 0) AS BIGINT) AS passages
         FROM documents d JOIN versions v ON v.key = d.current_key
         WHERE d.workspace_id = $1 AND d.collection_id = $2",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_one(connection)
    .await?;
    Ok((rows::unsigned(&row, "documents")?, rows::unsigned(&row, "passages")?))
}

async fn key_of(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
) -> Result<Option<(i64, CollectionId)>, Fault> {
    let found = sqlx::query(
        "SELECT key, collection_id FROM generations
         WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(connection)
    .await?;
    found.map(|row| Ok((row.try_get("key")?, rows::id(&row, "collection_id")?))).transpose()
}

async fn begin(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    reindex: &NewReindex,
) -> Result<ReindexOutcome<ReindexAccepted>, Fault> {
    if let Some(key) = &reindex.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    let collection = reindex.collection_id;
    if !lock_collection(tx, workspace, collection).await? {
        return Ok(ReindexOutcome::NoCollection);
    }
    let building = in_state(tx, workspace, collection, GenerationState::Building).await?;
    if let Some((before, job)) = building {
        if let Some(job) = job
            && is_unfinished(tx, workspace, job).await?
        {
            return Ok(ReindexOutcome::UnderWay(job));
        }
        set_state(tx, workspace, before, GenerationState::Dropped).await?;
    }
    sqlx::query(
        "INSERT INTO generations (id, workspace_id, collection_id, model, dimensions, state,
             job_id, passages_per_minute, created_at)
         VALUES ($1, $2, $3, $4, $5, 'building', $6, $7, $8)",
    )
    .bind(reindex.generation_id.uuid())
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(reindex.model.clone())
    .bind(i64::from(reindex.dimensions))
    .bind(reindex.job.id.uuid())
    .bind(reindex.passages_per_minute.map(i64::from))
    .bind(rows::micros(reindex.job.created_at))
    .execute(&mut *tx)
    .await?;
    let (job, subject) = (&reindex.job, reindex.generation_id.uuid());
    uploads::add_job(tx, workspace, job, &job.payload, subject, None).await?;
    audit::record(tx, workspace, &reindex.audit).await?;
    let accepted = ReindexAccepted { job_id: reindex.job.id, generation_id: reindex.generation_id };
    if let Some(key) = &reindex.idempotency {
        idempotency::remember(tx, workspace, key, &accepted).await?;
    }
    Ok(ReindexOutcome::Accepted(accepted))
}

async fn status(
    connection: &mut DbConnection,
    row: &DbRow,
    total: u64,
) -> Result<GenerationStatus, Fault> {
    Ok(GenerationStatus {
        generation: rows::generation(row)?,
        passages: count_vectors(connection, row.try_get("key")?).await?,
        total,
        paused_at: rows::optional_time(row, "paused_at")?,
        passages_per_minute: rows::optional_number(row, "passages_per_minute")?,
        job_id: row.try_get::<Option<uuid::Uuid>, _>("job_id")?.map(JobId),
        switched_at: rows::optional_time(row, "switched_at")?,
    })
}

/// How many passages are looked at for one call at least: most of them have their vector
/// already, where a reindexing is taken up again.
const LOOKED_AT: i64 = 2_048;

/// Whole documents, as many as hold the passages that are looked at, and of them the passages
/// behind the cursor that lack a vector.
async fn lacking(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    (generation_key, collection): (i64, CollectionId),
    after: Option<PassageCursor>,
    limit: u32,
) -> Result<PassagesToIndex, Fault> {
    let vectors = search::vectors_table(generation_key);
    let (document, ordinal) =
        after.map_or((uuid::Uuid::nil(), -1), |after| (after.document_id.uuid(), after.ordinal));
    let looked_at = LOOKED_AT.max(i64::from(limit));
    let window = format!(
        "SELECT w.id, w.key, w.title FROM (
             SELECT d.id, v.key, v.title,
                 sum(v.chunks + 1) OVER (ORDER BY d.id) - v.chunks - 1 AS before
             FROM documents d JOIN versions v ON v.key = d.current_key
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
             AND current_key IS NOT NULL LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(document_id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(more.map(|_| PassageCursor { document_id, ordinal: i64::MAX }))
}

async fn switch(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    generation: GenerationId,
    skipped: u64,
    now: Time,
) -> Result<Switch, Fault> {
    claims::hold(tx, workspace, claim).await?;
    let found = sqlx::query(
        "SELECT key, collection_id FROM generations WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = found else { return Err(StoreError::Fenced.into()) };
    let (key, collection): (i64, CollectionId) =
        (row.try_get("key")?, rows::id(&row, "collection_id")?);
    lock_collection(tx, workspace, collection).await?;
    let state = sqlx::query(concat!(
        "SELECT state, skipped FROM generations WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_one(&mut *tx)
    .await?;
    match rows::named::<GenerationState>(&state, "state")? {
        GenerationState::Building => {}
        GenerationState::Current | GenerationState::Former => {
            ending::end(tx, workspace, claim.job_id, &Ending::Done, now).await?;
            return Ok(Switch::Done);
        }
        GenerationState::Dropped => return Err(StoreError::Fenced.into()),
    }
    if rows::unsigned(&state, "skipped")? != skipped {
        return Ok(Switch::Behind);
    }
    if search::index_missing(tx, key).await? {
        sqlx::query(
            "UPDATE generations SET filled_at = coalesce(filled_at, $3)
             WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace.uuid())
        .bind(generation.uuid())
        .bind(rows::micros(now))
        .execute(tx)
        .await?;
        return Ok(Switch::IndexMissing);
    }
    make_current(tx, workspace, collection, generation, now).await?;
    ending::end(tx, workspace, claim.job_id, &Ending::Done, now).await?;
    Ok(Switch::Done)
}

async fn go_back(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    job: &NewJob,
    audit: &NewAuditEntry,
) -> Result<ReindexOutcome<ReindexAccepted>, Fault> {
    if !lock_collection(tx, workspace, collection).await? {
        return Ok(ReindexOutcome::NoCollection);
    }
    let former = in_state(tx, workspace, collection, GenerationState::Former).await?;
    let Some((former, _)) = former else { return Ok(ReindexOutcome::NoGeneration) };
    // Two that are built at once would have the same state for a moment.
    let building = in_state(tx, workspace, collection, GenerationState::Building).await?;
    if let Some((building, of)) = building {
        if let Some(of) = of
            && is_unfinished(tx, workspace, of).await?
        {
            return Ok(ReindexOutcome::UnderWay(of));
        }
        set_state(tx, workspace, building, GenerationState::Dropped).await?;
    }
    make_current(tx, workspace, collection, former, job.created_at).await?;
    sqlx::query("UPDATE generations SET job_id = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(former.uuid())
        .bind(job.id.uuid())
        .execute(&mut *tx)
        .await?;
    let payload = ReindexPayload { collection_id: collection, generation_id: former };
    let payload = serde_json::to_value(&payload).map_err(|error| corrupt("payload", error))?;
    uploads::add_job(tx, workspace, job, &payload, former.uuid(), None).await?;
    audit::record(tx, workspace, audit).await?;
    Ok(ReindexOutcome::Accepted(ReindexAccepted { job_id: job.id, generation_id: former }))
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
            let (documents, passages) = searched(&mut reader, workspace, collection).await?;
            let tokens = sqlx::query(
                "SELECT CAST(coalesce(sum(c.tokens), 0) AS BIGINT) AS tokens
                 FROM documents d JOIN chunks c ON c.version_key = d.current_key
                 WHERE d.workspace_id = $1 AND d.collection_id = $2",
            )
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
            Ok(Some(ReindexSize { documents, passages, tokens, us_per_passage }))
        };
        work.await.map_err(during("measure a reindexing"))
    }

    async fn begin_reindex(
        &self,
        workspace: WorkspaceId,
        reindex: NewReindex,
    ) -> Result<ReindexOutcome<ReindexAccepted>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
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
            let (_, total) = searched(&mut reader, workspace, collection).await?;
            let found = sqlx::query(concat!(
                "SELECT g.key, g.paused_at, g.passages_per_minute, g.job_id, g.switched_at, ",
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
                all.push(status(&mut reader, row, total).await?);
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
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
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
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let outcome = go_back(&mut tx, workspace, collection, &job, &audit).await?;
            if matches!(outcome, ReindexOutcome::Accepted(_)) {
                tx.commit().await?;
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
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
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
            let Some((key, collection)) = key_of(&mut reader, workspace, generation).await? else {
                return Ok((0, 0));
            };
            let (_, total) = searched(&mut reader, workspace, collection).await?;
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
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
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
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
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
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let switched = switch(&mut tx, workspace, claim, generation, skipped, now).await?;
            if switched != Switch::Behind {
                tx.commit().await?;
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
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("finish a reindexing"))
    }
}
