//! Acceptance of uploads: what becomes of a file, once and only once.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::{BatchId, CollectionId};
use quaestor_core::jobs::{DocumentPayload, Step};
use quaestor_core::model::{DocumentStatus, JobState, PageRequest};
use quaestor_core::ports::store::{
    AcceptUpload, DocumentFilter, IdempotencyKey, JobFilter, StoreError, UploadStatus,
};
use quaestor_core::problem::Problem;

use super::Fixture;

pub async fn an_upload_makes_documents_jobs_and_messages(f: Fixture) {
    let collection = f.collection("filings").await;
    let files = vec![f.file("a.txt", "a"), f.file("b.txt", "b")];
    let mut upload = f.upload_of(collection, files.clone());
    let batch: BatchId = upload.batch_id;
    for file in &mut upload.files {
        file.job.batch_id = Some(batch);
    }
    let accepted = f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let accepted = accepted.expect("the collection is there");
    assert_eq!(accepted.batch_id, batch);
    for (item, file) in accepted.items.iter().zip(&files) {
        assert_eq!(item.status, UploadStatus::Queued);
        assert_eq!((item.document_id, item.job_id), (file.document_id, file.job.id));
        let document = f.store.document(f.workspace, item.document_id).await.expect("read");
        let document = document.expect("there");
        assert_eq!(document.status, DocumentStatus::Queued);
        assert_eq!((document.version, document.filename.as_str()), (1, file.filename.as_str()));
        assert_eq!((document.size_bytes, &document.sha256), (1, &file.sha256));
        let job = f.store.job(f.workspace, None, item.job_id).await.expect("read").expect("there");
        assert_eq!((job.state, job.batch_id), (JobState::Queued, Some(batch)));
        assert_eq!((job.subject_id, job.attempt), (item.document_id.uuid(), 0));
        let message = f.message_of(item.job_id).await.expect("a message");
        assert_eq!(message.envelope.step, Step::DocumentsIngest);
        assert_eq!(message.envelope.outbox_id, file.job.outbox_id);
        assert_eq!(message.envelope.traceparent.as_deref(), Some("00-trace"));
        let payload: DocumentPayload =
            serde_json::from_value(message.envelope.payload).expect("a payload");
        assert_eq!((payload.document_id, payload.version), (item.document_id, 1));
        assert_eq!((payload.collection_id, payload.generation_id), (collection, None));
    }
    let audit = f.store.list_audit(f.workspace, PageRequest::default()).await.expect("read");
    assert_eq!(audit.items[0].action, "document.upload");
}

pub async fn the_same_bytes_are_a_duplicate_within_the_collection_only(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let first = f.upload(filings, "a.txt", "same").await;
    let again = f.upload(filings, "renamed.txt", "same").await;
    assert_eq!(again.items[0].status, UploadStatus::Duplicate);
    assert_eq!(again.items[0].document_id, first.items[0].document_id);
    assert_eq!(again.items[0].job_id, first.items[0].job_id);
    assert_eq!(again.items[0].filename, "renamed.txt");
    let elsewhere = f.upload(letters, "a.txt", "same").await;
    assert_eq!(elsewhere.items[0].status, UploadStatus::Queued);
}

pub async fn the_same_bytes_after_a_failure_are_a_new_version(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = f.upload(filings, "a.txt", "same").await;
    let claim = f.claim(first.items[0].job_id).await.claim;
    let problem = Problem::new("broken", "It is broken", "Mend it.");
    f.store
        .fail(f.workspace, &claim, JobState::Failed, problem.clone(), &[], f.now())
        .await
        .expect("failed");
    let document = first.items[0].document_id;
    let failed = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!((failed.status, failed.error), (DocumentStatus::Failed, Some(problem)));
    let again = f.upload(filings, "a.txt", "same").await;
    assert_eq!(again.items[0].status, UploadStatus::Queued);
    assert_eq!(again.items[0].document_id, document);
    assert_eq!(f.version_of(document).await, 2);
}

pub async fn the_same_name_with_new_bytes_is_a_new_version(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = f.upload(filings, "a.txt", "one").await;
    let second = f.upload(filings, "a.txt", "two").await;
    assert_eq!(second.items[0].status, UploadStatus::Queued);
    assert_eq!(second.items[0].document_id, first.items[0].document_id);
    assert_ne!(second.items[0].job_id, first.items[0].job_id);
    assert_eq!(f.version_of(first.items[0].document_id).await, 2);
    let message = f.message_of(second.items[0].job_id).await.expect("a message");
    assert_eq!(message.envelope.payload["version"], 2);
}

