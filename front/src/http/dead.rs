//! Dead letters over HTTP, for admins: what was given up, and another life for it.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::model::{Caller, Page};
use quaestor_core::ports::store::{
    DeadFilter, DeadGroup, DeadKind, DeadLetter, DeadWhich, DiscardReport, DiscardedLetter, Replay,
    ReplayReport, StoreError,
};
use uuid::Uuid;

use super::idempotency;
use crate::admission::admit_upload;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Fields, Params, PathId, json_body};
use crate::jobs::{Accepted, remember, replay, tell_replayed};
use crate::problem::{ApiError, Code};

/// Groups that are shown at most.
const MOST_GROUPS: u32 = 200;
/// Jobs of one replay, which is one transaction.
const MOST_AT_ONCE: i64 = 200;
const MOST_NAMED: usize = 200;
/// How many jobs begin in a minute, where a replay of many does not say.
const PER_MINUTE: i64 = 60;
const MOST_PER_MINUTE: i64 = 6_000;
/// The longest class of an error.
const CODE_CHARS: usize = 100;

const KINDS: &str = "chat, documents, collections or message";
const MOMENT: &str = "a time as RFC 3339 has it, such as 2026-01-31T09:00:00Z";

fn filter(params: &mut Params) -> Result<DeadFilter, ApiError> {
    Ok(DeadFilter {
        code: code(params)?,
        kind: params.parsed::<DeadKind>("kind", KINDS)?,
        since: params.parsed::<Time>("since", MOMENT)?,
    })
}

/// A class of error: names are of the program's own making.
fn code(params: &mut Params) -> Result<Option<String>, ApiError> {
    let code = params.text("code");
    let fits =
        |code: &String| (1..=CODE_CHARS).contains(&code.len()) && !code.contains(char::is_control);
    match code {
        Some(code) if !fits(&code) => {
            Err(ApiError::invalid("code", "a class of error, such as model_malformed"))
        }
        code => Ok(code),
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<DeadLetter>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let filter = filter(&mut params)?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(app.front.store.list_dead(caller.workspace_id, filter, page).await?))
}

pub(super) async fn groups(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<DeadGroup>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let filter = filter(&mut params)?;
    params.finish()?;
    let items = app.front.store.dead_groups(caller.workspace_id, filter, MOST_GROUPS).await?;
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<Uuid>,
) -> Result<Json<DeadLetter>, ApiError> {
    let found = app.front.store.dead_letter(caller.workspace_id, id).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("dead letter", id))
}

/// What became of one job.
pub(super) async fn replay_one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<Uuid>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = idempotency::key(&headers)?;
    let parts: [&[u8]; 2] = [b"dead.replay", id.as_bytes()];
    let now = app.front.clock.now();
    let asked = Asked {
        which: DeadWhich::Named(vec![id]),
        begin_at: now,
        every: TimeDelta::zero(),
        key: key.map(|key| remember(&app, &caller, key, &parts)),
    };
    let report = replay_dead(&app, &caller, asked).await?;
    let report = report.ok_or_else(|| ApiError::missing("dead letter", id))?;
    let Some(line) = report.answer.items.into_iter().next() else {
        return Err(ApiError::missing("dead letter", id));
    };
    let accepted = Accepted { answer: line, replayed: report.replayed };
    Ok(idempotency::respond(StatusCode::ACCEPTED, accepted))
}

/// What a request of many letters says of them.
struct Selection {
    which: DeadWhich,
    /// What was asked for: a request that is sent again says the same.
    asked: serde_json::Value,
}

/// Either the ids of letters, or a filter and how many of them.
fn selection(fields: &mut Fields) -> Result<Selection, ApiError> {
    let ids: Option<Vec<Uuid>> = fields.optional_ids("ids", MOST_NAMED)?;
    let code = fields.optional_text("code", CODE_CHARS)?;
    let kind = fields.optional_parsed::<DeadKind>("kind", KINDS)?;
    let since = fields.optional_parsed::<Time>("since", MOMENT)?;
    let limit = fields.optional_integer("limit", 1..=MOST_AT_ONCE)?.unwrap_or(MOST_AT_ONCE);
    let asked = serde_json::json!([&ids, &code, kind, since, limit]);
    let filter = DeadFilter { code, kind, since };
    let which = match ids {
        Some(_) if filter != DeadFilter::default() => {
            return Err(ApiError::invalid("ids", "either ids or a filter, not both"));
        }
        Some(ids) => DeadWhich::Named(ids),
        None => DeadWhich::Filtered { filter, limit: u32::try_from(limit).unwrap_or(1) },
    };
    Ok(Selection { which, asked })
}

