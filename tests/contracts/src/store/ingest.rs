//! Ingestion and embedding: what is stored, when it is searched, and who may write.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::ChunkId;
use quaestor_core::jobs::Step;
use quaestor_core::model::{DocumentStatus, JobState};
use quaestor_core::ports::store::{Claim, StoreError};
use quaestor_core::problem::Problem;

use super::Fixture;
use super::fixture::{DIMENSIONS, LEASE};

pub async fn a_version_becomes_searchable_when_it_is_finished(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let document = upload.items[0].document_id;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    assert_eq!((subject.collection_id, subject.version), (filings, 1));
    f.save(f.workspace, &claim, &subject, &["alpha", "beta"]).await;
    let found = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!(found.status, DocumentStatus::Processing);
    let scope = f.scope(&[filings]);
    assert!(f.found(&scope, &["alpha"]).await.is_empty(), "half of a parse is not searched");
    let chunks = f.store.document_chunks(f.workspace, document, 0, 9).await.expect("read");
    assert_eq!(chunks, Some(vec![]));
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({"v": 1}));
    let mut summary = f.summary(2);
    summary.warning = Some(Problem::new("partly", "Partly read", "Page 2 is a picture."));
    let now = f.now();
    f.store
        .finish_ingest(f.workspace, &claim, &subject, summary, Some(next), now)
        .await
        .expect("finished");
    assert_eq!(f.found(&scope, &["alpha"]).await, [ChunkId::derive(document, 1, 0)]);
    let found = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!((found.status, found.chunks), (DocumentStatus::Processing, 2));
    assert_eq!(found.error.expect("a warning").code, "partly");
    let job = f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.step), (JobState::Queued, Step::DocumentsEmbed));
    let message = f.message_of(claim.job_id).await.expect("a message");
    assert_eq!(message.envelope.payload, serde_json::json!({"v": 1}));
}

pub async fn without_a_next_step_the_document_is_ready(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    f.finish_upload(f.workspace, &upload, &["alpha"], None).await;
    let document = f.store.document(f.workspace, upload.items[0].document_id).await;
    assert_eq!(document.expect("read").expect("there").status, DocumentStatus::Ready);
    let job = f.store.job(f.workspace, None, upload.items[0].job_id).await;
    assert_eq!(job.expect("read").expect("there").state, JobState::Done);
}

pub async fn a_new_version_replaces_the_one_before_in_one_step(f: Fixture) {
    let filings = f.collection("filings").await;
    let (document, generation) = f.embed(filings, "a.txt", &[[1.0; 8]]).await;
    let scope = f.scope(&[filings]);
    let upload = f.upload(filings, "a.txt", "second").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["fresh words"]).await;
    let old = ChunkId::derive(document, 1, 0);
    assert_eq!(f.found(&scope, &["chunk", "fresh"]).await, [old]);
    f.store
        .finish_ingest(f.workspace, &claim, &subject, f.summary(1), None, f.now())
        .await
        .expect("finished");
    assert_eq!(f.found(&scope, &["chunk", "fresh"]).await, [ChunkId::derive(document, 2, 0)]);
    let near = f.store.search_vectors(f.workspace, &scope, &[generation], &[1.0; 8], 5).await;
    assert!(near.expect("answered").is_empty(), "the former version's vectors are gone");
    // Answers that cite the former version can still show it.
    let passages = f.store.passages(f.workspace, &[old]).await.expect("read");
    assert_eq!(passages[0].version, 1);
    assert!(f.store.document_page(f.workspace, document, 1, 0).await.expect("read").is_some());
}

pub async fn a_version_overtaken_by_a_later_one_is_not_searched(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = f.upload(filings, "a.txt", "first").await;
    let second = f.upload(filings, "a.txt", "second").await;
    f.finish_upload(f.workspace, &second, &["newer"], None).await;
    f.finish_upload(f.workspace, &first, &["older"], None).await;
    let scope = f.scope(&[filings]);
    assert!(f.found(&scope, &["older"]).await.is_empty());
    assert_eq!(f.found(&scope, &["newer"]).await.len(), 1);
}

