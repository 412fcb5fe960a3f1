//! Collections over HTTP.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::ids::CollectionId;
use quaestor_core::model::{Collection, Page};
use quaestor_core::ports::store::NewCollection;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body};
use crate::problem::ApiError;

/// Long enough for people, short enough for a list.
const NAME_MAX_CHARS: usize = 200;

pub(super) async fn create(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<(StatusCode, Json<Collection>), ApiError> {
    let mut fields = json_body(&app, request).await?;
    let name = fields.text("name", NAME_MAX_CHARS)?;
    fields.finish()?;
    let id: CollectionId = app.front.ids.next();
    let collection = NewCollection { id, name, created_at: app.front.clock.now() };
    let audit = app.audit(&caller, "collection.create", id);
    let made = app.front.store.create_collection(caller.workspace_id, collection, audit).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Collection>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(app.front.store.list_collections(caller.workspace_id, page).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<Json<Collection>, ApiError> {
    existing(&app, caller.workspace_id, id).await.map(Json)
}

pub(super) async fn rename(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    request: Request,
) -> Result<Json<Collection>, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let name = fields.text("name", NAME_MAX_CHARS)?;
    fields.finish()?;
    let audit = app.audit(&caller, "collection.rename", id);
    let renamed = app.front.store.rename_collection(caller.workspace_id, id, &name, audit).await?;
    renamed.map(Json).ok_or_else(|| ApiError::missing("collection", id))
}

pub(super) async fn remove(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "collection.delete", id);
    let now = app.front.clock.now();
    let objects = app.front.store.delete_collection(caller.workspace_id, id, now, audit).await?;
    let objects = objects.ok_or_else(|| ApiError::missing("collection", id))?;
    super::documents::remove_files(&app, objects);
    Ok(StatusCode::NO_CONTENT)
}

/// A collection of the workspace, or the answer that it is not there.
pub(crate) async fn existing(
    app: &App,
    workspace: quaestor_core::ids::WorkspaceId,
    id: CollectionId,
) -> Result<Collection, ApiError> {
    let found = app.front.store.collection(workspace, id).await?;
    found.ok_or_else(|| ApiError::missing("collection", id))
}
