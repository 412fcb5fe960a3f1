//! Batches over HTTP: begin one, look at it, pause, resume, cancel, try again.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use chrono::TimeDelta;
use futures::{StreamExt, stream};
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::{BatchId, WorkspaceId};
use quaestor_core::model::{Batch, BatchItem, BatchState, BatchSummary, Caller, JobState, Page};
use quaestor_core::ports::store::{
    CancelledFiles, NewBatch, Replay, ReplayReport, Retried, Steer, Steered, StoreError,
};
use serde::Serialize;
use tracing::Instrument;

use super::idempotency;
use crate::admission::admit_upload;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body};
use crate::jobs::{Accepted, remember, replay, tell_replayed, visible_to};
use crate::problem::{ApiError, Code, chain};

/// Long enough for people, short enough for a list.
const NAME_MAX_CHARS: usize = 200;
/// The most files that a batch can be told to expect.
const MOST_FILES: i64 = 10_000_000;
/// Files that go on after a pause begin so far from each other: faster than they can be
/// read, and slow enough for the relay to publish what else there is.
const RESUMED_EVERY: TimeDelta = TimeDelta::milliseconds(2);
/// Files that are tried again begin so far from each other: what they fail by may be busy.
const RETRIED_EVERY: TimeDelta = TimeDelta::milliseconds(10);
/// Files that one transaction cancels or tries again.
const AT_ONCE: u32 = 200;
/// Files that one request tries again.
const RETRIED_AT_MOST: u64 = 10_000;
/// Ends that are told at once.
const TOLD_AT_ONCE: usize = 16;

/// A batch with what became of it, once its last file has ended.
#[derive(Debug, Serialize)]
pub(super) struct ShownBatch {
    #[serde(flatten)]
    batch: Batch,
    /// Null until every file has ended.
    summary: Option<BatchSummary>,
}

/// A batch whose failed files were tried again.
#[derive(Debug, Serialize)]
pub(super) struct RetriedBatch {
    #[serde(flatten)]
    batch: Batch,
    /// How many of its files are queued again.
    retried: u64,
    /// How many have failed and are not: more than one request tries.
    remaining: u64,
}

pub(super) async fn create(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency::key(request.headers())?;
    let mut fields = json_body(&app, request).await?;
    let name = fields.optional_text("name", NAME_MAX_CHARS)?;
    let total = fields.optional_integer("total", 0..=MOST_FILES)?;
    fields.finish()?;
    let expected = total.and_then(|total| u64::try_from(total).ok());
    let asked = serde_json::json!([&name, expected]).to_string();
    let key = key.map(|key| remember(&app, &caller, key, &[b"batch", asked.as_bytes()]));
    if let Some(before) = replay::<Batch>(&app, &caller, key.as_ref()).await? {
        return Ok(idempotency::respond(StatusCode::CREATED, before));
    }
    let id: BatchId = app.front.ids.next();
    let batch = NewBatch {
        id,
        principal_id: caller.principal_id,
        name,
        expected,
        created_at: app.front.clock.now(),
        idempotency: key.clone(),
    };
    let audit = app.audit(&caller, "batch.create", id);
    let accepted = match app.front.store.create_batch(caller.workspace_id, batch, audit).await {
        Ok(answer) => Accepted { answer, replayed: false },
        // Another request with this key was faster: its answer is the answer.
        Err(error @ StoreError::Conflict { .. }) => {
            replay(&app, &caller, key.as_ref()).await?.ok_or_else(|| ApiError::from(error))?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(idempotency::respond(StatusCode::CREATED, accepted))
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Batch>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    let now = app.front.clock.now();
    let store = &app.front.store;
    Ok(Json(store.list_batches(caller.workspace_id, visible_to(&caller), page, now).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
) -> Result<Json<ShownBatch>, ApiError> {
    let batch = existing(&app, &caller, id).await?;
    let summary = match batch.state.has_ended() {
        true => Some(app.front.store.batch_summary(caller.workspace_id, &batch).await?),
        false => None,
    };
    Ok(Json(ShownBatch { batch, summary }))
}

pub(super) async fn items(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
    uri: Uri,
) -> Result<Json<Page<BatchItem>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let state = params
        .parsed::<JobState>("state", "queued, running, waiting, done, failed, cancelled or dead")?;
    let page = params.page()?;
    params.finish()?;
    let (store, workspace) = (&app.front.store, caller.workspace_id);
    let found = store.batch_items(workspace, visible_to(&caller), id, state, page).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("batch", id))
}

/// A batch that the caller sees, or the answer that it is not there.
pub(crate) async fn existing(app: &App, caller: &Caller, id: BatchId) -> Result<Batch, ApiError> {
    let now = app.front.clock.now();
    let found = app.front.store.batch(caller.workspace_id, visible_to(caller), id, now).await?;
    found.ok_or_else(|| ApiError::missing("batch", id))
}

/// Whether files may be added to a batch.
pub(crate) async fn takes_files(app: &App, caller: &Caller, id: BatchId) -> Result<(), ApiError> {
    let batch = existing(app, caller, id).await?;
    if batch.open {
        return Ok(());
    }
    let detail = "the batch takes no more files; begin another one with `POST /api/batches`";
    Err(ApiError::field(Code::BatchClosed, "batch_id", detail))
}

async fn steer(
    app: &App,
    caller: &Caller,
    id: BatchId,
    steer: Steer,
    action: &'static str,
) -> Result<Batch, ApiError> {
    let audit = app.audit(caller, action, id);
    let now = app.front.clock.now();
    let (workspace, principal) = (caller.workspace_id, visible_to(caller));
    let steered = app.front.store.steer_batch(workspace, principal, id, steer, now, audit).await?;
    match steered {
        None => Err(ApiError::missing("batch", id)),
        Some(Steered::Changed(batch) | Steered::Unchanged(batch)) => Ok(batch),
        Some(Steered::Refused(state)) => Err(refused(state)),
    }
}

fn refused(state: BatchState) -> ApiError {
    let detail = match state {
        BatchState::Cancelled | BatchState::Cancelling => {
            "the batch was cancelled; upload the files again in another one"
        }
        _ => "every file of the batch has ended, so there is nothing to pause or to cancel",
    };
    ApiError::new(Code::BatchEnded, detail)
}

pub(super) async fn close(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
) -> Result<Json<Batch>, ApiError> {
    steer(&app, &caller, id, Steer::Close, "batch.close").await.map(Json)
}

pub(super) async fn pause(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
) -> Result<Json<Batch>, ApiError> {
    steer(&app, &caller, id, Steer::Pause, "batch.pause").await.map(Json)
}

pub(super) async fn resume(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
) -> Result<Json<Batch>, ApiError> {
    let time = documents_time(&app);
    let wish = Steer::Resume { every: RESUMED_EVERY, time };
    let batch = steer(&app, &caller, id, wish, "batch.resume").await?;
    app.front.wake.notify();
    Ok(Json(batch))
}

fn documents_time(app: &App) -> TimeDelta {
    TimeDelta::from_std(app.front.settings.ingest_deadline).unwrap_or(TimeDelta::hours(24))
}

/// Files end one part after another: the answer comes with the first, the rest goes on. What
/// this process does not get to is done by the sweep of the workers.
pub(super) async fn cancel(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
) -> Result<Json<Batch>, ApiError> {
    let batch = steer(&app, &caller, id, Steer::Cancel, "batch.cancel").await?;
    if batch.state != BatchState::Cancelling {
        return Ok(Json(batch));
    }
    let more = cancel_some(&app, &caller, id).await?;
    let (worker, workspace) = (app.clone(), caller.workspace_id);
    if more {
        let rest = async move {
            loop {
                match cancel_some(&worker, &caller, id).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(batch.id = %id, "a batch is cancelled later: {}", error.detail);
                        return;
                    }
                }
            }
        };
        app.tasks.spawn(rest.in_current_span());
    }
    let now = app.front.clock.now();
    let after = app.front.store.batch(workspace, None, id, now).await?;
    after.map(Json).ok_or_else(|| ApiError::missing("batch", id))
}

