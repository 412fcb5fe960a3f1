//! Conversations over HTTP. They are private to the principal that began them.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::ids::ConversationId;
use quaestor_core::model::{Conversation, Page};
use quaestor_core::ports::store::NewConversation;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body};
use crate::problem::ApiError;

const TITLE_MAX_CHARS: usize = 200;
const MAX_COLLECTIONS: usize = 100;

pub(super) async fn create(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<(StatusCode, Json<Conversation>), ApiError> {
    let mut fields = json_body(&app, request).await?;
    let title = fields.optional_text("title", TITLE_MAX_CHARS)?;
    let assistant: Option<Uuid> = fields.optional_id("assistant_id")?;
    let collection_ids = fields.optional_ids("collection_ids", MAX_COLLECTIONS)?;
    fields.finish()?;
    // No assistant is configured yet, so none is there for anybody.
    if let Some(id) = assistant {
        return Err(ApiError::missing("assistant", id));
    }
    let named = collection_ids.as_ref().map_or_else(String::new, |ids: &Vec<_>| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    });
    let conversation = NewConversation {
        id: app.front.ids.next(),
        principal_id: caller.principal_id,
        title,
        collection_ids,
        created_at: app.front.clock.now(),
    };
    let made = app.front.store.create_conversation(caller.workspace_id, conversation).await?;
    let made = made.ok_or_else(|| ApiError::missing("collection", named))?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Conversation>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    Ok(Json(app.front.store.list_conversations(workspace, principal, page).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<ConversationId>,
) -> Result<Json<Conversation>, ApiError> {
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    let found = app.front.store.conversation(workspace, principal, id).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("conversation", id))
}

pub(super) async fn remove(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<ConversationId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "conversation.delete", id);
    let now = app.front.clock.now();
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    let removed = app.front.store.delete_conversation(workspace, principal, id, now, audit).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::missing("conversation", id)) }
}
