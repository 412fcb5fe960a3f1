//! Uploads: files stream part by part into the object store, and are then accepted in
//! one transaction. What is not accepted is removed again.

mod name;
mod pace;
mod receive;

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use quaestor_core::failpoint;
use quaestor_core::ids::{BatchId, CollectionId, JobId};
use quaestor_core::jobs::{JobKind, NewJob, Step};
use quaestor_core::metrics;
use quaestor_core::model::Caller;
use quaestor_core::ports::store::{
    AcceptUpload, AcceptedUpload, IdempotencyKey, NewFile, StoreError, UploadStatus,
};
use quaestor_core::trace;
use serde_json::Value;
use tracing::Instrument;

use super::idempotency;
use crate::admission::{admit_upload, took_files};
use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, traceparent};
use crate::jobs::{Accepted, remember, replay};
use crate::problem::{ApiError, Code};
use receive::{ReceivedFile, Receiver};

pub(super) async fn upload(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<Response, ApiError> {
    let key = idempotency::key(request.headers())?;
    let traceparent = traceparent(request.headers());
    let mut params = Params::of(request.uri())?;
    let collection_id: Option<CollectionId> = params.id("collection_id")?;
    params.finish()?;
    // Before the files are taken in: they would be sent for nothing.
    admit_upload(&app, caller.workspace_id).await?;
    app.admit_embedding(&caller).await?;
    let request = request.map(pace::paced);
    let multipart = Multipart::from_request(request, &()).await.map_err(|_| {
        ApiError::field(
            Code::InvalidMultipart,
            "Content-Type",
            "the header names no boundary of the parts",
        )
    })?;
    // A client that leaves drops this handler. The task goes on, meets the broken body,
    // and removes what it had stored.
    let worker = app.clone();
    let task = async move {
        let receiver = Receiver::new(&worker, caller, collection_id);
        let (collection_id, files) = receiver.receive(multipart).await?;
        accept(&worker, &caller, collection_id, files, key, traceparent).await
    };
    match app.tasks.spawn(task.in_current_span()).await {
        Ok(accepted) => Ok(idempotency::respond(StatusCode::ACCEPTED, accepted?)),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// Accepts files that are stored. Files that turn out to mean no work are removed.
async fn accept(
    app: &App,
    caller: &Caller,
    collection_id: CollectionId,
    files: Vec<ReceivedFile>,
    key: Option<String>,
    traceparent: Option<String>,
) -> Result<Accepted<AcceptedUpload>, ApiError> {
    let objects: Vec<String> = files.iter().map(|file| file.key.as_str().to_owned()).collect();
    let key = key.map(|key| remember_files(app, caller, key, collection_id, &files));
    let accepted = store(app, caller, collection_id, files, key.as_ref(), traceparent).await;
    let unneeded: Vec<String> = match &accepted {
        Ok(accepted) if !accepted.replayed => accepted
            .answer
            .items
            .iter()
            .zip(objects)
            .filter(|(item, _)| item.status == UploadStatus::Duplicate)
            .map(|(_, object)| object)
            .collect(),
        Ok(_) | Err(_) => objects,
    };
    app.delete_objects(unneeded).await;
    accepted
}

async fn store(
    app: &App,
    caller: &Caller,
    collection_id: CollectionId,
    files: Vec<ReceivedFile>,
    key: Option<&IdempotencyKey>,
    traceparent: Option<String>,
) -> Result<Accepted<AcceptedUpload>, ApiError> {
    if let Some(known) = replay(app, caller, key).await? {
        return Ok(known);
    }
    let batch_id: BatchId = app.front.ids.next();
    let files = files
        .into_iter()
        .map(|file| new_file(app, caller, batch_id, file, traceparent.clone()))
        .collect();
    let upload = AcceptUpload {
        batch_id,
        collection_id,
        files,
        idempotency: key.cloned(),
        audit: app.audit(caller, "document.upload", batch_id),
    };
    // The files are stored, and no row names them yet.
    failpoint::hit("upload.before_accept");
    let bytes: u64 = upload.files.iter().map(|file| file.size_bytes).sum();
    let accepted = app.front.store.accept_upload(caller.workspace_id, upload);
    match accepted.instrument(trace::store("accept_upload")).await {
        Ok(Some(answer)) => {
            failpoint::hit("upload.after_accept");
            metrics::UPLOADED_BYTES.of([]).increment(bytes);
            announce(app, caller, &answer);
            Ok(Accepted { answer, replayed: false })
        }
        Ok(None) => Err(ApiError::missing("collection", collection_id)),
        // Another request with this key was faster: its answer is the answer.
        Err(error @ StoreError::Conflict { .. }) => match replay(app, caller, key).await? {
            Some(winner) => Ok(winner),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Wakes the relay, which tells `queued` and publishes.
fn announce(app: &App, caller: &Caller, answer: &AcceptedUpload) {
    let jobs = answer.items.iter().filter(|item| item.status == UploadStatus::Queued).count();
    app.front.wake.notify();
    metrics::JOBS_ACCEPTED.of([JobKind::Documents.as_str().into()]).increment(jobs as u64);
    took_files(app, caller.workspace_id, jobs as u64);
}

fn new_file(
    app: &App,
    caller: &Caller,
    batch_id: BatchId,
    file: ReceivedFile,
    traceparent: Option<String>,
) -> NewFile {
    let now = app.front.clock.now();
    let job_id: JobId = app.front.ids.next();
    NewFile {
        document_id: app.front.ids.next(),
        filename: file.filename,
        media_type: file.media_type,
        size_bytes: file.stored.size_bytes,
        sha256: file.stored.sha256,
        object_key: file.key.as_str().to_owned(),
        job: NewJob {
            held_until: None,
            id: job_id,
            kind: JobKind::Documents,
            step: Step::DocumentsIngest,
            principal_id: caller.principal_id,
            // The store alone knows the version and writes the payload.
            payload: Value::Null,
            batch_id: Some(batch_id),
            outbox_id: app.front.ids.next(),
            created_at: now,
            deadline: Some(now + app.front.settings.ingest_deadline),
            traceparent,
        },
    }
}

/// The same files under the same names in the same collection are the same request.
fn remember_files(
    app: &App,
    caller: &Caller,
    key: String,
    collection_id: CollectionId,
    files: &[ReceivedFile],
) -> IdempotencyKey {
    let collection = collection_id.uuid();
    let mut parts: Vec<&[u8]> = vec![b"upload", collection.as_bytes()];
    for file in files {
        parts.push(file.filename.as_bytes());
        parts.push(file.stored.sha256.as_bytes());
    }
    remember(app, caller, key, &parts)
}