pub async fn a_restarted_ingestion_forgets_what_was_stored(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["alpha", "beta", "gamma"]).await;
    f.pass(LEASE);
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["alpha"]).await;
    f.store
        .finish_ingest(f.workspace, &claim, &subject, f.summary(1), None, f.now())
        .await
        .expect("finished");
    assert_eq!(f.found(&f.scope(&[filings]), &["alpha", "beta", "gamma"]).await.len(), 1);
    let chunks = f.store.document_chunks(f.workspace, subject.document_id, 0, 9).await;
    assert_eq!(chunks.expect("read").expect("there").len(), 1);
}

pub async fn a_failed_ingestion_leaves_the_former_version_searched(f: Fixture) {
    let filings = f.collection("filings").await;
    let document = f.ingest(filings, "a.txt", &["alpha"]).await;
    let upload = f.upload(filings, "a.txt", "second").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["beta"]).await;
    let problem = Problem::new("unreadable", "Unreadable", "It is no text.");
    f.store
        .fail_ingest(f.workspace, &claim, &subject, problem.clone(), f.now())
        .await
        .expect("failed");
    let found = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!((found.status, found.version), (DocumentStatus::Failed, 2));
    assert_eq!(found.error, Some(problem.clone()));
    let job = f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.problem), (JobState::Failed, Some(problem)));
    let scope = f.scope(&[filings]);
    assert_eq!(f.found(&scope, &["alpha", "beta"]).await, [ChunkId::derive(document, 1, 0)]);
    assert!(f.store.document_page(f.workspace, document, 2, 0).await.expect("read").is_none());
}

pub async fn a_stale_claim_writes_nothing(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let (stale, subject) = f.begin(f.workspace, &upload).await;
    let generation = f.generation(f.workspace, filings).await;
    f.pass(LEASE);
    f.begin(f.workspace, &upload).await;
    every_write_is_fenced(&f, &stale, &subject, generation).await;
    let pages = f.store.document_page(f.workspace, subject.document_id, 1, 0).await;
    assert!(pages.expect("read").is_none());
}

pub async fn a_claim_of_another_job_writes_nothing(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = f.upload(filings, "a.txt", "a").await;
    let second = f.upload(filings, "b.txt", "b").await;
    let (claim, _) = f.begin(f.workspace, &first).await;
    let (_, foreign) = f.begin(f.workspace, &second).await;
    let refused = f.store.begin_ingest(f.workspace, &claim, &foreign).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let page = vec![f.page("x")];
    let refused = f.store.save_parsed(f.workspace, &claim, &foreign, page, vec![]).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}

/// Tries every write of ingestion with a claim that no longer holds.
pub(super) async fn every_write_is_fenced(
    f: &Fixture,
    stale: &Claim,
    subject: &quaestor_core::ports::store::IngestSubject,
    generation: quaestor_core::ids::GenerationId,
) {
    let (store, workspace, now) = (&f.store, f.workspace, f.now());
    let chunk = f.chunk(subject.document_id, subject.version, 0, "late");
    let vector = (chunk.id, vec![1.0; DIMENSIONS as usize]).into();
    let problem = Problem::new("late", "Late", "late");
    let (document, version) = (subject.document_id, subject.version);
    let refused = [
        store.begin_ingest(workspace, stale, subject).await,
        store.save_parsed(workspace, stale, subject, vec![f.page("late")], vec![chunk]).await,
        store.finish_ingest(workspace, stale, subject, f.summary(1), None, now).await,
        store.fail_ingest(workspace, stale, subject, problem, now).await,
        store.save_vectors(workspace, stale, generation, vec![vector], 1, &[]).await,
        store.finish_embed(workspace, stale, document, version, now).await,
    ];
    for refusal in refused {
        assert!(matches!(refusal, Err(StoreError::Fenced)), "{refusal:?}");
    }
}

