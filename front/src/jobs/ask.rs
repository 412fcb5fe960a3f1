//! A question is accepted: checked, stored with its job in one transaction, and left to
//! the workers. Nothing slower happens here.

use quaestor_core::failpoint;
use quaestor_core::ids::{ConversationId, JobId, MessageId};
use quaestor_core::jobs::{ChatPayload, JobKind, NewJob, Step};
use quaestor_core::metrics;
use quaestor_core::model::Caller;
use quaestor_core::ports::store::{AcceptQuestion, AcceptedQuestion, OutboxRow, StoreError};
use quaestor_core::{trace, wake};
use tracing::Instrument;

use super::replay::{Accepted, remember, replay};
use crate::admission::admit_question;
use crate::app::App;
use crate::problem::ApiError;

/// A question whose form was checked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) conversation_id: ConversationId,
    pub(crate) content: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// Accepts a question. The caller was admitted before.
pub(crate) async fn accept_question(
    app: &App,
    caller: &Caller,
    question: Question,
) -> Result<Accepted<AcceptedQuestion>, ApiError> {
    let Question { conversation_id, content, idempotency_key, traceparent } = question;
    let key = idempotency_key.map(|key| {
        let conversation = conversation_id.uuid();
        let parts: [&[u8]; 3] = [b"ask", conversation.as_bytes(), content.as_bytes()];
        remember(app, caller, key, &parts)
    });
    // A key that is taken is found out by the acceptance itself: most are new.
    let admitted = match admit_question(app, caller.workspace_id).await {
        Ok(()) => app.admit_cost(caller).await,
        overloaded => overloaded,
    };
    if let Err(refused) = admitted {
        return replay(app, caller, key.as_ref()).await?.ok_or(refused);
    }
    let front = &app.front;
    let (message_id, answer_id): (MessageId, MessageId) = (front.ids.next(), front.ids.next());
    let job_id: JobId = front.ids.next();
    let now = front.clock.now();
    let payload = ChatPayload { conversation_id, message_id, answer_id, answer_key: None };
    let payload = serde_json::to_value(payload).map_err(|error| ApiError::internal(&error))?;
    let promise = front.wake.promise();
    let job = NewJob {
        id: job_id,
        kind: JobKind::Chat,
        step: Step::ChatRetrieve,
        principal_id: caller.principal_id,
        payload,
        batch_id: None,
        outbox_id: front.ids.next(),
        created_at: now,
        held_until: promise.as_ref().map(|_| now + wake::HELD),
        deadline: Some(now + front.settings.chat_deadline),
        traceparent,
    };
    let row = OutboxRow::of(caller.workspace_id, &job);
    let question = AcceptQuestion {
        conversation_id,
        principal_id: caller.principal_id,
        message_id,
        answer_id,
        content,
        job,
        idempotency: key.clone(),
        audit: app.audit(caller, "question.ask", message_id),
    };
    failpoint::hit("front.before_accept");
    let accepted = front.store.accept_question(caller.workspace_id, question);
    match accepted.instrument(trace::store("accept_question")).await {
        Ok(Some(answer)) => {
            failpoint::hit("front.after_accept");
            // The relay tells `queued` and publishes.
            match promise {
                Some(promise) => promise.keep(row),
                None => front.wake.notify(),
            }
            metrics::JOBS_ACCEPTED.of([JobKind::Chat.as_str().into()]).increment(1);
            Ok(Accepted { answer, replayed: false })
        }
        Ok(None) => Err(ApiError::missing("conversation", conversation_id)),
        // Another request with this key was faster: its answer is the answer.
        Err(error @ StoreError::Conflict { .. }) => {
            match replay(app, caller, key.as_ref()).await? {
                Some(winner) => Ok(winner),
                None => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