/// Cancels the next files and tells of it. Returns whether there are more.
async fn cancel_some(app: &App, caller: &Caller, id: BatchId) -> Result<bool, ApiError> {
    let (workspace, now) = (caller.workspace_id, app.front.clock.now());
    failpoint::store("batch.before_cancel")?;
    let store = &app.front.store;
    let cancelled = store.cancel_batch_files(workspace, id, AT_ONCE, now).await?;
    let CancelledFiles { ended, asked, more } = cancelled;
    let nothing = ended.is_empty() && asked.is_empty();
    stream::iter(ended)
        .for_each_concurrent(TOLD_AT_ONCE, |(job, attempt)| async move {
            // No worker will write the end of this job, and no claim can take the number
            // after its last attempt.
            app.append_event(caller, job, attempt + 1, Event::Cancelled).await;
        })
        .await;
    for job in asked {
        ask_to_stop(app, workspace, job).await;
    }
    // One look more, which finds nothing, ends the batch where all its files have ended.
    Ok(more || !nothing)
}

async fn ask_to_stop(app: &App, workspace: WorkspaceId, job: quaestor_core::ids::JobId) {
    if let Err(error) = app.front.events.request_cancel(workspace, job).await {
        // The worker finds the wish at its next heartbeat.
        tracing::warn!(job.id = %job, error = %chain(&error), "a cancel will take longer");
    }
}

pub(super) async fn retry_failed(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<BatchId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // The same request twice tries nothing twice: what is queued again has not failed.
    idempotency::key(&headers)?;
    admit_upload(&app, caller.workspace_id).await?;
    app.admit_embedding(&caller).await?;
    let (mut retried, mut remaining) = (0, 0);
    let mut begin_at = app.front.clock.now();
    while retried < RETRIED_AT_MOST {
        let report = retry_some(&app, &caller, id, begin_at).await?;
        tell_replayed(&app, &caller, &report).await;
        retried += report.replayed;
        remaining = report.remaining;
        begin_at = report.next_begin_at.unwrap_or(begin_at);
        if report.remaining == 0 || report.replayed == 0 {
            break;
        }
    }
    let batch = existing(&app, &caller, id).await?;
    let remaining = if remaining == 0 { 0 } else { batch.failed };
    let answer = RetriedBatch { batch, retried, remaining };
    Ok(idempotency::respond(StatusCode::ACCEPTED, Accepted { answer, replayed: false }))
}

async fn retry_some(
    app: &App,
    caller: &Caller,
    id: BatchId,
    begin_at: quaestor_core::clock::Time,
) -> Result<ReplayReport, ApiError> {
    let replay = Replay {
        ids: app.front.ids.clone(),
        now: app.front.clock.now(),
        begin_at,
        every: RETRIED_EVERY,
        chat_time: documents_time(app),
        documents_time: documents_time(app),
        audit: app.audit(caller, "batch.retry", id),
        idempotency: None,
    };
    let (workspace, principal) = (caller.workspace_id, visible_to(caller));
    match app.front.store.retry_batch(workspace, principal, id, AT_ONCE, replay).await? {
        None => Err(ApiError::missing("batch", id)),
        Some(Retried::Retried(report)) => Ok(report),
        Some(Retried::Refused(state)) => Err(refused(state)),
    }
}
