//! Jobs over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use quaestor_core::ids::JobId;
use quaestor_core::jobs::JobKind;
use quaestor_core::model::{JobState, Page};
use quaestor_core::ports::store::JobFilter;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId};
use crate::jobs::{ShownJob, cancel_job, shown, shown_one, visible_to};
use crate::problem::ApiError;

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<ShownJob>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let state = params
        .parsed::<JobState>("state", "queued, running, waiting, done, failed, cancelled or dead")?;
    let kind = params.parsed::<JobKind>("kind", "chat, documents, collections or exports")?;
    let page = params.page()?;
    params.finish()?;
    let filter = JobFilter { principal_id: visible_to(&caller), state, kind };
    let Page { items, next } = app.front.store.list_jobs(caller.workspace_id, filter, page).await?;
    Ok(Json(Page { items: shown(&app, items).await?, next }))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<JobId>,
) -> Result<Json<ShownJob>, ApiError> {
    let found = app.front.store.job(caller.workspace_id, visible_to(&caller), id).await?;
    let job = found.ok_or_else(|| ApiError::missing("job", id))?;
    Ok(Json(shown_one(&app, job).await?))
}

pub(super) async fn cancel(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<JobId>,
) -> Result<Json<ShownJob>, ApiError> {
    cancel_job(&app, &caller, id).await.map(|job| Json(job.into()))
}
