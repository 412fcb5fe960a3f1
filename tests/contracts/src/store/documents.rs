//! Documents: lists, contents, deletion.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::jobs::Step;
use quaestor_core::model::{DocumentStatus, JobState, PageRequest};
use quaestor_core::ports::store::{ClaimOutcome, DocumentFilter, Heartbeat, PutOff, StoreError};

use super::Fixture;

pub async fn documents_are_listed_and_filtered_in_pages(f: Fixture) {
    let (filings, letters) = (f.collection("filings").await, f.collection("letters").await);
    let ready = f.ingest(filings, "a.txt", &["alpha"]).await;
    let queued = f.upload(filings, "b.txt", "b").await.items[0].document_id;
    let other = f.upload(letters, "c.txt", "c").await.items[0].document_id;
    let list = async |collection_id, status, limit, after| {
        let filter = DocumentFilter { collection_id, status };
        let page = PageRequest { limit, after };
        f.store.list_documents(f.workspace, filter, page).await.expect("read")
    };
    let ids = |items: &[quaestor_core::model::Document]| {
        items.iter().map(|document| document.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&list(None, None, 50, None).await.items), [ready, queued, other]);
    assert_eq!(ids(&list(Some(filings), None, 50, None).await.items), [ready, queued]);
    let status = Some(DocumentStatus::Ready);
    assert_eq!(ids(&list(None, status, 50, None).await.items), [ready]);
    assert!(list(Some(letters), status, 50, None).await.items.is_empty());
    let first = list(None, None, 2, None).await;
    assert_eq!(ids(&first.items), [ready, queued]);
    let second = list(None, None, 2, first.next).await;
    assert_eq!((ids(&second.items), second.next), (vec![other], None));
}

pub async fn a_document_has_its_pages_passages_and_files(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["alpha", "beta", "gamma"]).await;
    let found = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!((found.status, found.pages, found.chunks), (DocumentStatus::Ready, 1, 3));
    assert_eq!(found.media_type, "text/plain");
    let passages = f.store.document_chunks(f.workspace, document, 1, 1).await.expect("read");
    let passages = passages.expect("there");
    assert_eq!(passages.len(), 1);
    let passage = &passages[0];
    assert_eq!((passage.text.as_str(), passage.ordinal, passage.page), ("beta", 1, Some(1)));
    assert_eq!((passage.document_id, passage.collection_id), (document, filings));
    assert_eq!((passage.title.as_deref(), passage.tokens), (Some("Title"), 7));
    let page = f.store.document_page(f.workspace, document, 1, 0).await.expect("read");
    let page = page.expect("there");
    assert_eq!((page.text.as_str(), page.boxes), ("alpha\nbeta\ngamma", vec![1, 2, 3]));
    assert!(f.store.document_page(f.workspace, document, 1, 1).await.expect("read").is_none());
    assert!(f.store.document_page(f.workspace, document, 2, 0).await.expect("read").is_none());
    let newest = f.store.document_object(f.workspace, document, None).await.expect("read");
    let first = f.store.document_object(f.workspace, document, Some(1)).await.expect("read");
    assert_eq!(newest, first);
    assert_eq!(newest.expect("there").filename, "a.txt");
    assert!(f.store.document_object(f.workspace, document, Some(2)).await.expect("read").is_none());
}

