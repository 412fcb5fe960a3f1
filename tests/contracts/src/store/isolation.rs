//! No workspace sees or changes another's rows: its ids are as missing.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::{ChunkId, WorkspaceId};
use quaestor_core::jobs::Step;
use quaestor_core::model::{JobState, PageRequest};
use quaestor_core::ports::store::{
    Answer, ClaimOutcome, DocumentFilter, Heartbeat, JobFilter, NewFeedback, PutOff, StoreError,
    UnfinishedAnswer,
};
use quaestor_core::problem::Problem;

use super::Fixture;
use super::fixture::LEASE;

pub async fn another_workspaces_ids_are_as_missing(f: Fixture) {
    let thief: WorkspaceId = f.new_workspace().await;
    let filings = f.collection("filings").await;
    let (document, generation) = f.embed(filings, "a.txt", &[[1.0; 8]]).await;
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let held = f.ask(conversation, "and?").await;
    let claim = f.claim(held.job_id).await.claim;
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store
        .save_retrieved(f.workspace, &claim, held.answer_id, "and?", &[], next)
        .await
        .expect("saved");
    let (store, now, page, me) = (&f.store, f.now(), PageRequest::default(), f.principal);
    let chunk = ChunkId::derive(document, 1, 0);

    // Reads.
    assert!(store.list_audit(thief, page).await.expect("read").items.is_empty());
    assert!(store.list_keys(thief, page).await.expect("read").items.is_empty());
    assert!(store.list_collections(thief, page).await.expect("read").items.is_empty());
    assert!(store.collection(thief, filings).await.expect("read").is_none());
    let filter = DocumentFilter { collection_id: Some(filings), status: None };
    assert!(store.list_documents(thief, filter, page).await.expect("read").items.is_empty());
    assert!(store.document(thief, document).await.expect("read").is_none());
    assert!(store.document_object(thief, document, None).await.expect("read").is_none());
    assert!(store.document_chunks(thief, document, 0, 9).await.expect("read").is_none());
    assert!(store.document_page(thief, document, 1, 0).await.expect("read").is_none());
    assert!(store.ingest_subject(thief, document, 1).await.expect("read").is_none());
    let batch = store.chunks_to_embed(thief, document, 1, generation, 9).await.expect("read");
    assert_eq!((batch.chunks.len(), batch.total), (0, 0));
    assert!(store.generations(thief, &[filings]).await.expect("read").is_empty());
    assert!(store.passages(thief, &[chunk]).await.expect("read").is_empty());
    let scope = f.scope(&[filings]);
    assert!(store.searchable_documents(thief, &scope, 9).await.expect("read").is_empty());
    assert!(store.list_conversations(thief, me, page).await.expect("read").items.is_empty());
    assert!(store.conversation(thief, me, conversation).await.expect("read").is_none());
    assert!(store.list_messages(thief, me, conversation, page).await.expect("read").is_none());
    assert!(store.message(thief, me, asked.message_id).await.expect("read").is_none());
    let context = store.question_context(thief, asked.message_id, asked.answer_id, 9).await;
    assert!(context.expect("read").is_none());
    assert!(store.grounding(thief, held.answer_id).await.expect("read").is_none());
    assert!(store.answer_of_job(thief, me, asked.job_id).await.expect("read").is_none());
    let jobs = store.list_jobs(thief, JobFilter::default(), page).await.expect("read");
    assert!(jobs.items.is_empty());
    assert!(store.job(thief, None, asked.job_id).await.expect("read").is_none());
    assert!(store.remembered(thief, me, "k").await.expect("read").is_none());

    // Changes.
    let renamed = store.rename_collection(thief, filings, "x", f.audit("x")).await;
    assert!(renamed.expect("answered").is_none());
    let upload = f.upload_of(filings, vec![f.file("x", "x")]);
    assert!(store.accept_upload(thief, upload).await.expect("answered").is_none());
    let question = f.question(conversation, "x");
    assert!(store.accept_question(thief, question).await.expect("answered").is_none());
    let made = store.current_generation(thief, filings, "model", 8, f.id(), now).await;
    assert!(made.expect("answered").is_none());
    let feedback = NewFeedback {
        message_id: asked.answer_id,
        principal_id: me,
        rating: 1,
        comment: None,
        created_at: now,
    };
    assert!(!store.save_feedback(thief, feedback).await.expect("answered"));
    let cancelled = store.request_cancel(thief, None, asked.job_id, now, f.audit("x")).await;
    assert!(cancelled.expect("answered").is_none());
    let deleted = store.delete_document(thief, document, now, f.audit("x")).await;
    assert!(deleted.expect("answered").is_none());
    let deleted = store.delete_collection(thief, filings, now, f.audit("x")).await;
    assert!(deleted.expect("answered").is_none());
    let deleted = store.delete_conversation(thief, me, conversation, now, f.audit("x")).await;
    assert!(!deleted.expect("answered"));
    assert!(store.list_audit(thief, page).await.expect("read").items.is_empty());

    // All of it is still there.
    assert!(store.document(f.workspace, document).await.expect("read").is_some());
    assert!(store.message(f.workspace, me, asked.message_id).await.expect("read").is_some());
    let job = store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!(job.state, JobState::Queued);
}

