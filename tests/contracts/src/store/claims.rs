//! Claims, settlement, cancelling.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ids::PrincipalId;
use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::model::{DocumentStatus, Job, JobState, MessageState, PageRequest};
use quaestor_core::ports::store::{
    CancelOutcome, Claim, ClaimOutcome, Heartbeat, JobFilter, Kept, PutOff, StoreError,
};
use quaestor_core::problem::Problem;

use super::Fixture;
use super::fixture::LEASE;

async fn job_of(f: &Fixture, claim: &Claim) -> Job {
    f.store.job(f.workspace, None, claim.job_id).await.expect("read").expect("there")
}

async fn queued(f: &Fixture) -> quaestor_core::ids::JobId {
    let filings = f.collection("filings").await;
    f.upload(filings, "a.txt", "a").await.items[0].job_id
}

pub async fn a_claim_holds_until_its_lease_ends(f: Fixture) {
    let job = queued(&f).await;
    let message = f.message_of(job).await.expect("a message");
    let first = f.claim(job).await;
    assert_eq!((first.claim.attempt, first.step_attempt, first.restarted), (1, 1, false));
    assert_eq!(first.principal_id, f.principal);
    let until: Time = f.now() + LEASE;
    let held = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(held, ClaimOutcome::Held { until });
    f.pass(LEASE);
    let second = f.claim(job).await;
    assert_eq!((second.claim.attempt, second.step_attempt, second.restarted), (2, 2, true));
    let lease_until = f.now() + LEASE;
    let late = f.store.heartbeat(f.workspace, &first.claim, lease_until).await;
    assert_eq!(late.expect("answered"), Heartbeat::Lost);
}

pub async fn a_message_of_a_past_step_is_stale(f: Fixture) {
    let job = queued(&f).await;
    let old = f.message_of(job).await.expect("a message");
    let claim = f.claim(job).await.claim;
    let next = f.advance(Step::DocumentsIngest, serde_json::json!({"a": 1}));
    f.store.hand_back(f.workspace, &claim, next, &[], f.now()).await.expect("handed back");
    let stale = f.store.claim(f.workspace, f.wish(&old)).await.expect("answered");
    assert_eq!(stale, ClaimOutcome::Stale);
    let mut wrong_step = f.wish(&f.message_of(job).await.expect("a message"));
    wrong_step.step = Step::ChatRetrieve;
    let stale = f.store.claim(f.workspace, wrong_step.clone()).await.expect("answered");
    assert_eq!(stale, ClaimOutcome::Stale);
    wrong_step.job_id = f.id();
    let stale = f.store.claim(f.workspace, wrong_step).await.expect("answered");
    assert_eq!(stale, ClaimOutcome::Stale);
}

pub async fn an_ended_job_says_how_it_ended(f: Fixture) {
    let job = queued(&f).await;
    let message = f.message_of(job).await.expect("a message");
    let claim = f.claim(job).await.claim;
    f.store.finish_without_subject(f.workspace, &claim, f.now()).await.expect("finished");
    match f.store.claim(f.workspace, f.wish(&message)).await.expect("answered") {
        ClaimOutcome::Ended { job } => {
            assert_eq!((job.state, job.finished_at), (JobState::Done, Some(f.now())));
        }
        other => panic!("{other:?}"),
    }
    assert!(f.message_of(job).await.is_none());
}

pub async fn every_claim_raises_the_attempt_and_a_next_step_counts_anew(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let first = f.claim(asked.job_id).await.claim;
    let next = f.advance(Step::ChatGenerate, serde_json::json!({"step": 2}));
    f.store
        .save_retrieved(f.workspace, &first, asked.answer_id, "why?", &[], next)
        .await
        .expect("saved");
    let second = f.claim(asked.job_id).await;
    assert_eq!(second.claim.step, Step::ChatGenerate);
    assert_eq!((second.claim.attempt, second.step_attempt, second.restarted), (2, 1, false));
    assert_eq!(second.payload, serde_json::json!({"step": 2}));
}