pub async fn a_deleted_document_leaves_nothing_and_fences_its_worker(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, _) = f.embed(filings, "a.txt", &[[1.0; 8], [0.5; 8]]).await;
    let object = f.store.document_object(f.workspace, document, None).await.expect("read");
    let second = f.upload(filings, "a.txt", "second version").await;
    let newer = f.store.document_object(f.workspace, document, None).await.expect("read");
    let (claim, subject) = f.begin(f.workspace, &second).await;
    f.save(f.workspace, &claim, &subject, &["half", "done"]).await;

    let audit = f.audit("document.delete");
    let keys = f.store.delete_document(f.workspace, document, f.now(), audit).await;
    let mut keys = keys.expect("deleted").expect("there");
    keys.sort();
    let mut expected = vec![object.expect("there").key, newer.expect("there").key];
    expected.sort();
    assert_eq!(keys, expected);

    assert!(f.store.document(f.workspace, document).await.expect("read").is_none());
    assert!(f.store.document_chunks(f.workspace, document, 0, 9).await.expect("read").is_none());
    assert!(f.found(&f.scope(&[filings]), &["a.txt", "half"]).await.is_empty());
    let job = f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there");
    assert_eq!(job.state, JobState::Cancelled);
    assert!(f.message_of(claim.job_id).await.is_none());
    let late = f.store.save_parsed(f.workspace, &claim, &subject, vec![], vec![]).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let lease_until = f.now() + super::fixture::LEASE;
    let beat = f.store.heartbeat(f.workspace, &claim, lease_until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Lost);
    assert_eq!(f.leftovers().await, Vec::<String>::new());
    let audit = f.audit("document.delete");
    let again = f.store.delete_document(f.workspace, document, f.now(), audit).await;
    assert!(again.expect("answered").is_none());
}

pub async fn a_deleted_collection_leaves_nothing_and_fences_its_workers(f: Fixture) {
    let filings = f.collection("filings").await;
    let (_, generation) = f.embed(filings, "a.txt", &[[1.0; 8]]).await;
    f.ingest(filings, "b.txt", &["beta"]).await;
    let open = f.upload(filings, "c.txt", "c").await;
    let (claim, subject) = f.begin(f.workspace, &open).await;
    let audit = f.audit("collection.delete");
    let keys = f.store.delete_collection(f.workspace, filings, f.now(), audit).await;
    assert_eq!(keys.expect("deleted").expect("there").len(), 3);
    assert!(f.store.collection(f.workspace, filings).await.expect("read").is_none());
    assert!(f.found(&f.scope(&[filings]), &["beta"]).await.is_empty());
    let scope = f.scope(&[filings]);
    let near = f.store.search_vectors(f.workspace, &scope, &[generation], &[1.0; 8], 5).await;
    assert!(near.expect("answered").is_empty());
    let late = f.store.begin_ingest(f.workspace, &claim, &subject).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(f.leftovers().await, Vec::<String>::new());
    // The name is free again.
    f.collection("filings").await;
}

pub async fn a_deletion_cancels_waiting_jobs(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let next = f.advance(Step::DocumentsIngest, serde_json::json!({}));
    let message = next.outbox_id;
    f.store
        .put_off(f.workspace, &claim, PutOff::after_try("busy"), next, &[], f.now())
        .await
        .expect("put off");
    let row = f.message_of(claim.job_id).await.expect("a message");
    assert_eq!(row.envelope.outbox_id, message);
    let document = upload.items[0].document_id;
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, document, f.now(), audit).await.expect("deleted");
    match f.store.claim(f.workspace, f.wish(&row)).await.expect("answered") {
        ClaimOutcome::Ended { job } => assert_eq!(job.state, JobState::Cancelled),
        other => panic!("{other:?}"),
    }
}

pub async fn the_keys_of_files_that_rows_name_are_known(f: Fixture) {
    let filings = f.collection("filings").await;
    let uploaded = f.upload(filings, "a.txt", "a").await.items[0].document_id;
    f.upload(filings, "a.txt", "another a").await;
    let mut keys = Vec::new();
    for version in [1, 2] {
        let object = f.store.document_object(f.workspace, uploaded, Some(version)).await;
        keys.push(object.expect("read").expect("stored").key);
    }
    let mut asked: Vec<String> =
        (0..250).map(|number| format!("nobody/uploads/{number}")).collect();
    asked.insert(7, keys[0].clone());
    asked.push(keys[1].clone());
    let mut known = f.store.known_objects(f.workspace, &asked).await.expect("looked for");
    known.sort();
    keys.sort();
    assert_eq!(known, keys);
    let other = f.new_workspace().await;
    assert!(f.store.known_objects(other, &asked).await.expect("looked for").is_empty());
    assert!(f.store.known_objects(f.workspace, &[]).await.expect("looked for").is_empty());
}
