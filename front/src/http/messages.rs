//! Messages over HTTP: questions, the list of a chat, judgements.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use quaestor_core::ids::{ConversationId, MessageId};
use quaestor_core::model::{Message, Page};
use quaestor_core::ports::store::NewFeedback;

use super::idempotency;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body, traceparent};
use crate::jobs::{Question, accept_question};
use crate::problem::ApiError;

const COMMENT_MAX_CHARS: usize = 4_000;

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<ConversationId>,
    uri: Uri,
) -> Result<Json<Page<Message>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    let (workspace, principal) = (caller.workspace_id, caller.principal_id);
    let found = app.front.store.list_messages(workspace, principal, id, page).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("conversation", id))
}

pub(super) async fn ask(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(conversation_id): PathId<ConversationId>,
    request: Request,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency::key(request.headers())?;
    let traceparent = traceparent(request.headers());
    let mut fields = json_body(&app, request).await?;
    let content = fields.text("content", app.front.settings.question_max_chars)?;
    fields.finish()?;
    let question = Question { conversation_id, content, idempotency_key, traceparent };
    let accepted = accept_question(&app, &caller, question).await?;
    Ok(idempotency::respond(StatusCode::ACCEPTED, accepted))
}

pub(super) async fn feedback(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(message_id): PathId<MessageId>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let mut fields = json_body(&app, request).await?;
    let rating = match fields.integer("rating", -1..=1)? {
        1 => 1,
        -1 => -1,
        _ => return Err(ApiError::invalid("rating", "1 or -1")),
    };
    let comment = fields.optional_text("comment", COMMENT_MAX_CHARS)?;
    fields.finish()?;
    let feedback = NewFeedback {
        message_id,
        principal_id: caller.principal_id,
        rating,
        comment,
        created_at: app.front.clock.now(),
    };
    let kept = app.front.store.save_feedback(caller.workspace_id, feedback).await?;
    if kept { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::missing("answer", message_id)) }
}