pub async fn a_kept_step_needs_no_message(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let first = f.claim(asked.job_id).await.claim;
    let until: Time = f.now() + LEASE;
    let mut next = f.advance(Step::ChatGenerate, serde_json::json!({"step": 2}));
    next.kept = Some(Kept { worker: f.id(), lease_until: until });
    let kept = Claim {
        step: Step::ChatGenerate,
        attempt: first.attempt + 1,
        outbox_id: next.outbox_id,
        ..first.clone()
    };
    let again = next.clone();
    let save = |next| f.store.save_retrieved(f.workspace, &first, asked.answer_id, "?", &[], next);
    assert_eq!(save(next).await.expect("saved"), Heartbeat::Held);
    assert!(matches!(save(again).await, Err(StoreError::Fenced)), "the claim went on");
    let running = job_of(&f, &kept).await;
    assert_eq!((running.state, running.step), (JobState::Running, Step::ChatGenerate));
    assert_eq!(running.attempt, 2);
    assert!(f.message_of(asked.job_id).await.is_none(), "nobody waits for its message");
    let beat = f.store.heartbeat(f.workspace, &kept, until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Held);
    // A worker that dies leaves it to the next.
    f.pass(LEASE);
    assert_eq!(f.store.requeue_expired(f.now(), 9).await.expect("swept"), 1);
    let taken = f.claim(asked.job_id).await;
    assert_eq!((taken.claim.attempt, taken.step_attempt, taken.restarted), (3, 2, true));
    assert_eq!(taken.payload, serde_json::json!({"step": 2}));
    let beat = f.store.heartbeat(f.workspace, &kept, until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Lost);
}

pub async fn a_kept_step_is_told_of_a_wish_to_cancel(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let audit = f.audit("job.cancel");
    f.store
        .request_cancel(f.workspace, None, asked.job_id, f.now(), audit)
        .await
        .expect("answered");
    let mut next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    next.kept = Some(Kept { worker: f.id(), lease_until: f.now() + LEASE });
    let saved = f.store.save_retrieved(f.workspace, &claim, asked.answer_id, "?", &[], next).await;
    assert_eq!(saved.expect("saved"), Heartbeat::CancelRequested);
}

pub async fn a_heartbeat_extends_a_held_claim_alone(f: Fixture) {
    let job = queued(&f).await;
    let message = f.message_of(job).await.expect("a message");
    let claim = f.claim(job).await.claim;
    f.pass(LEASE / 2);
    let until = f.now() + LEASE;
    let beat = f.store.heartbeat(f.workspace, &claim, until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Held);
    f.pass(LEASE / 2);
    let held = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(held, ClaimOutcome::Held { until });
    let other = Claim { attempt: claim.attempt + 1, ..claim };
    let beat = f.store.heartbeat(f.workspace, &other, until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Lost);
}

pub async fn a_job_put_off_waits_with_its_reason(f: Fixture) {
    let job = queued(&f).await;
    let claim = f.claim(job).await.claim;
    let mut next = f.advance(Step::DocumentsIngest, serde_json::json!({"again": true}));
    next.due_at = f.now() + Duration::from_secs(60);
    let (due, message) = (next.due_at, next.outbox_id);
    f.store
        .put_off(f.workspace, &claim, PutOff::after_try("provider_limit"), next, &[], f.now())
        .await
        .expect("put off");
    let waiting = job_of(&f, &claim).await;
    assert_eq!(waiting.state, JobState::Waiting);
    assert_eq!(waiting.reason.as_deref(), Some("provider_limit"));
    assert_eq!(waiting.until, Some(due));
    assert!(f.due(f.now(), 10).await.is_empty());
    assert_eq!(f.store.outbox_next_due().await.expect("read"), Some(due));
    f.pass(Duration::from_secs(60));
    let rows = f.due(f.now(), 10).await;
    assert_eq!((rows[0].envelope.outbox_id, rows[0].attempt), (message, 1));
    let again = f.claim(job).await;
    assert_eq!((again.step_attempt, again.restarted), (2, true));
    assert_eq!(again.payload, serde_json::json!({"again": true}));
    let running = job_of(&f, &claim).await;
    assert_eq!((running.state, running.reason, running.until), (JobState::Running, None, None));
}

