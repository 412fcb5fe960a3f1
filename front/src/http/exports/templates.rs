//! Templates of exports over HTTP: named layouts of a workspace, each change a new version.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::model::{ExportTemplate, Page, TemplateVersion};
use quaestor_core::ports::store::NewTemplate;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, json_body};
use crate::problem::{ApiError, Code};

/// The longest source. The largest body that is read holds it, escaped.
const SOURCE_MAX_CHARS: usize = 100_000;
/// The most templates of a workspace.
const TEMPLATES_MAX: u32 = 100;
/// So many versions of a template are kept: exports that were asked for before a change are
/// laid out as they were to be.
const VERSIONS_KEPT: u32 = 20;

/// Whether a template may be called so.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

fn missing() -> ApiError {
    ApiError::new(Code::NotFound, "there is no template of this name")
}

pub(crate) async fn list_all(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<TemplateVersion>>, ApiError> {
    Params::of(&uri)?.finish()?;
    let items = app.front.store.list_export_templates(caller.workspace_id).await?;
    Ok(Json(Page { items, next: None }))
}

pub(crate) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<Json<ExportTemplate>, ApiError> {
    let found = match is_name(&name) {
        true => app.front.store.export_template(caller.workspace_id, &name).await?,
        false => None,
    };
    found.map(Json).ok_or_else(missing)
}

pub(crate) async fn put(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<TemplateVersion>, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let source = fields.text("source", SOURCE_MAX_CHARS)?;
    fields.finish()?;
    if !is_name(&name) {
        return Err(ApiError::invalid("name", "1 to 64 of a-z, 0-9, `-` and `_`"));
    }
    let audit = app.audit(&caller, "export_template.set", &name);
    let template =
        NewTemplate { id: app.front.ids.next(), name, source, created_at: app.front.clock.now() };
    let store = &app.front.store;
    let made = store
        .create_export_template(caller.workspace_id, template, TEMPLATES_MAX, VERSIONS_KEPT, audit)
        .await?;
    made.map(Json).ok_or_else(|| {
        let detail = format!("the workspace has {TEMPLATES_MAX} templates; remove one first");
        ApiError::new(Code::Conflict, detail)
    })
}

pub(crate) async fn remove(
    State(app): State<App>,
    Who { caller, .. }: Who,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "export_template.remove", &name);
    let store = &app.front.store;
    let removed =
        is_name(&name) && store.delete_export_template(caller.workspace_id, &name, audit).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}
