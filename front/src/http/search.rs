//! Search over HTTP.

use axum::Json;
use axum::extract::{Request, State};
use chrono::NaiveDate;
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, WorkspaceId};
use quaestor_core::model::{Caller, MAX_PAGE, PageRequest};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::store::{CallsOf, ScopeFilter, SearchScope};
use quaestor_core::retrieval::{ScoredPassage, SearchQuery, SearchedBy};
use quaestor_core::{metrics, trace};
use serde::Serialize;
use tracing::Instrument;

use super::documents::not_empty;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Fields, json_body};
use crate::problem::{ApiError, chain};

/// How many passages an answer has where nothing was said.
const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;
/// How many ids or types a request may name.
const MAX_NAMED: usize = 100;

/// A passage that was found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    document_id: DocumentId,
    filename: String,
    version: u32,
    page: Option<u32>,
    cell: Option<String>,
    section: Option<String>,
    header: Option<String>,
    text: String,
    char_start: u32,
    char_end: u32,
    score: f32,
    chunk_id: ChunkId,
    collection_id: CollectionId,
}

/// What was found, and by what means.
#[derive(Debug, Serialize)]
pub(super) struct SearchAnswer {
    passages: Vec<Found>,
    searched_by: SearchedBy,
    note: Option<String>,
}

pub(super) async fn search(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Json<SearchAnswer>, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let text = fields.text("query", app.front.settings.question_max_chars)?;
    let collections = fields.optional_ids::<CollectionId>("collection_ids", MAX_NAMED)?;
    let limit = fields.optional_integer("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let filter = filters(&mut fields)?;
    fields.finish()?;

    let collections = scope(&app, &caller, collections).await?;
    for id in filter.document_ids.iter().flatten() {
        let found = app.front.store.document(caller.workspace_id, *id).await?;
        found.ok_or_else(|| ApiError::missing("document", id))?;
    }
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let query = SearchQuery { text, scope: SearchScope { collections, filter }, limit };
    app.admit_embedding(&caller).await?;
    let scope = CallScope::of(caller.workspace_id, Some(caller.principal_id));
    let began = app.front.clock.now();
    let searched = app.front.searcher.search(&scope, &query);
    let result = searched.instrument(trace::store("search")).await;
    account(&app, &caller, &scope).await;
    let result = result?;
    let by: metrics::SharedString = result.by.as_str().into();
    let took = metrics::seconds(began, app.front.clock.now());
    metrics::SEARCH_SECONDS.of([by.clone()]).record(took);
    metrics::SEARCH_RESULTS.of([by]).record(result.passages.len() as f64);
    Ok(Json(SearchAnswer {
        passages: result.passages.into_iter().map(found).collect(),
        searched_by: result.by,
        note: result.note,
    }))
}

/// Writes down what the query was embedded by, where a provider was asked.
async fn account(app: &App, caller: &Caller, scope: &CallScope) {
    let calls = scope.calls.take();
    if calls.is_empty() {
        return;
    }
    let of = CallsOf { principal_id: caller.principal_id, job: None };
    if let Err(error) = app.front.store.save_calls(caller.workspace_id, of, &calls).await {
        tracing::error!(error = %chain(&error), "could not write down what a search cost");
    }
}

fn filters(fields: &mut Fields) -> Result<ScopeFilter, ApiError> {
    const DATE: &str = "a day such as 2026-01-31";
    let Some(mut filters) = fields.optional_object("filters")? else {
        return Ok(ScopeFilter::default());
    };
    let filter = ScopeFilter {
        document_ids: filters.optional_ids("document_ids", MAX_NAMED)?,
        media_types: filters.optional_texts("media_types", MAX_NAMED, "media types")?,
        date_from: filters.optional_parsed::<NaiveDate>("date_from", DATE)?,
        date_to: filters.optional_parsed::<NaiveDate>("date_to", DATE)?,
    };
    filters.finish()?;
    Ok(filter)
}

/// The collections that are searched: those named, each of which must be the
/// workspace's, or all of it where none were named. An empty list names none.
async fn scope(
    app: &App,
    caller: &Caller,
    named: Option<Vec<CollectionId>>,
) -> Result<Vec<CollectionId>, ApiError> {
    match named {
        Some(ids) => {
            for id in &ids {
                super::collections::existing(app, caller.workspace_id, *id).await?;
            }
            Ok(ids)
        }
        None => all(app, caller.workspace_id).await,
    }
}

async fn all(app: &App, workspace: WorkspaceId) -> Result<Vec<CollectionId>, ApiError> {
    let mut ids = Vec::new();
    let mut after = None;
    // Ends with the workspace's collections: every round gets later ones.
    loop {
        let page = PageRequest { limit: MAX_PAGE, after };
        let page = app.front.store.list_collections(workspace, page).await?;
        ids.extend(page.items.iter().map(|collection| collection.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(ids),
        }
    }
}

fn found(scored: ScoredPassage) -> Found {
    let ScoredPassage { passage, score } = scored;
    Found {
        document_id: passage.document_id,
        filename: passage.filename,
        version: passage.version,
        page: passage.page,
        cell: passage.cells,
        section: not_empty(passage.section),
        header: not_empty(passage.header),
        text: passage.text,
        char_start: passage.char_start,
        char_end: passage.char_end,
        score,
        chunk_id: passage.chunk_id,
        collection_id: passage.collection_id,
    }
}
