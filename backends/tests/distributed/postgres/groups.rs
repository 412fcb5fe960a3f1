//! Calls that are written together are answered apart.

use std::collections::HashSet;
use std::sync::Arc;

use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::jobs::Step;
use quaestor_core::model::PageRequest;
use quaestor_core::ports::store::{ClaimOutcome, IdempotencyKey, JobFilter, StoreError};

use super::databases::{Database, open};

async fn fixture() -> Fixture {
    let database = Database::with_schema().await;
    let store = Arc::new(open(&database).await);
    Fixture::over(EmptyStore { store, keep: Box::new(database), leftovers: None, harm: None }).await
}

#[tokio::test]
async fn of_questions_accepted_together_each_has_its_own_answer() {
    let f = fixture().await;
    let conversation = f.conversation().await;
    let mut questions = Vec::new();
    for place in 0..60 {
        let mut question = f.question(conversation, &format!("question {place}"));
        match place % 4 {
            1 => question.conversation_id = f.id(),
            2 => {
                question.idempotency = Some(IdempotencyKey {
                    principal_id: f.principal,
                    key: "the same".to_owned(),
                    request_sha256: [1; 32],
                    created_at: f.now(),
                });
            }
            // Of one id all: the database refuses every one but the first.
            3 => question.job.id = uuid::Uuid::from_u128(5).into(),
            _ => {}
        }
        questions.push(question);
    }
    let calls =
        questions.into_iter().map(|question| f.store.accept_question(f.workspace, question));
    let answers = futures::future::join_all(calls).await;
    let of = |kind: usize| answers.iter().skip(kind).step_by(4);
    assert!(of(0).all(|answer| matches!(answer, Ok(Some(_)))), "{answers:?}");
    assert!(of(1).all(|answer| matches!(answer, Ok(None))), "{answers:?}");
    assert_eq!(of(2).filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1, "{answers:?}");
    let conflicts = of(2).filter(|answer| matches!(answer, Err(StoreError::Conflict { .. })));
    assert_eq!(conflicts.count(), 14, "{answers:?}");
    assert_eq!(of(3).filter(|answer| matches!(answer, Ok(Some(_)))).count(), 1, "{answers:?}");
    assert_eq!(of(3).filter(|answer| answer.is_err()).count(), 14, "{answers:?}");
    let page = PageRequest { limit: 100, after: None };
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.unwrap();
    assert_eq!(jobs.items.len(), 15 + 1 + 1, "what was refused left nothing");
}

#[tokio::test]
async fn of_workspaces_written_together_none_sees_another() {
    let f = fixture().await;
    let mut calls = Vec::new();
    let mut own = f.conversation().await;
    for _ in 0..8 {
        let workspace = f.new_workspace().await;
        // The conversation of the workspace before.
        calls.push(f.store.accept_question(workspace, f.question(own, "theirs?")));
        own = f.conversation().await;
        calls.push(f.store.accept_question(f.workspace, f.question(own, "ours")));
    }
    for (place, answer) in futures::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().is_some(), place % 2 == 1);
    }
}

#[tokio::test]
async fn of_claims_made_together_each_job_is_granted_once() {
    let f = fixture().await;
    let conversation = f.conversation().await;
    for _ in 0..20 {
        f.ask(conversation, "why?").await;
    }
    let messages = f.due(f.now(), 100).await;
    let wishes =
        messages.iter().chain(&messages).map(|row| f.store.claim(f.workspace, f.wish(row)));
    let mut claims = Vec::new();
    let mut held = 0;
    for outcome in futures::future::join_all(wishes).await {
        match outcome.unwrap() {
            ClaimOutcome::Claimed(claimed) => claims.push(claimed.claim),
            ClaimOutcome::Held { .. } => held += 1,
            other => panic!("{other:?}"),
        }
    }
    let jobs: HashSet<_> = claims.iter().map(|claim| claim.job_id).collect();
    assert_eq!((claims.len(), jobs.len(), held), (20, 20, 20));

    // Half of them end, some of them twice; a stale one fails alone.
    let stale = quaestor_core::ports::store::Claim { attempt: 9, ..claims[0].clone() };
    let ends = claims[..10].iter().chain(&claims[..5]).chain([&stale]);
    let ends = ends.map(|claim| f.store.finish_without_subject(f.workspace, claim, f.now()));
    let ended = futures::future::join_all(ends).await;
    assert_eq!(ended.iter().filter(|end| end.is_ok()).count(), 10, "{ended:?}");
    assert!(ended.iter().all(|end| matches!(end, Ok(()) | Err(StoreError::Fenced))));

    // The others go on, and their next step is due.
    let advances = claims[10..].iter().map(|claim| {
        let (store, workspace) = (&f.store, f.workspace);
        let job = store.job(f.workspace, None, claim.job_id);
        let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
        async move {
            let answer = job.await.unwrap().unwrap().subject_id.into();
            store.save_retrieved(workspace, claim, answer, "why?", &[], next).await
        }
    });
    for advanced in futures::future::join_all(advances).await {
        advanced.unwrap();
    }
    let due = f.due(f.now(), 100).await;
    assert_eq!(due.len(), 10);
    assert!(due.iter().all(|row| row.envelope.step == Step::ChatGenerate));
}

#[tokio::test]
async fn a_caller_that_goes_away_changes_nothing_for_the_others() {
    let f = fixture().await;
    let conversation = f.conversation().await;
    for turns in 0..30 {
        let mut leaves = f.store.accept_question(f.workspace, f.question(conversation, "gone?"));
        let stays = (0..4).map(|_| f.ask(conversation, "stays"));
        let stays = futures::future::join_all(stays);
        for _ in 0..turns {
            if futures::poll!(&mut leaves).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(leaves);
        assert_eq!(stays.await.len(), 4);
    }
    let page = PageRequest { limit: 200, after: None };
    // The group of the last who left may be committed between the two reads: what is wrong
    // would stay wrong.
    let mut seen = (0, 1);
    for _ in 0..50 {
        let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.unwrap();
        seen = (jobs.items.len(), f.due(f.now(), 1_000).await.len());
        if seen.0 == seen.1 {
            break;
        }
    }
    assert_eq!(seen.0, seen.1, "all or nothing");
    assert!((120..=150).contains(&seen.0), "{}", seen.0);
}
