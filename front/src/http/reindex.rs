//! Reindexing over HTTP: a collection's next index generation is estimated, begun, paused,
//! cancelled, and gone back from.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quaestor_core::failpoint;
use quaestor_core::ids::{CollectionId, JobId};
use quaestor_core::jobs::{JobKind, NewJob, ReindexPayload, Step};
use quaestor_core::model::{Caller, Chunking, Page, Reason};
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::store::{
    GenerationStatus, NewReindex, ReindexAccepted, ReindexOutcome, ReindexSize, StoreError,
};
use serde::Serialize;
use serde_json::Value;

use super::collections::existing;
use super::idempotency;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Fields, PathId, json_body, traceparent};
use crate::jobs::{Accepted, ShownJob, cancel_job, remember, replay};
use crate::problem::{ApiError, Code};

/// The longest name of a model.
const MODEL_CHARS: usize = 200;
/// The slowest and the fastest rate that says something.
const MOST_PER_MINUTE: i64 = 1_000_000;

/// What is to be built.
struct Wanted<'a> {
    embedder: &'a dyn Embedder,
    /// None where the passages stay as they are.
    chunking: Option<Chunking>,
    passages_per_minute: Option<u32>,
}

/// Which model, and how fast. `fields` are checked to the last.
fn wanted<'a>(app: &'a App, mut fields: Fields) -> Result<Wanted<'a>, ApiError> {
    let model = fields.optional_text("embedding_model", MODEL_CHARS)?;
    let rate = fields.optional_integer("passages_per_minute", 1..=MOST_PER_MINUTE)?;
    let chunking = fields.optional_object("chunking")?.map(sizes).transpose()?;
    fields.finish()?;
    let embedders = app.front.searcher.embedders();
    let embedder = match &model {
        Some(model) => embedders.named(model),
        None => embedders.first(),
    };
    let Some(embedder) = embedder else {
        let field = "embedding_model";
        return Err(match embedders.first() {
            None => ApiError::field(
                Code::InvalidField,
                field,
                "no embedding model is configured: name one in `models.embed`",
            ),
            Some(_) => ApiError::invalid(
                field,
                &format!(
                    "one of the models that are configured, which are {}; others are named in \
                     `models.embed_also`",
                    embedders.names()
                ),
            ),
        });
    };
    let (length, most) = (embedder.dimensions(), app.front.store.most_dimensions());
    if length > most {
        let sentence = format!(
            "a model whose vectors the store can hold: those of {} have {length} numbers, and \
             {most} is the most",
            embedder.model()
        );
        return Err(ApiError::invalid("embedding_model", &sentence));
    }
    let passages_per_minute = rate.and_then(|rate| u32::try_from(rate).ok());
    Ok(Wanted { embedder: &**embedder, chunking, passages_per_minute })
}

/// The sizes that passages are to be cut by.
fn sizes(mut fields: Fields) -> Result<Chunking, ApiError> {
    let targets = Chunking::TARGETS;
    let range = i64::from(*targets.start())..=i64::from(*targets.end());
    let target = fields.integer("target_chars", range)?;
    let target = u32::try_from(target).unwrap_or(*targets.end());
    let usual = Chunking::aiming_at(target);
    let range = i64::from(target)..=i64::from(Chunking::MOST_CHARS);
    let max = fields.optional_integer("max_chars", range)?;
    fields.finish()?;
    let max_chars = max.and_then(|max| u32::try_from(max).ok()).unwrap_or(usual.max_chars);
    Ok(Chunking { target_chars: target, max_chars })
}

/// What a reindexing would take.
#[derive(Serialize)]
pub(crate) struct Estimate {
    embedding_model: String,
    dimensions: u32,
    documents: u64,
    /// Reckoned from the lengths of those of now, where they are cut anew.
    passages: u64,
    chunking: Chunking,
    tokens: u64,
    cost_micros: u64,
    /// Null where this model has made no vectors here yet, and no rate is given.
    seconds: Option<u64>,
}