pub async fn another_workspaces_claims_write_nothing(f: Fixture) {
    let thief: WorkspaceId = f.new_workspace().await;
    let filings = f.collection("filings").await;
    let generation = f.generation(f.workspace, filings).await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let message = f.message_of(asked.job_id).await.expect("a message");
    let outcome = f.store.claim(thief, f.wish(&message)).await.expect("answered");
    assert_eq!(outcome, ClaimOutcome::Stale);
    let chat = f.claim(asked.job_id).await.claim;
    let (store, now) = (&f.store, f.now());
    let beat = store.heartbeat(thief, &claim, now + LEASE).await.expect("answered");
    assert_eq!(beat, Heartbeat::Lost);
    let next = || f.advance(Step::ChatGenerate, serde_json::json!({}));
    let problem = || Problem::new("x", "X", "x");
    let answer = Answer {
        content: "x".to_owned(),
        citations: vec![],
        figures: vec![],
        model: "x".to_owned(),
        usage: quaestor_core::model::Usage::default(),
        calls: vec![],
    };
    let end =
        UnfinishedAnswer { partial: "x".to_owned(), usage: None, calls: vec![], problem: None };
    let vector = (ChunkId::derive(subject.document_id, 1, 0), vec![1.0; 8]).into();
    let refused = [
        store.put_off(thief, &claim, PutOff::after_try("x"), next(), &[], now).await,
        store.hand_back(thief, &claim, next(), &[], now).await,
        store.fail(thief, &claim, JobState::Failed, problem(), &[], now).await,
        store.cancel(thief, &claim, &[], now).await,
        store.finish_without_subject(thief, &claim, now).await,
        store.begin_ingest(thief, &claim, &subject).await,
        store.save_parsed(thief, &claim, &subject, vec![f.page("x")], vec![]).await,
        store.finish_ingest(thief, &claim, &subject, f.summary(0), None, now).await,
        store.fail_ingest(thief, &claim, &subject, problem(), now).await,
        store.save_vectors(thief, &claim, generation, vec![vector], 1, &[]).await,
        store.finish_embed(thief, &claim, subject.document_id, 1, now).await,
        store.save_retrieved(thief, &chat, asked.answer_id, "x", &[], next()).await.map(drop),
        store.save_answer(thief, &chat, asked.answer_id, answer, now).await,
        store.end_answer(thief, &chat, asked.answer_id, end, now).await,
    ];
    for refusal in refused {
        assert!(matches!(refusal, Err(StoreError::Fenced)), "{refusal:?}");
    }
    let beat = store.heartbeat(f.workspace, &claim, now + LEASE).await.expect("answered");
    assert_eq!(beat, Heartbeat::Held);
}

pub async fn another_workspaces_chunks_are_never_found(f: Fixture) {
    let thief: WorkspaceId = f.new_workspace().await;
    let filings = f.collection("filings").await;
    let (_, generation) = f.embed(filings, "canary", &[[1.0; 8]]).await;
    let own = f.collection_in(thief, "own").await;
    f.ingest_in(thief, own, "b.txt", &["canary bird"]).await;
    let scope = f.scope(&[filings, own]);
    let terms = vec!["canary".to_owned()];
    let hits = f.store.search_text(thief, &scope, &terms, 9).await.expect("answered");
    assert_eq!(hits.len(), 1, "its own alone");
    let near = f.store.search_vectors(thief, &scope, &[generation], &[1.0; 8], 9).await;
    assert!(near.expect("answered").is_empty());
}

pub async fn another_workspaces_rows_do_not_weigh(f: Fixture) {
    let filings = f.collection("filings").await;
    f.ingest(filings, "a.txt", &["alpha beta", "beta", "gamma"]).await;
    let scope = f.scope(&[filings]);
    let terms = vec!["alpha".to_owned(), "beta".to_owned()];
    let before = f.store.search_text(f.workspace, &scope, &terms, 9).await.expect("answered");
    let other = f.new_workspace().await;
    let theirs = f.collection_in(other, "theirs").await;
    f.ingest_in(other, theirs, "b.txt", &["alpha", "alpha alpha", "alpha delta"]).await;
    let after = f.store.search_text(f.workspace, &scope, &terms, 9).await.expect("answered");
    assert_eq!(after, before);
}
