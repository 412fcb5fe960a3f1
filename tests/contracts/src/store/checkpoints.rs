//! Checkpoints: a parse that was cut off finds what it had stored, exactly.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::ChunkId;
use quaestor_core::jobs::Step;
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{Checkpoint, NewPage, StoreError};

use super::Fixture;
use super::fixture::LEASE;

fn checkpoint(pages: u32, chunks: u32, state: &[u8]) -> Checkpoint {
    Checkpoint { parser: "1".to_owned(), pages, chunks, state: state.to_vec() }
}

fn page(f: &Fixture, ordinal: u32, text: &str) -> NewPage {
    NewPage { ordinal, number: Some(ordinal + 1), ..f.page(text) }
}

pub async fn a_parse_goes_on_behind_what_is_stored(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.pdf", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    let (store, workspace, document) = (&f.store, f.workspace, subject.document_id);
    let none = store.resume_ingest(workspace, &claim, &subject, "1").await.expect("begun");
    assert_eq!(none, None);
    for (place, text) in ["alpha", "beta"].into_iter().enumerate() {
        let at = u32::try_from(place).expect("small");
        let (pages, chunk) = (vec![page(&f, at, text)], f.chunk(document, 1, at, text));
        let next = checkpoint(at + 1, at + 1, &[7, 0, u8::try_from(at).expect("small")]);
        store
            .save_checkpoint(workspace, &claim, &subject, pages, vec![chunk], next)
            .await
            .expect("stored");
    }
    f.pass(LEASE);
    let again = f.claim(claim.job_id).await.claim;
    let stale = store.resume_ingest(workspace, &claim, &subject, "1").await;
    assert!(matches!(stale, Err(StoreError::Fenced)), "{stale:?}");
    let late = store
        .save_checkpoint(workspace, &claim, &subject, vec![], vec![], checkpoint(2, 2, &[]))
        .await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let found = store.resume_ingest(workspace, &again, &subject, "1").await.expect("resumed");
    assert_eq!(found, Some(checkpoint(2, 2, &[7, 0, 1])));
    let chunk = f.chunk(document, 1, 2, "gamma");
    let pages = vec![page(&f, 2, "gamma")];
    let last = checkpoint(3, 3, &[]);
    store
        .save_checkpoint(workspace, &again, &subject, pages, vec![chunk], last)
        .await
        .expect("stored");
    let mut summary = f.summary(3);
    summary.pages = 3;
    store
        .finish_ingest(workspace, &again, &subject, summary, None, f.now())
        .await
        .expect("finished");
    let scope = f.scope(&[filings]);
    for (ordinal, word) in [(0, "alpha"), (1, "beta"), (2, "gamma")] {
        assert_eq!(f.found(&scope, &[word]).await, [ChunkId::derive(document, 1, ordinal)]);
    }
}

pub async fn what_another_parser_has_stored_is_removed(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.pdf", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    let (store, workspace) = (&f.store, f.workspace);
    let save = async |pages: u32| {
        let chunk = f.chunk(subject.document_id, 1, 0, "alpha");
        let page = vec![page(&f, 0, "alpha")];
        let next = checkpoint(pages, 1, &[]);
        store.save_checkpoint(workspace, &claim, &subject, page, vec![chunk], next).await
    };
    save(1).await.expect("stored");
    let found = store.resume_ingest(workspace, &claim, &subject, "2").await.expect("begun");
    assert_eq!(found, None, "another parser begins anew");
    save(1).await.expect("nothing is left of it");
    store.begin_ingest(workspace, &claim, &subject).await.expect("begun");
    // A program that knows no checkpoints has stored something else since.
    save(2).await.expect("stored");
    let found = store.resume_ingest(workspace, &claim, &subject, "1").await.expect("begun");
    assert_eq!(found, None, "what is stored is not what the checkpoint says");
    save(1).await.expect("nothing is left of it");
}

pub async fn a_parse_that_takes_long_goes_on_as_another_message(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.pdf", "a").await;
    let item = upload.items[0].job_id;
    for _ in 0..4 {
        let claimed = f.claim(item).await;
        assert!(!claimed.restarted, "what was done counts");
        let next = f.advance(Step::DocumentsIngest, claimed.payload.clone());
        f.store
            .continue_ingest(f.workspace, &claimed.claim, next.clone(), f.now())
            .await
            .expect("handed on");
        let again = f.store.continue_ingest(f.workspace, &claimed.claim, next, f.now()).await;
        assert!(matches!(again, Err(StoreError::Fenced)), "{again:?}");
    }
    let job = f.store.job(f.workspace, None, item).await.expect("read").expect("there");
    assert_eq!((job.state, job.attempt), (JobState::Queued, 4));
}