pub(super) async fn estimate(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    request: Request,
) -> Result<Json<Estimate>, ApiError> {
    let fields = json_body(&app, request).await?;
    existing(&app, caller.workspace_id, id).await?;
    let Wanted { embedder, chunking, passages_per_minute } = wanted(&app, fields)?;
    let store = &app.front.store;
    let size = store.reindex_size(caller.workspace_id, id, embedder.model()).await?;
    let size = size.ok_or_else(|| ApiError::missing("collection", id))?;
    let count = chunking.map_or(size.passages, |sizes| reckoned(&size, sizes));
    let passages = count as f64;
    let by_rate = passages_per_minute.map(|rate| passages * 60.0 / f64::from(rate));
    let by_model = size.us_per_passage.map(|us| passages * us / 1e6);
    let seconds = match (by_rate, by_model) {
        (Some(rate), Some(model)) => Some(rate.max(model)),
        (one, other) => one.or(other),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of work")]
    let seconds = seconds.map(|seconds| seconds.ceil() as u64);
    Ok(Json(Estimate {
        embedding_model: embedder.model().to_owned(),
        dimensions: embedder.dimensions(),
        documents: size.documents,
        passages: count,
        chunking: chunking.unwrap_or(size.chunking),
        tokens: size.tokens,
        cost_micros: embedder.cost_micros(size.tokens),
        seconds,
    }))
}

/// About how many passages there will be. What is shorter than the size that is aimed at was cut
/// by its page, its section or its table, and is cut there again.
fn reckoned(size: &ReindexSize, sizes: Chunking) -> u64 {
    let (now, then) = (f64::from(size.chunking.target_chars), f64::from(sizes.target_chars));
    let count = size.lengths.iter().map(|(hundreds, passages)| {
        let length = f64::from(*hundreds) * 100.0 - 50.0;
        let becomes = if then <= now {
            (length / then).max(1.0)
        } else if length >= now / 2.0 {
            now / then
        } else {
            1.0
        };
        *passages as f64 * becomes
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = count.sum::<f64>().ceil() as u64;
    count
}

fn new_job(app: &App, caller: &Caller, payload: Value, traceparent: Option<String>) -> NewJob {
    let front = &app.front;
    NewJob {
        id: front.ids.next(),
        kind: JobKind::Collections,
        step: Step::CollectionsReindex,
        principal_id: caller.principal_id,
        payload,
        batch_id: None,
        outbox_id: front.ids.next(),
        created_at: front.clock.now(),
        held_until: None,
        deadline: None,
        traceparent,
    }
}

pub(super) async fn begin(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency::key(&headers)?;
    let traceparent = traceparent(&headers);
    let fields = json_body(&app, request).await?;
    existing(&app, caller.workspace_id, id).await?;
    let Wanted { embedder, chunking, passages_per_minute } = wanted(&app, fields)?;
    let (model, rate) = (embedder.model(), passages_per_minute.unwrap_or(0).to_be_bytes());
    let collection = id.uuid();
    let cut = chunking.map_or([0, 0], |sizes| [sizes.target_chars, sizes.max_chars]);
    let cut = cut.map(u32::to_be_bytes).concat();
    let mut parts: Vec<&[u8]> = vec![b"reindex", collection.as_bytes(), model.as_bytes(), &rate];
    if chunking.is_some() {
        parts.push(&cut);
    }
    let key = key.map(|key| remember(&app, &caller, key, &parts));
    let front = &app.front;
    let generation_id = front.ids.next();
    let payload = ReindexPayload { collection_id: id, generation_id };
    let payload = serde_json::to_value(payload).map_err(|error| ApiError::internal(&error))?;
    let reindex = NewReindex {
        collection_id: id,
        generation_id,
        model: model.to_owned(),
        dimensions: embedder.dimensions(),
        chunking,
        passages_per_minute,
        job: new_job(&app, &caller, payload, traceparent),
        idempotency: key.clone(),
        audit: app.audit(&caller, "collection.reindex", id),
    };
    failpoint::hit("front.before_accept");
    let accepted = match front.store.begin_reindex(caller.workspace_id, reindex).await {
        Ok(outcome) => Accepted { answer: accepted(&app, outcome, id)?, replayed: false },
        // Another request with this key was faster: its answer is the answer.
        Err(error @ StoreError::Conflict { .. }) => {
            replay(&app, &caller, key.as_ref()).await?.ok_or_else(|| ApiError::from(error))?
        }
        Err(error) => return Err(error.into()),
    };
    failpoint::hit("front.after_accept");
    Ok(idempotency::respond(StatusCode::ACCEPTED, accepted))
}

/// What was accepted, with the relay woken; else the problem.
fn accepted<T>(app: &App, outcome: ReindexOutcome<T>, id: CollectionId) -> Result<T, ApiError> {
    match outcome {
        ReindexOutcome::Accepted(answer) => {
            app.front.wake.notify();
            Ok(answer)
        }
        ReindexOutcome::NoCollection => Err(ApiError::missing("collection", id)),
        ReindexOutcome::UnderWay(job) => Err(ApiError::new(
            Code::ReindexUnderWay,
            format!(
                "job {job} is building another index generation of this collection: wait until it \
                 has ended, or cancel it"
            ),
        )),
        ReindexOutcome::NoGeneration => {
            Err(ApiError::new(Code::NoGeneration, "the collection has no such index generation"))
        }
        ReindexOutcome::FormerCut => Err(ApiError::new(
            Code::FormerInTheWay,
            "the former index generation is kept for a rollback, and its passages are cut otherwise \
             than those that are searched: drop it first (`DELETE \
             /api/collections/{id}/reindex/former`), since no third cut is kept beside the two",
        )),
    }
}

pub(super) async fn generations(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<Json<Page<GenerationStatus>>, ApiError> {
    let items = app.front.store.collection_generations(caller.workspace_id, id).await?;
    let items = items.ok_or_else(|| ApiError::missing("collection", id))?;
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn pause(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<Json<ShownJob>, ApiError> {
    let audit = app.audit(&caller, "collection.reindex_pause", id);
    let (store, now) = (&app.front.store, app.front.clock.now());
    let outcome = store.pause_reindex(caller.workspace_id, id, true, now, audit).await?;
    let job = building(outcome, id)?;
    // One that waits for the sake of its rate looks again, and then waits for this.
    wake(&app, &caller, job, Reason::ReindexPaced).await?;
    building_job(&app, &caller, job, id).await
}

pub(super) async fn resume(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<Json<ShownJob>, ApiError> {
    let audit = app.audit(&caller, "collection.reindex_resume", id);
    let (store, now) = (&app.front.store, app.front.clock.now());
    let outcome = store.pause_reindex(caller.workspace_id, id, false, now, audit).await?;
    let job = building(outcome, id)?;
    wake(&app, &caller, job, Reason::ReindexPaused).await?;
    building_job(&app, &caller, job, id).await
}

/// Has a job look again that waits for this reason.
async fn wake(app: &App, caller: &Caller, job: JobId, reason: Reason) -> Result<(), ApiError> {
    let (store, now) = (&app.front.store, app.front.clock.now());
    store.bring_forward(caller.workspace_id, &[job], reason.as_str(), now).await?;
    app.front.wake.notify();
    Ok(())
}

pub(super) async fn cancel(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<Json<ShownJob>, ApiError> {
    let all = app.front.store.collection_generations(caller.workspace_id, id).await?;
    let all = all.ok_or_else(|| ApiError::missing("collection", id))?;
    let job = all.iter().find(|one| one.is_building()).and_then(|one| one.job_id);
    let job = job.ok_or_else(|| nothing_built(id))?;
    cancel_job(&app, &caller, job).await.map(|job| Json(job.into()))
}

fn nothing_built(id: CollectionId) -> ApiError {
    ApiError::new(
        Code::NoGeneration,
        format!("no index generation of the collection {id} is being built"),
    )
}

fn building(outcome: ReindexOutcome<JobId>, id: CollectionId) -> Result<JobId, ApiError> {
    match outcome {
        ReindexOutcome::Accepted(job) | ReindexOutcome::UnderWay(job) => Ok(job),
        ReindexOutcome::NoCollection => Err(ApiError::missing("collection", id)),
        ReindexOutcome::NoGeneration | ReindexOutcome::FormerCut => Err(nothing_built(id)),
    }
}

async fn building_job(
    app: &App,
    caller: &Caller,
    job: JobId,
    id: CollectionId,
) -> Result<Json<ShownJob>, ApiError> {
    let found = app.front.store.job(caller.workspace_id, None, job).await?;
    found.map(|job| Json(job.into())).ok_or_else(|| nothing_built(id))
}

pub(super) async fn roll_back(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<ReindexAccepted>), ApiError> {
    let audit = app.audit(&caller, "collection.reindex_rollback", id);
    let traceparent = traceparent(&headers);
    // The store writes the payload: it alone knows the former generation.
    let job = new_job(&app, &caller, Value::Null, traceparent);
    let outcome = app.front.store.roll_back(caller.workspace_id, id, job, audit).await?;
    let answer = match outcome {
        ReindexOutcome::NoGeneration => Err(ApiError::new(
            Code::NoGeneration,
            "the collection has no former index generation to go back to",
        )),
        outcome => accepted(&app, outcome, id),
    }?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

pub(super) async fn drop_former(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "collection.reindex_drop", id);
    match app.front.store.drop_former(caller.workspace_id, id, audit).await? {
        ReindexOutcome::Accepted(()) => Ok(StatusCode::NO_CONTENT),
        outcome => accepted(&app, outcome, id).map(|()| StatusCode::NO_CONTENT),
    }
}
