//! Documents and their passages over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use quaestor_core::ids::{CollectionId, DocumentId};
use quaestor_core::model::{Document, DocumentStatus, Page, Passage};
use quaestor_core::ports::store::DocumentFilter;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId};
use crate::problem::ApiError;

/// A passage as clients see it.
#[derive(Debug, Serialize)]
pub(super) struct Chunk {
    pub(super) chunk_id: quaestor_core::ids::ChunkId,
    pub(super) ordinal: u32,
    pub(super) page: Option<u32>,
    pub(super) cell: Option<String>,
    pub(super) section: Option<String>,
    pub(super) header: Option<String>,
    pub(super) text: String,
    pub(super) char_start: u32,
    pub(super) char_end: u32,
    pub(super) is_table: bool,
    pub(super) tokens: u32,
}

impl From<Passage> for Chunk {
    fn from(passage: Passage) -> Self {
        Self {
            chunk_id: passage.chunk_id,
            ordinal: passage.ordinal,
            page: passage.page,
            cell: passage.cells,
            section: not_empty(passage.section),
            header: not_empty(passage.header),
            text: passage.text,
            char_start: passage.char_start,
            char_end: passage.char_end,
            is_table: passage.is_table,
            tokens: passage.tokens,
        }
    }
}

/// Null where there is no text.
pub(super) fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Document>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let collection_id: Option<CollectionId> = params.id("collection_id")?;
    let status =
        params.parsed::<DocumentStatus>("status", "queued, processing, ready or failed")?;
    let page = params.page()?;
    params.finish()?;
    if let Some(id) = collection_id {
        super::collections::existing(&app, caller.workspace_id, id).await?;
    }
    let filter = DocumentFilter { collection_id, status };
    Ok(Json(app.front.store.list_documents(caller.workspace_id, filter, page).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<DocumentId>,
) -> Result<Json<Document>, ApiError> {
    let found = app.front.store.document(caller.workspace_id, id).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("document", id))
}

pub(super) async fn chunks(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<DocumentId>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let mut params = Params::of(&uri)?;
    let limit = params.limit()?;
    let from = params.parsed::<u32>("cursor", "the `next` of an earlier answer")?.unwrap_or(0);
    params.finish()?;
    let found = app.front.store.document_chunks(caller.workspace_id, id, from, limit + 1).await?;
    let mut passages = found.ok_or_else(|| ApiError::missing("document", id))?;
    // One more than asked for tells that there is a next part, and where it begins.
    let next = passages.get(limit as usize).map(|passage| passage.ordinal.to_string());
    passages.truncate(limit as usize);
    let items: Vec<Chunk> = passages.into_iter().map(Chunk::from).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

pub(super) async fn remove(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<DocumentId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "document.delete", id);
    let now = app.front.clock.now();
    let objects = app.front.store.delete_document(caller.workspace_id, id, now, audit).await?;
    let objects = objects.ok_or_else(|| ApiError::missing("document", id))?;
    remove_files(&app, objects);
    Ok(StatusCode::NO_CONTENT)
}

/// Removes files after the answer: the rows are gone, nobody can reach them any more,
/// and a client that leaves must not stop it.
pub(super) fn remove_files(app: &App, objects: Vec<String>) {
    let worker = app.clone();
    app.tasks.spawn(async move { worker.delete_objects(objects).await });
}