pub async fn a_collection_has_one_generation_of_one_model(f: Fixture) {
    let filings = f.collection("filings").await;
    let made = f.generation(f.workspace, filings).await;
    assert_eq!(f.generation(f.workspace, filings).await, made);
    let find = async |collection, model: &str, dimensions| {
        f.store
            .current_generation(f.workspace, collection, model, dimensions, f.id(), f.now())
            .await
            .expect("answered")
    };
    assert!(find(filings, "another", DIMENSIONS).await.is_none());
    assert!(find(f.id(), "model", DIMENSIONS).await.is_none());
    let again = find(filings, "model", DIMENSIONS).await.expect("the current one");
    assert_eq!((again.id, again.collection_id), (made, filings));
}

pub async fn vectors_are_stored_once_and_counted(f: Fixture) {
    let filings = f.collection("filings").await;
    let generation = f.generation(f.workspace, filings).await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let document = upload.items[0].document_id;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["alpha", "beta", "gamma"], Some(next)).await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let batch = async |limit| {
        f.store.chunks_to_embed(f.workspace, document, 1, generation, limit).await.expect("read")
    };
    let first = batch(2).await;
    assert_eq!((first.chunks.len(), first.done, first.total), (2, 0, 3));
    assert_eq!(first.chunks[0].0, ChunkId::derive(document, 1, 0));
    for part in ["Title", "Section", "alpha"] {
        assert!(first.chunks[0].1.contains(part), "{:?}", first.chunks[0].1);
    }
    let axis = |place: usize| {
        let mut vector = vec![0.0; DIMENSIONS as usize];
        vector[place] = 1.0;
        vector
    };
    let save = async |ordinal, vector| {
        let vectors = vec![(ChunkId::derive(document, 1, ordinal), vector).into()];
        let saved = f.store.save_vectors(f.workspace, &claim, generation, vectors, 1, &[]).await;
        saved.expect("stored");
    };
    save(0, axis(0)).await;
    save(0, axis(1)).await;
    save(1, axis(2)).await;
    let rest = batch(9).await;
    assert_eq!((rest.chunks.len(), rest.done, rest.total), (1, 2, 3));
    let scope = f.scope(&[filings]);
    let near = f.store.search_vectors(f.workspace, &scope, &[generation], &axis(0), 5).await;
    let near = near.expect("answered");
    assert_eq!(near.len(), 2, "one vector for each chunk");
    assert_eq!(near[0].chunk_id, ChunkId::derive(document, 1, 0));
    assert!((near[0].similarity - 1.0).abs() < 1e-5, "the first vector stays");
    save(2, axis(3)).await;
    f.store.finish_embed(f.workspace, &claim, document, 1, f.now()).await.expect("finished");
    let found = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!(found.status, DocumentStatus::Ready);
    let job = f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there");
    assert_eq!(job.state, JobState::Done);
}

pub async fn a_vector_of_the_wrong_length_is_refused(f: Fixture) {
    let filings = f.collection("filings").await;
    let generation = f.generation(f.workspace, filings).await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["alpha"], Some(next)).await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let vectors = vec![(ChunkId::derive(upload.items[0].document_id, 1, 0), vec![1.0; 3]).into()];
    let refused = f.store.save_vectors(f.workspace, &claim, generation, vectors, 1, &[]).await;
    assert!(matches!(refused, Err(StoreError::Failed { .. })), "{refused:?}");
}

pub async fn a_failed_embedding_keeps_the_words_searchable(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &["alpha"], Some(next)).await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let problem = Problem::new("no_model", "No model", "Configure one.");
    f.store
        .fail(f.workspace, &claim, JobState::Failed, problem, &[], f.now())
        .await
        .expect("failed");
    let document = f.store.document(f.workspace, upload.items[0].document_id).await;
    assert_eq!(document.expect("read").expect("there").status, DocumentStatus::Failed);
    assert_eq!(f.found(&f.scope(&[filings]), &["alpha"]).await.len(), 1);
}
