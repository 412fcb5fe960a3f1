//! Exports over HTTP: one is asked for, watched, and fetched by a link that expires. They are
//! private to the principal that asked.

mod file;
mod link;
mod templates;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use quaestor_core::clock::Time;
use quaestor_core::ids::ExportId;
use quaestor_core::model::{
    Caller, Export, ExportFormat, ExportSelection, JobState, Page, TemplateName,
};
use quaestor_core::ports::objects::ObjectKey;
use quaestor_core::problem::Problem;
use serde::Serialize;

pub(super) use self::file::download;
pub(super) use self::templates::{list_all, one as template, put, remove};
use super::content::attachment;
use super::idempotency;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Fields, Params, PathId, json_body, traceparent};
use crate::jobs::{WantedExport, accept_export};
use crate::problem::{ApiError, Code};

/// The most answers or documents that are chosen one by one.
const CHOSEN_MAX: usize = 200;
const TEMPLATE_MAX_CHARS: usize = 64;

/// An export as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    id: ExportId,
    job_id: quaestor_core::ids::JobId,
    /// The job's state, or `expired` once the file is gone.
    state: &'static str,
    format: ExportFormat,
    selection: ExportSelection,
    template: Option<TemplateName>,
    filename: String,
    size_bytes: Option<u64>,
    sha256: Option<String>,
    /// Where the file is fetched: a whole address, or a path of this server.
    url: Option<String>,
    /// Until when that link works. Asking again gives another.
    expires_at: Option<Time>,
    /// When the file is removed.
    kept_until: Option<Time>,
    problem: Option<Problem>,
    created_at: Time,
}

pub(super) async fn create(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency::key(request.headers())?;
    let traceparent = traceparent(request.headers());
    let mut fields = json_body(&app, request).await?;
    let format: ExportFormat =
        fields.parsed("format", "one of md, html, pdf, docx, csv, xlsx and json")?;
    let selection = selection(&mut fields)?;
    let template = fields.optional_text("template", TEMPLATE_MAX_CHARS)?;
    fields.finish()?;
    if !format.fits(&selection) {
        let fitting: Vec<&str> = ExportFormat::ALL
            .into_iter()
            .filter(|format| format.fits(&selection))
            .map(ExportFormat::as_str)
            .collect();
        let what = if selection.is_of_tables() { "tables" } else { "answers" };
        let detail = format!("{what} are not written as {format}, but as {}", fitting.join(", "));
        return Err(ApiError::field(Code::InvalidField, "format", detail));
    }
    if template.is_some() && format != ExportFormat::Pdf {
        let detail = format!("templates lay out pdf, and nothing of {format}: leave it out");
        return Err(ApiError::field(Code::InvalidField, "template", detail));
    }
    let wanted = WantedExport { format, selection, template, idempotency_key, traceparent };
    let accepted = accept_export(&app, &caller, wanted).await?;
    Ok(idempotency::respond(StatusCode::ACCEPTED, accepted))
}

/// The one field that says what is exported.
fn selection(fields: &mut Fields) -> Result<ExportSelection, ApiError> {
    const NAMES: &str = "conversation_id, message_ids, collection_id, document_ids";
    let mut chosen = Vec::new();
    chosen.extend(fields.optional_id("conversation_id")?.map(ExportSelection::ConversationId));
    let ids = fields.optional_ids("message_ids", CHOSEN_MAX)?;
    chosen.extend(ids.map(ExportSelection::MessageIds));
    chosen.extend(fields.optional_id("collection_id")?.map(ExportSelection::CollectionId));
    let ids = fields.optional_ids("document_ids", CHOSEN_MAX)?;
    chosen.extend(ids.map(ExportSelection::DocumentIds));
    let Some(selection) = chosen.pop() else {
        let detail = format!("say what is exported: one of {NAMES}");
        return Err(ApiError::field(Code::MissingField, "conversation_id", detail));
    };
    if !chosen.is_empty() {
        let detail = format!("an export is of one thing: send only one of {NAMES}");
        return Err(ApiError::field(Code::InvalidField, selection.field(), detail));
    }
    let empty = match &selection {
        ExportSelection::MessageIds(ids) => ids.is_empty(),
        ExportSelection::DocumentIds(ids) => ids.is_empty(),
        ExportSelection::ConversationId(_) | ExportSelection::CollectionId(_) => false,
    };
    if empty {
        return Err(ApiError::invalid(selection.field(), "a list of at least one id"));
    }
    Ok(selection)
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Shown>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    let found = app.front.store.list_exports(workspace, principal, page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for export in found.items {
        items.push(show(&app, &caller, export).await?);
    }
    Ok(Json(Page { items, next: found.next }))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<ExportId>,
) -> Result<Json<Shown>, ApiError> {
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    let found = app.front.store.export(workspace, principal, id).await?;
    let export = found.ok_or_else(|| ApiError::missing("export", id))?;
    Ok(Json(show(&app, &caller, export).await?))
}

async fn show(app: &App, caller: &Caller, export: Export) -> Result<Shown, ApiError> {
    let now = app.front.clock.now();
    let file = export.file.filter(|file| file.kept_until > now);
    let (url, expires_at) = match &file {
        None => (None, None),
        Some(file) => {
            let lives = app.front.settings.export_link_lives;
            // No link outlives its file.
            let expires_at = (now + lives).min(file.kept_until);
            let lives = (expires_at - now).to_std().unwrap_or_default();
            let key = ObjectKey::parse(&file.object_key)?;
            let (disposition, media_type) =
                (attachment(&export.filename), export.format.media_type());
            let url = app.front.objects.link(&key, lives, &disposition, media_type).await?;
            let url = match url {
                Some(url) => url,
                None => link::own(&file.link_key, caller.workspace_id, export.id, expires_at)
                    .map_err(|error| ApiError::internal(&error))?,
            };
            (Some(url), Some(expires_at))
        }
    };
    Ok(Shown {
        id: export.id,
        job_id: export.job_id,
        state: match (export.state, &file) {
            (JobState::Done, None) => "expired",
            (state, _) => state.as_str(),
        },
        format: export.format,
        selection: export.selection,
        template: export.template,
        filename: export.filename,
        size_bytes: file.as_ref().map(|file| file.size_bytes),
        sha256: file.as_ref().map(|file| file.sha256.clone()),
        url,
        expires_at,
        kept_until: file.map(|file| file.kept_until),
        problem: export.problem,
        created_at: export.created_at,
    })
}
