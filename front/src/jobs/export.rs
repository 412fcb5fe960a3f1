//! An export is accepted: checked, stored with its job in one transaction, and left to the
//! workers.

use quaestor_core::failpoint;
use quaestor_core::ids::{ExportId, JobId};
use quaestor_core::jobs::{ExportPayload, JobKind, NewJob, Step};
use quaestor_core::metrics;
use quaestor_core::model::{Caller, ExportFormat, ExportSelection};
use quaestor_core::ports::store::{AcceptExport, AcceptedExport, ExportAcceptance, StoreError};

use super::replay::{Accepted, remember, replay};
use crate::admission::admit_export;
use crate::app::App;
use crate::problem::{ApiError, Code};

/// An export whose form was checked.
#[derive(Debug)]
pub(crate) struct WantedExport {
    pub(crate) format: ExportFormat,
    pub(crate) selection: ExportSelection,
    pub(crate) template: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// Accepts an export.
pub(crate) async fn accept_export(
    app: &App,
    caller: &Caller,
    wanted: WantedExport,
) -> Result<Accepted<AcceptedExport>, ApiError> {
    let WantedExport { format, selection, template, idempotency_key, traceparent } = wanted;
    let chosen = serde_json::to_vec(&selection).map_err(|error| ApiError::internal(&error))?;
    let named = template.clone().unwrap_or_default();
    let key = idempotency_key.map(|key| {
        let parts: [&[u8]; 4] = [b"export", &chosen, format.as_str().as_bytes(), named.as_bytes()];
        remember(app, caller, key, &parts)
    });
    if let Err(refused) = admit_export(app, caller.workspace_id).await {
        return replay(app, caller, key.as_ref()).await?.ok_or(refused);
    }
    let front = &app.front;
    let (id, job_id): (ExportId, JobId) = (front.ids.next(), front.ids.next());
    let now = front.clock.now();
    let payload = serde_json::to_value(ExportPayload { export_id: id })
        .map_err(|error| ApiError::internal(&error))?;
    let what = if selection.is_of_tables() { "tables" } else { "answers" };
    let field = selection.field();
    let export = AcceptExport {
        id,
        principal_id: caller.principal_id,
        format,
        selection,
        template,
        filename: format!("{what}-{}.{format}", now.format("%Y-%m-%d-%H%M%S")),
        job: NewJob {
            id: job_id,
            kind: JobKind::Exports,
            step: Step::ExportsWrite,
            principal_id: caller.principal_id,
            payload,
            batch_id: None,
            outbox_id: front.ids.next(),
            created_at: now,
            held_until: None,
            deadline: Some(now + front.settings.export_deadline),
            traceparent,
        },
        idempotency: key.clone(),
        audit: app.audit(caller, "export.create", id),
    };
    failpoint::hit("export.before_accept");
    match front.store.accept_export(caller.workspace_id, export).await {
        Ok(ExportAcceptance::Accepted(answer)) => {
            failpoint::hit("export.after_accept");
            front.wake.notify();
            metrics::JOBS_ACCEPTED.of([JobKind::Exports.as_str().into()]).increment(1);
            crate::admission::took_export(app, caller.workspace_id);
            Ok(Accepted { answer, replayed: false })
        }
        Ok(ExportAcceptance::Missing(id)) => Err(match field {
            "conversation_id" => ApiError::missing("conversation", id),
            "message_ids" => ApiError::missing("answer", id),
            "collection_id" => ApiError::missing("collection", id),
            _ => ApiError::missing("document", id),
        }),
        Ok(ExportAcceptance::Empty) => {
            let detail = match field {
                "conversation_id" => "the conversation has no messages",
                "collection_id" => "the collection has no documents that could be read",
                _ => "none of the documents could be read yet",
            };
            Err(ApiError::field(Code::InvalidField, field, detail))
        }
        Ok(ExportAcceptance::NoTemplate) => Err(ApiError::field(
            Code::InvalidField,
            "template",
            "there is no template of this name",
        )),
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