pub async fn files_of_one_request_count_for_each_other(f: Fixture) {
    let filings = f.collection("filings").await;
    let files = vec![f.file("a.txt", "one"), f.file("b.txt", "one"), f.file("a.txt", "two")];
    let upload = f.upload_of(filings, files);
    let accepted = f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let items = accepted.expect("the collection is there").items;
    assert_eq!(items[0].status, UploadStatus::Queued);
    assert_eq!(items[1].status, UploadStatus::Duplicate);
    assert_eq!(items[1].job_id, items[0].job_id);
    assert_eq!(items[2].status, UploadStatus::Queued);
    assert_eq!(items[2].document_id, items[0].document_id);
    assert_eq!(f.version_of(items[0].document_id).await, 2);
}

pub async fn an_upload_to_no_collection_leaves_nothing(f: Fixture) {
    let missing: CollectionId = f.id();
    let upload = with_key(&f, f.upload_of(missing, vec![f.file("a.txt", "one")]), "k");
    assert!(f.store.accept_upload(f.workspace, upload).await.expect("answered").is_none());
    nothing_was_accepted(&f).await;
    let kept = f.store.remembered(f.workspace, f.principal, "k").await.expect("read");
    assert!(kept.is_none());
}

async fn nothing_was_accepted(f: &Fixture) {
    let page = PageRequest::default();
    let documents = f.store.list_documents(f.workspace, DocumentFilter::default(), page).await;
    assert!(documents.expect("read").items.is_empty());
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    assert!(jobs.items.is_empty());
    assert_eq!(f.store.outbox_next_due().await.expect("read"), None);
}

fn with_key(f: &Fixture, upload: AcceptUpload, key: &str) -> AcceptUpload {
    let idempotency = IdempotencyKey {
        principal_id: f.principal,
        key: key.to_owned(),
        request_sha256: [3; 32],
        created_at: f.now(),
    };
    AcceptUpload { idempotency: Some(idempotency), ..upload }
}

pub async fn an_idempotency_key_has_one_effect_and_keeps_the_answer(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = with_key(&f, f.upload_of(filings, vec![f.file("a.txt", "one")]), "k");
    let accepted = f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let accepted = accepted.expect("the collection is there");
    let kept = f.store.remembered(f.workspace, f.principal, "k").await.expect("read");
    let kept = kept.expect("kept");
    assert_eq!(kept.request_sha256, [3; 32]);
    assert_eq!(kept.response, serde_json::to_value(&accepted).expect("JSON"));
    let again = with_key(&f, f.upload_of(filings, vec![f.file("b.txt", "two")]), "k");
    let again = f.store.accept_upload(f.workspace, again).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let page = PageRequest::default();
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    assert_eq!(jobs.items.len(), 1);
}

pub async fn two_requests_under_one_key_at_once_have_one_effect(f: Fixture) {
    let filings = f.collection("filings").await;
    let uploads = (0..8).map(|number| {
        let file = f.file(&format!("{number}.txt"), &number.to_string());
        f.store.accept_upload(f.workspace, with_key(&f, f.upload_of(filings, vec![file]), "k"))
    });
    let outcomes = futures::future::join_all(uploads).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(Some(_)) | Err(StoreError::Conflict { .. })), "{outcome:?}");
    }
    let page = PageRequest::default();
    let documents = f.store.list_documents(f.workspace, DocumentFilter::default(), page).await;
    assert_eq!(documents.expect("read").items.len(), 1);
}

pub async fn the_same_bytes_uploaded_at_once_are_one_document(f: Fixture) {
    let filings = f.collection("filings").await;
    let uploads = (0..8).map(|number| {
        let file = f.file(&format!("{number}.txt"), "the same");
        f.store.accept_upload(f.workspace, f.upload_of(filings, vec![file]))
    });
    let mut queued = 0;
    for accepted in futures::future::join_all(uploads).await {
        let accepted = accepted.expect("accepted").expect("the collection is there");
        queued += usize::from(accepted.items[0].status == UploadStatus::Queued);
    }
    assert_eq!(queued, 1);
    let page = PageRequest::default();
    let documents = f.store.list_documents(f.workspace, DocumentFilter::default(), page).await;
    assert_eq!(documents.expect("read").items.len(), 1);
}

pub async fn keys_of_different_principals_never_meet(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = with_key(&f, f.upload_of(filings, vec![f.file("a.txt", "one")]), "k");
    f.store.accept_upload(f.workspace, first).await.expect("accepted");
    let mut second = with_key(&f, f.upload_of(filings, vec![f.file("b.txt", "two")]), "k");
    if let Some(key) = &mut second.idempotency {
        key.principal_id = f.id();
    }
    f.store.accept_upload(f.workspace, second).await.expect("another principal's key is another");
    let stranger = f.store.remembered(f.workspace, f.id(), "k").await.expect("read");
    assert!(stranger.is_none());
}
