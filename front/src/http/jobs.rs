//! Jobs over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use quaestor_core::ids::JobId;
use quaestor_core::jobs::JobKind;
use quaestor_core::model::{Job, JobState, Page};
use quaestor_core::ports::store::JobFilter;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId};
use crate::jobs::{cancel_job, visible_to};
use crate::problem::ApiError;

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Job>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let state = params
        .parsed::<JobState>("state", "queued, running, waiting, done, failed, cancelled or dead")?;
    let kind = params.parsed::<JobKind>("kind", "chat or documents")?;
    let page = params.page()?;
    params.finish()?;
    let filter = JobFilter { principal_id: visible_to(&caller), state, kind };
    Ok(Json(app.front.store.list_jobs(caller.workspace_id, filter, page).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<JobId>,
) -> Result<Json<Job>, ApiError> {
    let found = app.front.store.job(caller.workspace_id, visible_to(&caller), id).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("job", id))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<JobId>,
) -> Result<Json<Job>, ApiError> {
    cancel_job(&app, &caller, id).await.map(Json)
}
