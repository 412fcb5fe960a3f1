//! Schedules over HTTP, for administrators of the installation: what is done by the clock, when
//! it is next due, how it went; paused, run now, and put at another time.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::clock::Time;
use quaestor_core::model::{Caller, Page, Schedule, ScheduleRun, Timing};
use quaestor_core::ports::store::{Asked, ScheduleChange};
use quaestor_core::schedule::{MOST_CHARS, Missed, Timetable};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, json_body};
use crate::problem::{ApiError, Code};

/// A run, with how long it took.
#[derive(Serialize)]
pub(super) struct ShownRun {
    #[serde(flatten)]
    run: ScheduleRun,
    /// Seconds from its beginning to its end, or until now.
    took_s: Option<f64>,
}

/// A schedule, with what follows from the time it is.
#[derive(Serialize)]
pub(super) struct ShownSchedule {
    name: String,
    task: String,
    #[serde(flatten)]
    timing: Timing,
    configured: Timing,
    enabled: bool,
    paused_at: Option<Time>,
    next_at: Option<Time>,
    late_s: f64,
    current: Option<ShownRun>,
    last: Option<ShownRun>,
}

fn shown_run(run: ScheduleRun, now: Time) -> ShownRun {
    let until = run.ended_at.unwrap_or(now);
    let took_s = run.began_at.map(|began| (until - began).as_seconds_f64().max(0.0));
    ShownRun { run, took_s }
}

fn shown(schedule: Schedule, now: Time) -> ShownSchedule {
    let late_s = schedule.lateness(now);
    let waits = schedule.enabled && schedule.paused_at.is_none();
    // A change is taken up by a worker some seconds later.
    let next_at = schedule.next_at.filter(|_| waits).or_else(|| {
        let timing = &schedule.timing;
        Timetable::new(&timing.cron, &timing.zone, now).ok().filter(|_| waits)?.after(now)
    });
    ShownSchedule {
        name: schedule.name,
        task: schedule.task,
        timing: schedule.timing,
        configured: schedule.configured,
        enabled: schedule.enabled,
        paused_at: schedule.paused_at,
        next_at,
        late_s,
        current: schedule.current.map(|run| shown_run(run, now)),
        last: schedule.last.map(|run| shown_run(run, now)),
    }
}

/// What is done by the clock is the installation's, not a workspace's, and a report of the check
/// names what is in all of them. Its administrators are those of the oldest workspace.
async fn of_installation(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if app.front.store.first_workspace().await? == Some(caller.workspace_id) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "schedules are the installation's: use a key of an administrator of its first workspace",
    ))
}

fn missing(name: &str) -> ApiError {
    let name: String = name.chars().take(MOST_CHARS).collect();
    ApiError::new(
        Code::NotFound,
        format!("there is no schedule `{name}`; `GET /api/admin/schedules` lists them"),
    )
}