fn one_is_missing() -> ApiError {
    ApiError::new(Code::NotFound, "there is no dead letter with one of these ids")
}

/// Many jobs, one after another in time.
pub(super) async fn replay_many(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency::key(request.headers())?;
    let mut fields = json_body(&app, request).await?;
    let Selection { which, asked } = selection(&mut fields)?;
    let rate = fields.optional_integer("rate_per_minute", 1..=MOST_PER_MINUTE)?;
    let begin_at = fields.optional_parsed::<Time>("begin_at", MOMENT)?;
    fields.finish()?;
    let now = app.front.clock.now();
    let asked = serde_json::json!([asked, rate, begin_at]).to_string();
    let parts: [&[u8]; 2] = [b"dead.replay_many", asked.as_bytes()];
    let asked = Asked {
        which,
        begin_at: begin_at.unwrap_or(now).max(now),
        every: TimeDelta::milliseconds(60_000 / rate.unwrap_or(PER_MINUTE)),
        key: key.map(|key| remember(&app, &caller, key, &parts)),
    };
    let report = replay_dead(&app, &caller, asked).await?.ok_or_else(one_is_missing)?;
    Ok(idempotency::respond(StatusCode::ACCEPTED, report))
}

struct Asked {
    which: DeadWhich,
    begin_at: Time,
    every: TimeDelta,
    key: Option<quaestor_core::ports::store::IdempotencyKey>,
}

/// None where a job that is named is missing.
async fn replay_dead(
    app: &App,
    caller: &Caller,
    Asked { which, begin_at, every, key }: Asked,
) -> Result<Option<Accepted<ReplayReport>>, ApiError> {
    if let Some(before) = replay(app, caller, key.as_ref()).await? {
        return Ok(Some(before));
    }
    admit_upload(app, caller.workspace_id).await?;
    let settings = &app.front.settings;
    let wanted = Replay {
        ids: app.front.ids.clone(),
        now: app.front.clock.now(),
        begin_at,
        every,
        chat_time: TimeDelta::from_std(settings.chat_deadline).unwrap_or(TimeDelta::minutes(10)),
        documents_time: TimeDelta::from_std(settings.ingest_deadline)
            .unwrap_or(TimeDelta::hours(24)),
        audit: app.audit(caller, "dead.replay", ""),
        idempotency: key.clone(),
    };
    match app.front.store.accept_replay(caller.workspace_id, which, wanted).await {
        Ok(None) => Ok(None),
        Ok(Some(answer)) => {
            tell_replayed(app, caller, &answer).await;
            Ok(Some(Accepted { answer, replayed: false }))
        }
        // Another request with this key was faster: its answer is the answer.
        Err(error @ StoreError::Conflict { .. }) => {
            match replay(app, caller, key.as_ref()).await? {
                Some(winner) => Ok(Some(winner)),
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn discard_one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<Uuid>,
) -> Result<Json<DiscardedLetter>, ApiError> {
    let report = discard(&app, &caller, DeadWhich::Named(vec![id])).await?;
    let line = report.and_then(|report| report.items.into_iter().next());
    line.map(Json).ok_or_else(|| ApiError::missing("dead letter", id))
}

/// Many letters.
pub(super) async fn discard_many(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Json<DiscardReport>, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let Selection { which, .. } = selection(&mut fields)?;
    fields.finish()?;
    discard(&app, &caller, which).await?.map(Json).ok_or_else(one_is_missing)
}

async fn discard(
    app: &App,
    caller: &Caller,
    which: DeadWhich,
) -> Result<Option<DiscardReport>, ApiError> {
    let audit = app.audit(caller, "dead.discard", "");
    Ok(app.front.store.delete_dead(caller.workspace_id, which, &app.front.ids, audit).await?)
}