pub async fn a_step_handed_back_is_due_at_once(f: Fixture) {
    let job = queued(&f).await;
    let claim = f.claim(job).await.claim;
    let next = f.advance(Step::DocumentsIngest, serde_json::json!({}));
    f.store.hand_back(f.workspace, &claim, next, &[], f.now()).await.expect("handed back");
    assert_eq!(job_of(&f, &claim).await.state, JobState::Queued);
    assert_eq!(f.due(f.now(), 10).await.len(), 1);
}

pub async fn a_step_handed_back_often_is_not_given_up(f: Fixture) {
    let job = queued(&f).await;
    for attempt in 1..=10 {
        let claimed = f.claim(job).await;
        assert_eq!(claimed.claim.attempt, attempt);
        assert_eq!((claimed.step_attempt, claimed.restarted), (attempt.min(2), attempt > 1));
        let next = f.advance(Step::DocumentsIngest, serde_json::json!({}));
        f.store
            .hand_back(f.workspace, &claimed.claim, next, &[], f.now())
            .await
            .expect("handed back");
    }
    let lost = f.claim(job).await;
    f.pass(LEASE);
    let again = f.claim(job).await;
    assert_eq!(again.step_attempt, lost.step_attempt + 1, "a worker that died is counted");
}

pub async fn a_settled_claim_is_fenced(f: Fixture) {
    let job = queued(&f).await;
    let claim = f.claim(job).await.claim;
    let next = || f.advance(Step::DocumentsIngest, serde_json::json!({}));
    f.store.hand_back(f.workspace, &claim, next(), &[], f.now()).await.expect("handed back");
    let problem = Problem::new("x", "X", "x");
    let (store, now) = (&f.store, f.now());
    let refused = [
        store.put_off(f.workspace, &claim, PutOff::after_try("busy"), next(), &[], now).await,
        store.hand_back(f.workspace, &claim, next(), &[], now).await,
        store.fail(f.workspace, &claim, JobState::Failed, problem, &[], now).await,
        store.cancel(f.workspace, &claim, &[], now).await,
        store.finish_without_subject(f.workspace, &claim, now).await,
    ];
    for refusal in refused {
        assert!(matches!(refusal, Err(StoreError::Fenced)), "{refusal:?}");
    }
    assert_eq!(job_of(&f, &claim).await.state, JobState::Queued);
}

pub async fn a_failed_job_ends_with_its_document(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["half"]).await;
    let problem = Problem::new("gave_up", "Gave up", "Too many attempts.");
    f.store
        .fail(f.workspace, &claim, JobState::Dead, problem.clone(), &[], f.now())
        .await
        .expect("failed");
    let job = job_of(&f, &claim).await;
    assert_eq!((job.state, job.problem.as_ref()), (JobState::Dead, Some(&problem)));
    let document = f.store.document(f.workspace, upload.items[0].document_id).await;
    let document = document.expect("read").expect("there");
    assert_eq!((document.status, document.error), (DocumentStatus::Failed, Some(problem)));
    assert!(f.found(&f.scope(&[filings]), &["half"]).await.is_empty());
}

pub async fn a_cancelled_job_ends_with_its_answer(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    f.store.cancel(f.workspace, &claim, &[], f.now()).await.expect("cancelled");
    let answer = f.store.message(f.workspace, f.principal, asked.answer_id).await;
    assert_eq!(answer.expect("read").expect("there").state, MessageState::Cancelled);
    assert_eq!(job_of(&f, &claim).await.state, JobState::Cancelled);
}

pub async fn a_job_that_nobody_holds_is_cancelled_at_once(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let cancel = async |principal: Option<PrincipalId>, job| {
        let audit = f.audit("job.cancel");
        f.store.request_cancel(f.workspace, principal, job, f.now(), audit).await.expect("answered")
    };
    assert!(cancel(Some(f.id()), asked.job_id).await.is_none());
    assert!(cancel(None, f.id()).await.is_none());
    match cancel(Some(f.principal), asked.job_id).await {
        Some(CancelOutcome::Cancelled(job)) => assert_eq!(job.state, JobState::Cancelled),
        other => panic!("{other:?}"),
    }
    let answer = f.store.message(f.workspace, f.principal, asked.answer_id).await;
    assert_eq!(answer.expect("read").expect("there").state, MessageState::Cancelled);
    assert!(f.message_of(asked.job_id).await.is_none());
    assert!(matches!(cancel(None, asked.job_id).await, Some(CancelOutcome::Ended(_))));

    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    cancel(None, upload.items[0].job_id).await;
    let document = f.store.document(f.workspace, upload.items[0].document_id).await;
    let document = document.expect("read").expect("there");
    assert_eq!(document.status, DocumentStatus::Failed);
    assert_eq!(document.error.expect("a reason").code, "cancelled");
    let audit = f.store.list_audit(f.workspace, PageRequest::default()).await.expect("read");
    let cancels = audit.items.iter().filter(|entry| entry.action == "job.cancel");
    assert_eq!(cancels.count(), 2, "one entry for each effect");
}