async fn found(app: &App, name: &str) -> Result<Schedule, ApiError> {
    let listed = app.front.store.list_schedules().await?;
    listed.into_iter().find(|schedule| schedule.name == name).ok_or_else(|| missing(name))
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<ShownSchedule>>, ApiError> {
    Params::of(&uri)?.finish()?;
    of_installation(&app, &caller).await?;
    let now = app.front.clock.now();
    let listed = app.front.store.list_schedules().await?;
    let items = listed
        .into_iter()
        .map(|mut schedule| {
            // Reports are long; a run has its own.
            for run in schedule.current.iter_mut().chain(&mut schedule.last) {
                run.report = None;
            }
            shown(schedule, now)
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<Json<ShownSchedule>, ApiError> {
    of_installation(&app, &caller).await?;
    answer(&app, &name).await
}

async fn answer(app: &App, name: &str) -> Result<Json<ShownSchedule>, ApiError> {
    Ok(Json(shown(found(app, name).await?, app.front.clock.now())))
}

async fn change(
    app: &App,
    caller: &Caller,
    (name, action): (&str, &'static str),
    change: ScheduleChange,
) -> Result<Json<ShownSchedule>, ApiError> {
    let audit = (caller.workspace_id, app.audit(caller, action, name));
    let now = app.front.clock.now();
    if !app.front.store.change_schedule(name, change, audit, now).await? {
        return Err(missing(name));
    }
    answer(app, name).await
}

pub(super) async fn set(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<ShownSchedule>, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let cron = fields.optional_text("cron", MOST_CHARS)?;
    let zone = fields.optional_text("zone", MOST_CHARS)?;
    let missed = fields.optional_parsed::<Missed>("missed", Missed::NAMES)?;
    fields.finish()?;
    of_installation(&app, &caller).await?;
    let now = app.front.clock.now();
    let as_it_is = found(&app, &name).await?.timing;
    let (new_cron, new_zone) =
        (cron.as_ref().unwrap_or(&as_it_is.cron), zone.as_ref().unwrap_or(&as_it_is.zone));
    if let Err(error) = Timetable::new(new_cron, new_zone, now) {
        return Err(ApiError::field(Code::InvalidField, error.field(), error.to_string()));
    }
    let timing = ScheduleChange::Timing { cron, zone, missed };
    change(&app, &caller, (&name, "schedule.set"), timing).await
}

pub(super) async fn pause(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<Json<ShownSchedule>, ApiError> {
    of_installation(&app, &caller).await?;
    change(&app, &caller, (&name, "schedule.pause"), ScheduleChange::Pause).await
}

pub(super) async fn resume(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<Json<ShownSchedule>, ApiError> {
    of_installation(&app, &caller).await?;
    change(&app, &caller, (&name, "schedule.resume"), ScheduleChange::Resume).await
}

pub(super) async fn reset(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<Json<ShownSchedule>, ApiError> {
    of_installation(&app, &caller).await?;
    change(&app, &caller, (&name, "schedule.reset"), ScheduleChange::Reset).await
}

pub(super) async fn run(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<ShownRun>), ApiError> {
    let mut fields = json_body(&app, request).await?;
    let repair = fields.optional_flag("repair")?.unwrap_or(false);
    fields.finish()?;
    of_installation(&app, &caller).await?;
    let (front, id): (_, Uuid) = (&app.front, app.front.ids.next());
    let now = front.clock.now();
    let schedule = found(&app, &name).await?;
    let mut options = schedule.options;
    if let (true, Some(options)) = (repair, options.as_object_mut()) {
        options.insert("repair".to_owned(), json!(true));
    }
    let audit = (caller.workspace_id, app.audit(&caller, "schedule.run", &name));
    match front.store.ask_run(&name, id, options, audit, now).await? {
        Asked::Queued => {
            let made = front.store.schedule_run(id).await?;
            let made = made.ok_or_else(|| missing(&name))?;
            Ok((StatusCode::ACCEPTED, Json(shown_run(made, now))))
        }
        Asked::Unfinished(id) => Err(ApiError::new(
            Code::Conflict,
            format!("`{name}` is being done: its run {id} has not ended"),
        )),
        Asked::Missing => Err(ApiError::new(
            Code::Conflict,
            format!(
                "`{name}` is switched off: no worker is configured for it, or \
                 `schedules.{name}.enabled` is false"
            ),
        )),
    }
}

pub(super) async fn runs(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Page<ShownRun>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    of_installation(&app, &caller).await?;
    found(&app, &name).await?;
    let now = app.front.clock.now();
    let Page { items, next } = app.front.store.list_runs(&name, page).await?;
    let items = items.into_iter().map(|run| shown_run(run, now)).collect();
    Ok(Json(Page { items, next }))
}

pub(super) async fn one_run(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path((name, run)): Path<(String, String)>,
) -> Result<Json<ShownRun>, ApiError> {
    of_installation(&app, &caller).await?;
    let found = match run.parse() {
        Ok(id) => app.front.store.schedule_run(id).await?,
        Err(_) => None,
    };
    let found = found.filter(|found| found.schedule == name);
    let now = app.front.clock.now();
    found
        .map(|run| Json(shown_run(run, now)))
        .ok_or_else(|| ApiError::new(Code::NotFound, "there is no run with this id"))
}
