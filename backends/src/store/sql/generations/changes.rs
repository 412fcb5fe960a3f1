//! What changes of a collection's generations: one is begun, switched to, gone back to, dropped.

use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, GenerationId, JobId, WorkspaceId};
use quaestor_core::jobs::{NewJob, ReindexPayload};
use quaestor_core::model::{Chunking, GenerationState, JobState};
use quaestor_core::ports::store::{
    Claim, NewAuditEntry, NewReindex, ReindexAccepted, ReindexOutcome, StoreError, Switch,
};
use sqlx::Row;

use super::super::dialect::{DbConnection, DbRow, for_update};
use super::super::ending::{self, Ending};
use super::super::fault::{Fault, corrupt};
use super::super::{audit, claims, idempotency, readings, rows, search, uploads};

/// Whether a collection is there; it is locked until the transaction ends, so that of two
/// wishes that concern its generations one is granted first.
pub(in super::super) async fn lock_collection(
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
pub(super) async fn in_state(
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
pub(super) async fn is_unfinished(
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

pub(super) async fn set_state(
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
pub(in super::super) async fn end(
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

/// A cut, with its sizes; none where they are the usual ones.
struct Cut {
    number: i64,
    chunking: Option<Chunking>,
}

/// The cut that a generation to be built goes by: that of the current one, or a new one of the
/// other parity. None where the former generation's readings stand there.
async fn next_cut(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
    chunking: Option<Chunking>,
) -> Result<Option<Cut>, Fault> {
    // Documents that come in just now are there before anybody looks for them.
    let current = sqlx::query(concat!(
        "SELECT cut, target_chars, max_chars FROM generations
         WHERE workspace_id = $1 AND collection_id = $2 AND state = 'current'",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let stands = match &current {
        Some(row) => Cut {
            number: row.try_get("cut")?,
            chunking: Some(readings::chunking(row)?).filter(|sizes| *sizes != Chunking::default()),
        },
        None => Cut { number: 0, chunking: None },
    };
    let Some(sizes) = chunking else { return Ok(Some(stands)) };
    let others = sqlx::query(
        "SELECT CAST(coalesce(max(cut), 0) AS BIGINT) AS newest,
             count(CASE WHEN state = 'former' AND cut <> $3 THEN 1 END) AS former
         FROM generations WHERE workspace_id = $1 AND collection_id = $2",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(stands.number)
    .fetch_one(tx)
    .await?;
    if others.try_get::<i64, _>("former")? > 0 {
        return Ok(None);
    }
    let newest = others.try_get::<i64, _>("newest")?.max(stands.number);
    let number = if (newest + 1 - stands.number) % 2 == 0 { newest + 2 } else { newest + 1 };
    Ok(Some(Cut { number, chunking: Some(sizes) }))
}

pub(super) async fn begin(
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
    let Some(cut) = next_cut(tx, workspace, collection, reindex.chunking).await? else {
        return Ok(ReindexOutcome::FormerCut);
    };
    sqlx::query(
        "INSERT INTO generations (id, workspace_id, collection_id, model, dimensions, state,
             job_id, passages_per_minute, created_at, cut, target_chars, max_chars)
         VALUES ($1, $2, $3, $4, $5, 'building', $6, $7, $8, $9, $10, $11)",
    )
    .bind(reindex.generation_id.uuid())
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .bind(reindex.model.clone())
    .bind(i64::from(reindex.dimensions))
    .bind(reindex.job.id.uuid())
    .bind(reindex.passages_per_minute.map(i64::from))
    .bind(rows::micros(reindex.job.created_at))
    .bind(cut.number)
    .bind(cut.chunking.map(|sizes| i64::from(sizes.target_chars)))
    .bind(cut.chunking.map(|sizes| i64::from(sizes.max_chars)))
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

pub(super) async fn switch(
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

pub(super) async fn go_back(
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