pub async fn a_job_that_is_held_is_asked_to_stop(f: Fixture) {
    let job = queued(&f).await;
    let claim = f.claim(job).await.claim;
    let audit = f.audit("job.cancel");
    let asked = f.store.request_cancel(f.workspace, None, job, f.now(), audit).await;
    match asked.expect("answered") {
        Some(CancelOutcome::Requested(job)) => assert_eq!(job.state, JobState::Running),
        other => panic!("{other:?}"),
    }
    let lease_until = f.now() + LEASE;
    let beat = f.store.heartbeat(f.workspace, &claim, lease_until).await.expect("answered");
    assert_eq!(beat, Heartbeat::CancelRequested);
    f.store.cancel(f.workspace, &claim, &[], f.now()).await.expect("the holder may end it");
}

pub async fn a_cancel_wish_is_met_at_the_next_claim(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    f.claim(asked.job_id).await;
    let audit = f.audit("job.cancel");
    f.store
        .request_cancel(f.workspace, None, asked.job_id, f.now(), audit)
        .await
        .expect("answered");
    let message = f.message_of(asked.job_id).await.expect("a message");
    f.pass(LEASE);
    let outcome = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(outcome, ClaimOutcome::Cancelled { attempt: 1 });
    let answer = f.store.message(f.workspace, f.principal, asked.answer_id).await;
    assert_eq!(answer.expect("read").expect("there").state, MessageState::Cancelled);
}

pub async fn jobs_are_listed_and_filtered_newest_first(f: Fixture) {
    let upload = queued(&f).await;
    let conversation = f.conversation().await;
    let chat = f.ask(conversation, "why?").await.job_id;
    f.claim(chat).await;
    let list = async |filter: JobFilter| {
        let page = f.store.list_jobs(f.workspace, filter, PageRequest::default()).await;
        page.expect("read").items.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(JobFilter::default()).await, [chat, upload]);
    let state = Some(JobState::Running);
    assert_eq!(list(JobFilter { state, ..JobFilter::default() }).await, [chat]);
    let kind = Some(JobKind::Documents);
    assert_eq!(list(JobFilter { kind, ..JobFilter::default() }).await, [upload]);
    let principal_id = Some(f.id());
    assert!(list(JobFilter { principal_id, ..JobFilter::default() }).await.is_empty());
    let stranger = f.store.job(f.workspace, principal_id, chat).await.expect("read");
    assert!(stranger.is_none());
    let page = PageRequest { limit: 1, after: None };
    let first = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    let page = PageRequest { limit: 1, after: first.next };
    let second = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    assert_eq!((second.items[0].id, second.next), (upload, None));
}

pub async fn a_job_without_subject_is_done(f: Fixture) {
    let job = queued(&f).await;
    let claim = f.claim(job).await.claim;
    f.store.finish_without_subject(f.workspace, &claim, f.now()).await.expect("finished");
    assert_eq!(job_of(&f, &claim).await.state, JobState::Done);
}

pub async fn of_many_claims_at_once_one_is_granted(f: Fixture) {
    let job = queued(&f).await;
    let message = f.message_of(job).await.expect("a message");
    let wishes = (0..8).map(|_| f.store.claim(f.workspace, f.wish(&message)));
    let outcomes = futures::future::join_all(wishes).await;
    let granted =
        outcomes.iter().filter(|outcome| matches!(outcome, Ok(ClaimOutcome::Claimed(_)))).count();
    assert_eq!(granted, 1);
    for outcome in outcomes {
        let outcome = outcome.expect("answered");
        assert!(matches!(outcome, ClaimOutcome::Claimed(_) | ClaimOutcome::Held { .. }));
    }
}
