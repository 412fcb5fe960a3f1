//! Dead letters: what is kept of a job that died, another life for it, and messages that no
//! queue could deliver.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::jobs::Step;
use quaestor_core::model::{DocumentStatus, Failure, JobState, MessageState, PageRequest, Reason};
use quaestor_core::ports::store::{
    AcceptedQuestion, Answer, Claim, ClaimOutcome, DeadFilter, DeadKind, DeadLetter, DeadMessage,
    DeadWhich, Discarded, IdempotencyKey, KeptMessage, NewDeadMessage, PutOff, QueueLoad, Replay,
    ReplayReport, Replayed, StoreError, Unclaimed,
};
use quaestor_core::problem::Problem;
use uuid::Uuid;

use super::Fixture;
use super::fixture::LEASE;

fn problem() -> Problem {
    Problem::new("too_many_attempts", "The job was given up", "It was tried too often.")
}

fn failure(f: &Fixture, claim: &Claim, code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        detail: format!("{code} \0 happened"),
        causes: vec!["of this".to_owned(), "of that".to_owned()],
        step: claim.step,
        attempt: claim.attempt,
        worker_id: Some(f.id()),
        at: f.now(),
        since: None,
    }
}

/// A question whose job has died of this.
async fn dead_question(f: &Fixture, code: &str) -> (AcceptedQuestion, Claim) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let failure = Some(failure(f, &claim, code));
    f.store
        .bury(f.workspace, &claim, problem(), failure, &[], f.now())
        .await
        .expect("it is buried");
    (asked, claim)
}

async fn letter_of(f: &Fixture, job: JobId) -> Option<DeadLetter> {
    f.store.dead_letter(f.workspace, job.uuid()).await.expect("read")
}

async fn state_of(f: &Fixture, job: JobId) -> JobState {
    f.store.job(f.workspace, None, job).await.expect("read").expect("there").state
}

fn replay_of(f: &Fixture) -> Replay {
    Replay {
        ids: f.ids.clone(),
        now: f.now(),
        begin_at: f.now(),
        every: TimeDelta::seconds(10),
        chat_time: TimeDelta::minutes(5),
        documents_time: TimeDelta::hours(1),
        audit: f.audit("dead.replay"),
        idempotency: None,
    }
}

async fn replay(f: &Fixture, jobs: &[JobId]) -> ReplayReport {
    let which = DeadWhich::Named(jobs.iter().map(|job| job.uuid()).collect());
    let report = f.store.accept_replay(f.workspace, which, replay_of(f)).await;
    report.expect("answered").expect("they are there")
}

async fn discard(f: &Fixture, workspace: WorkspaceId, id: Uuid) -> Option<Discarded> {
    let (which, audit) = (DeadWhich::Named(vec![id]), f.audit("dead.discard"));
    let report = f.store.delete_dead(workspace, which, &f.ids, audit).await.expect("answered");
    report.map(|report| report.items[0].outcome)
}

async fn audited(f: &Fixture, action: &str) -> usize {
    let page = PageRequest { limit: 200, after: None };
    let log = f.store.list_audit(f.workspace, page).await.expect("read");
    log.items.iter().filter(|entry| entry.action == action).count()
}

pub async fn a_job_that_waits_keeps_its_last_error(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let first = failure(&f, &claim, "model_unavailable");
    let mut why = PutOff::after_try("model_unavailable");
    why.failure = Some(&first);
    let next = f.advance(Step::ChatRetrieve, serde_json::json!({}));
    f.store.put_off(f.workspace, &claim, why, next, &[], f.now()).await.expect("put off");
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    let told = job.last_error.expect("it is told");
    assert_eq!((told.code.as_str(), told.attempt), ("model_unavailable", 1));
    let kept = f.store.last_failure(f.workspace, asked.job_id).await.expect("read");
    let kept = kept.expect("it is kept");
    assert_eq!((kept.causes, kept.worker_id), (first.causes.clone(), first.worker_id));
    // One that is put off without an error keeps the one before.
    f.pass(Duration::from_secs(60));
    let claim = f.claim(asked.job_id).await.claim;
    let why = PutOff::untried("model_limit_reached");
    let next = f.advance(Step::ChatRetrieve, serde_json::json!({}));
    f.store.put_off(f.workspace, &claim, why, next, &[], f.now()).await.expect("put off");
    let kept = f.store.last_failure(f.workspace, asked.job_id).await.expect("read");
    assert_eq!(kept.map(|failure| failure.attempt), Some(1));
    // The letter has the time of the first failure and what the last one was.
    f.pass(Duration::from_secs(60));
    let claim = f.claim(asked.job_id).await.claim;
    f.store
        .fail(f.workspace, &claim, JobState::Dead, problem(), &[], f.now())
        .await
        .expect("failed");
    let letter = letter_of(&f, asked.job_id).await.expect("a letter");
    assert_eq!((letter.first_failed_at, letter.died_at), (first.at, f.now()));
    assert_eq!((letter.code.as_str(), letter.attempts), ("model_unavailable", 3));
}

pub async fn what_an_earlier_step_ran_into_is_not_shown(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let failed = failure(&f, &claim, "store_unavailable");
    let mut why = PutOff::after_try("store_unavailable");
    why.failure = Some(&failed);
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store.put_off(f.workspace, &claim, why, next, &[], f.now()).await.expect("put off");
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!((job.step, job.last_error), (Step::ChatGenerate, None));
}

pub async fn a_dead_job_has_a_letter_with_what_it_ran_into(f: Fixture) {
    let (asked, claim) = dead_question(&f, "model_malformed").await;
    let letter = letter_of(&f, asked.job_id).await.expect("a letter");
    assert_eq!(letter.id, asked.job_id.uuid());
    assert_eq!(letter.kind.as_str(), "chat");
    assert_eq!(letter.step.as_deref(), Some("chat.retrieve"));
    assert_eq!(letter.code, "model_malformed");
    assert!(letter.detail.starts_with("model_malformed"), "{}", letter.detail);
    assert_eq!(letter.causes, ["of this", "of that"]);
    assert_eq!((letter.attempts, letter.message), (1, None));
    assert!(letter.worker_id.is_some());
    assert_eq!((letter.first_failed_at, letter.died_at), (f.now(), f.now()));
    assert_eq!(letter.trace_id.as_deref(), Some("trace"));
    let payload = letter.payload.expect("its payload");
    assert_eq!(payload["answer_id"], asked.answer_id.to_string());
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.problem), (JobState::Dead, Some(problem())));
    // A claim that is stale buries nothing.
    let again = f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await;
    assert!(matches!(again, Err(StoreError::Fenced)), "{again:?}");
}

pub async fn letters_are_listed_filtered_and_grouped(f: Fixture) {
    let (first, _) = dead_question(&f, "model_malformed").await;
    f.pass(Duration::from_secs(60));
    let since = f.now();
    let (second, _) = dead_question(&f, "model_malformed").await;
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    // Without a failure, the letter has what the problem says.
    f.store
        .fail(f.workspace, &claim, JobState::Dead, problem(), &[], f.now())
        .await
        .expect("failed");
    let document = claim.job_id;
    let ids = async |filter: DeadFilter| {
        let page = PageRequest { limit: 200, after: None };
        let page = f.store.list_dead(f.workspace, filter, page).await.expect("read");
        page.items.iter().map(|letter| JobId(letter.id)).collect::<Vec<_>>()
    };
    assert_eq!(ids(DeadFilter::default()).await, [document, second.job_id, first.job_id]);
    let of_code = DeadFilter { code: Some("too_many_attempts".to_owned()), ..Default::default() };
    assert_eq!(ids(of_code).await, [document]);
    let of_kind = DeadFilter { kind: Some(DeadKind::Message), ..Default::default() };
    assert!(ids(of_kind).await.is_empty());
    let chat = "chat".parse().expect("a kind");
    let late = DeadFilter { kind: Some(chat), since: Some(since), ..Default::default() };
    assert_eq!(ids(late).await, [second.job_id]);
    // In pages.
    let page = PageRequest { limit: 2, after: None };
    let page = f.store.list_dead(f.workspace, DeadFilter::default(), page).await.expect("read");
    assert_eq!(page.items.len(), 2);
    let rest = PageRequest { limit: 2, after: page.next };
    let rest = f.store.list_dead(f.workspace, DeadFilter::default(), rest).await.expect("read");
    assert_eq!((rest.items.len(), rest.next), (1, None));
    // In groups.
    let groups = f.store.dead_groups(f.workspace, DeadFilter::default(), 10).await.expect("read");
    let shown: Vec<(&str, &str, u64)> =
        groups.iter().map(|g| (g.code.as_str(), g.kind.as_str(), g.count)).collect();
    assert_eq!(shown, [("model_malformed", "chat", 2), ("too_many_attempts", "documents", 1)]);
    assert_eq!((groups[0].first_at < groups[0].last_at, groups[0].last_at), (true, f.now()));
    assert!(groups[0].example.starts_with("model_malformed"));
    assert_eq!(
        f.store.dead_groups(f.workspace, DeadFilter::default(), 1).await.expect("read").len(),
        1
    );
    let counts = f.store.dead_counts(10).await.expect("counted");
    let shown: Vec<(&str, u64)> = counts.iter().map(|c| (c.code.as_str(), c.count)).collect();
    assert_eq!(shown, [("model_malformed", 2), ("too_many_attempts", 1)]);
}

pub async fn a_replayed_question_is_asked_again_and_can_be_answered(f: Fixture) {
    let (asked, claim) = dead_question(&f, "model_malformed").await;
    let answer = async || {
        let message = f.store.message(f.workspace, f.principal, asked.answer_id).await;
        message.expect("read").expect("there")
    };
    assert_eq!(answer().await.state, MessageState::Failed);
    f.pass(Duration::from_secs(3_600));
    let report = replay(&f, &[asked.job_id]).await;
    assert_eq!((report.replayed, report.skipped), (1, 0));
    let line = &report.items[0];
    let due_at = f.now();
    assert_eq!(line.outcome, Replayed::Replayed { attempt: 2, due_at });
    assert!(line.conversation_id.is_some());
    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.step, job.attempt), (JobState::Queued, Step::ChatRetrieve, 2));
    assert_eq!((job.problem, job.last_error, job.finished_at), (None, None, None));
    let pending = answer().await;
    assert_eq!((pending.state, pending.error), (MessageState::Pending, None));
    assert!(letter_of(&f, asked.job_id).await.is_none());
    assert_eq!(audited(&f, "dead.replay").await, 1);
    // It has its time anew, and none of its tries is used up.
    let swept = f.store.fail_overdue(f.now(), 10).await.expect("swept");
    assert!(swept.is_empty());
    let again = f.claim(asked.job_id).await;
    assert_eq!((again.claim.attempt, again.step_attempt, again.restarted), (3, 1, false));
    assert_eq!(again.deadline, Some(f.now() + TimeDelta::minutes(5)));
    // The worker of the life before writes nothing.
    let late = f.store.heartbeat(f.workspace, &claim, f.now() + LEASE).await.expect("answered");
    assert_eq!(late, quaestor_core::ports::store::Heartbeat::Lost);
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store
        .save_retrieved(f.workspace, &again.claim, asked.answer_id, "why?", &[], next)
        .await
        .expect("saved");
    let generate = f.claim(asked.job_id).await.claim;
    let content = Answer {
        content: "so".to_owned(),
        citations: vec![],
        figures: vec![],
        model: "x".to_owned(),
        usage: quaestor_core::model::Usage::default(),
        calls: vec![],
    };
    f.store
        .save_answer(f.workspace, &generate, asked.answer_id, content, f.now())
        .await
        .expect("saved");
    assert_eq!(state_of(&f, asked.job_id).await, JobState::Done);
    assert_eq!(answer().await.content, "so");
}

pub async fn a_question_that_dies_while_it_is_answered_goes_on_there(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let next = f.advance(Step::ChatGenerate, serde_json::json!({"a": 1}));
    f.store
        .save_retrieved(f.workspace, &claim, asked.answer_id, "why?", &[], next)
        .await
        .expect("saved");
    let claim = f.claim(asked.job_id).await.claim;
    f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await.expect("buried");
    replay(&f, &[asked.job_id]).await;
    let again = f.claim(asked.job_id).await;
    assert_eq!(again.claim.step, Step::ChatGenerate);
    assert_eq!(again.payload, serde_json::json!({"a": 1}));
    let grounding = f.store.grounding(f.workspace, asked.answer_id).await.expect("read");
    assert!(grounding.is_some(), "what was found is still there");
}

pub async fn a_replayed_document_begins_where_its_passages_are(f: Fixture) {
    let filings = f.collection("filings").await;
    // One that died while it was parsed is parsed anew.
    let upload = f.upload(filings, "a.txt", "a").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["half"]).await;
    f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await.expect("buried");
    replay(&f, &[claim.job_id]).await;
    let status = async |document| {
        let found = f.store.document(f.workspace, document).await;
        let found = found.expect("read").expect("there");
        (found.status, found.error)
    };
    let document = upload.items[0].document_id;
    assert_eq!(status(document).await, (DocumentStatus::Queued, None));
    f.finish_upload(f.workspace, &upload, &["alpha"], None).await;
    assert_eq!(status(document).await.0, DocumentStatus::Ready);
    assert_eq!(state_of(&f, claim.job_id).await, JobState::Done);
    // One that is searched by words has its passages: only their vectors are made.
    let upload = f.upload(filings, "b.txt", "b").await;
    let payload = serde_json::json!({"generation_id": f.id::<Uuid>(), "version": 1});
    let next = f.advance(Step::DocumentsEmbed, payload.clone());
    f.finish_upload(f.workspace, &upload, &["beta"], Some(next)).await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await.expect("buried");
    replay(&f, &[claim.job_id]).await;
    assert_eq!(status(upload.items[0].document_id).await.0, DocumentStatus::Processing);
    let again = f.claim(claim.job_id).await;
    assert_eq!((again.claim.step, again.payload), (Step::DocumentsEmbed, payload));
    assert_eq!(f.found(&f.scope(&[filings]), &["beta"]).await.len(), 1, "it was found all along");
}

pub async fn a_replay_of_what_is_not_dead_does_nothing(f: Fixture) {
    let conversation = f.conversation().await;
    let queued = f.ask(conversation, "why?").await.job_id;
    let done = f.ask(conversation, "and?").await.job_id;
    let claim = f.claim(done).await.claim;
    f.store.finish_without_subject(f.workspace, &claim, f.now()).await.expect("done");
    let (dead, _) = dead_question(&f, "x").await;
    let message = f.message_of(queued).await.expect("a message").envelope.outbox_id;
    let report = replay(&f, &[queued, done, dead.job_id, dead.job_id]).await;
    assert_eq!((report.replayed, report.skipped), (1, 2));
    let of = |job: JobId| &report.items.iter().find(|line| line.id == job.uuid()).unwrap().outcome;
    assert_eq!(*of(queued), Replayed::NotDead { state: JobState::Queued });
    assert_eq!(*of(done), Replayed::NotDead { state: JobState::Done });
    assert_eq!(f.message_of(queued).await.unwrap().envelope.outbox_id, message);
    // A second time it is not dead any more.
    let again = replay(&f, &[dead.job_id]).await;
    assert_eq!(again.items[0].outcome, Replayed::NotDead { state: JobState::Queued });
    assert_eq!(audited(&f, "dead.replay").await, 1);
}

pub async fn what_was_deleted_is_not_replayed(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let claim = f.claim(asked.job_id).await.claim;
    f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await.expect("buried");
    let audit = f.audit("conversation.delete");
    let (store, now) = (&f.store, f.now());
    let deleted =
        store.delete_conversation(f.workspace, f.principal, conversation, now, audit).await;
    assert!(deleted.expect("answered"));
    let filings = f.collection("filings").await;
    let upload = f.upload(filings, "a.txt", "a").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    f.store.bury(f.workspace, &claim, problem(), None, &[], f.now()).await.expect("buried");
    let audit = f.audit("document.delete");
    let document = upload.items[0].document_id;
    store.delete_document(f.workspace, document, now, audit).await.expect("deleted");
    let report = replay(&f, &[asked.job_id, claim.job_id]).await;
    assert!(report.items.iter().all(|line| line.outcome == Replayed::SubjectGone), "{report:?}");
    assert_eq!(state_of(&f, asked.job_id).await, JobState::Dead);
    assert_eq!(discard(&f, f.workspace, asked.job_id.uuid()).await, Some(Discarded::Discarded));
}

pub async fn many_replays_begin_one_after_another(f: Fixture) {
    let mut dead = Vec::new();
    for number in 0..5 {
        let code = if number == 4 { "other" } else { "x" };
        dead.push(dead_question(&f, code).await.0.job_id);
        f.pass(Duration::from_secs(1));
    }
    let filter = DeadFilter { code: Some("x".to_owned()), ..Default::default() };
    let which = DeadWhich::Filtered { filter: filter.clone(), limit: 3 };
    let report = f.store.accept_replay(f.workspace, which, replay_of(&f)).await;
    let report = report.expect("answered").expect("a filter names nothing");
    assert_eq!((report.replayed, report.remaining), (3, 1));
    let due = |seconds| f.now() + TimeDelta::seconds(seconds);
    assert_eq!(report.next_begin_at, Some(due(30)));
    for (place, job) in (0_i64..).zip(&dead[..3]) {
        let job = f.store.job(f.workspace, None, *job).await.expect("read").expect("there");
        let paced = place > 0;
        assert_eq!(job.state, if paced { JobState::Waiting } else { JobState::Queued });
        assert_eq!(job.reason, paced.then(|| Reason::ReplayPaced.to_string()));
        assert_eq!(job.until, paced.then(|| due(10 * place)));
    }
    // The delay stands in the outbox alone, and each has its time from when it is due.
    assert_eq!(f.due(f.now(), 10).await.len(), 1);
    assert_eq!(f.due(due(20), 10).await.len(), 3);
    f.pass(Duration::from_secs(20));
    let last = f.claim(dead[2]).await;
    assert_eq!(last.deadline, Some(f.now() + TimeDelta::minutes(5)));
    // The next ones go on after those.
    let begin_at = report.next_begin_at.expect("told");
    let which = DeadWhich::Filtered { filter, limit: 3 };
    let next = Replay { begin_at, ..replay_of(&f) };
    let report = f.store.accept_replay(f.workspace, which, next).await.expect("answered").unwrap();
    assert_eq!((report.replayed, report.remaining), (1, 0));
    let due_at = begin_at;
    assert_eq!(report.items[0].outcome, Replayed::Replayed { attempt: 2, due_at });
    assert!(letter_of(&f, dead[4]).await.is_some(), "another class is left alone");
}

pub async fn a_missing_job_undoes_a_replay(f: Fixture) {
    let (dead, _) = dead_question(&f, "x").await;
    let which = DeadWhich::Named(vec![dead.job_id.uuid(), f.id()]);
    let report = f.store.accept_replay(f.workspace, which.clone(), replay_of(&f)).await;
    assert_eq!(report.expect("answered"), None);
    assert_eq!(state_of(&f, dead.job_id).await, JobState::Dead);
    let audit = f.audit("dead.discard");
    let report = f.store.delete_dead(f.workspace, which, &f.ids, audit).await;
    assert_eq!(report.expect("answered"), None);
    assert_eq!(state_of(&f, dead.job_id).await, JobState::Dead);
    assert_eq!(audited(&f, "dead.discard").await, 0);
}

pub async fn a_replay_under_a_key_has_one_effect(f: Fixture) {
    let (dead, _) = dead_question(&f, "x").await;
    let key = IdempotencyKey {
        principal_id: f.principal,
        key: "again".to_owned(),
        request_sha256: [7; 32],
        created_at: f.now(),
    };
    let keyed = || Replay { idempotency: Some(key.clone()), ..replay_of(&f) };
    let which = || DeadWhich::Named(vec![dead.job_id.uuid()]);
    let report = f.store.accept_replay(f.workspace, which(), keyed()).await;
    let report = report.expect("answered").expect("it is there");
    let again = f.store.accept_replay(f.workspace, which(), keyed()).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let kept = f.store.remembered(f.workspace, f.principal, "again").await.expect("read");
    let kept: ReplayReport = serde_json::from_value(kept.expect("kept").response).expect("read");
    assert_eq!(kept, report);
}

pub async fn of_many_replays_at_once_one_has_effect(f: Fixture) {
    let mut dead = Vec::new();
    for _ in 0..3 {
        dead.push(dead_question(&f, "x").await.0.job_id.uuid());
    }
    let replays = (0..8).map(|number| {
        let mut ids = dead.clone();
        ids.rotate_left(number % 3);
        f.store.accept_replay(f.workspace, DeadWhich::Named(ids), replay_of(&f))
    });
    let mut replayed = 0;
    for report in futures::future::join_all(replays).await {
        replayed += report.expect("answered").expect("they are there").replayed;
    }
    assert_eq!(replayed, 3);
    assert_eq!(f.due(f.now() + TimeDelta::days(1), 100).await.len(), 3);
}

pub async fn a_discarded_letter_is_gone_and_its_job_has_failed(f: Fixture) {
    let (dead, _) = dead_question(&f, "x").await;
    let id = dead.job_id.uuid();
    assert_eq!(discard(&f, f.workspace, id).await, Some(Discarded::Discarded));
    let job = f.store.job(f.workspace, None, dead.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.problem), (JobState::Failed, Some(problem())));
    assert!(letter_of(&f, dead.job_id).await.is_none());
    let again = discard(&f, f.workspace, id).await;
    assert_eq!(again, Some(Discarded::NotDead { state: JobState::Failed }));
    let report = replay(&f, &[dead.job_id]).await;
    assert_eq!(report.items[0].outcome, Replayed::NotDead { state: JobState::Failed });
    assert_eq!(discard(&f, f.workspace, f.id()).await, None);
    assert_eq!(audited(&f, "dead.discard").await, 1);
    for _ in 0..3 {
        dead_question(&f, "y").await;
    }
    let which = DeadWhich::Filtered { filter: DeadFilter::default(), limit: 2 };
    let audit = f.audit("dead.discard");
    let report = f.store.delete_dead(f.workspace, which, &f.ids, audit).await;
    let report = report.expect("answered").expect("a filter names nothing");
    assert_eq!((report.discarded, report.remaining), (2, 1));
    assert_eq!(audited(&f, "dead.discard").await, 3);
}

fn message(f: &Fixture, names: Option<(WorkspaceId, JobId)>) -> NewDeadMessage {
    NewDeadMessage {
        id: f.id(),
        code: "message_unreadable",
        detail: "it is no JSON".to_owned(),
        step: Some("chat.retrieve".to_owned()),
        names,
        message: DeadMessage {
            queue: "qs.chat.retrieve.v1".to_owned(),
            reason: "rejected".to_owned(),
            headers: BTreeMap::from([("type".to_owned(), "a \0 b".to_owned())]),
            size_bytes: 3,
            sha256: "00".to_owned(),
            body: Some("x\0y".to_owned()),
            encoding: "utf8".to_owned(),
        },
        attempts: 1,
        died_at: f.now(),
        traceparent: Some("00-abc-def-01".to_owned()),
    }
}

pub async fn a_message_is_kept_where_it_belongs(f: Fixture) {
    let other = f.new_workspace().await;
    let filings = f.collection_in(other, "theirs").await;
    let theirs = f.upload_in(other, filings, "a.txt", "a").await.items[0].job_id;
    let keep = async |message: NewDeadMessage| {
        f.store.keep_dead_message(message, 100).await.expect("answered")
    };
    let read = async |workspace, id| f.store.dead_letter(workspace, id).await.expect("read");
    // One that names nothing is the oldest workspace's. Kept twice, it is one.
    let stray = message(&f, None);
    for _ in 0..2 {
        assert_eq!(keep(stray.clone()).await, KeptMessage::Kept);
    }
    let letter = read(f.workspace, stray.id).await.expect("kept");
    assert_eq!((letter.kind, letter.trace_id.as_deref()), (DeadKind::Message, Some("abc")));
    let kept = letter.message.expect("a message");
    assert_eq!(kept.body.map(|body| body.len()), Some(3));
    assert!(read(other, stray.id).await.is_none());
    // One that names a job of another workspace is that workspace's.
    let own = message(&f, Some((other, theirs)));
    keep(own.clone()).await;
    assert!(read(f.workspace, own.id).await.is_none());
    assert!(read(other, own.id).await.expect("kept").message.expect("a message").body.is_some());
    // What one says of itself and the job's row does not is not believed, and not shown.
    for names in [(other, f.id()), (other, JobId(f.id()))] {
        let lying = message(&f, Some(names));
        keep(lying.clone()).await;
        assert!(read(other, lying.id).await.is_none());
        let letter = read(f.workspace, lying.id).await.expect("kept");
        assert_eq!(letter.message.expect("a message").body, None);
    }
    // The list leaves bodies out; a message has no other life, and can be discarded.
    let page = PageRequest { limit: 200, after: None };
    let list = f.store.list_dead(f.workspace, DeadFilter::default(), page).await.expect("read");
    assert_eq!(list.items.len(), 3);
    assert!(list.items.iter().all(|l| l.message.as_ref().is_some_and(|m| m.body.is_none())));
    let report = replay(&f, &[JobId(stray.id)]).await;
    assert_eq!(report.items[0].outcome, Replayed::NoJob);
    let all = DeadWhich::Filtered { filter: DeadFilter::default(), limit: 10 };
    let report = f.store.accept_replay(f.workspace, all, replay_of(&f)).await;
    assert_eq!(report.expect("answered").expect("a filter").items.len(), 0);
    assert_eq!(discard(&f, other, stray.id).await, None);
    assert_eq!(discard(&f, f.workspace, stray.id).await, Some(Discarded::Discarded));
}

pub async fn no_more_messages_are_kept_than_may_be(f: Fixture) {
    for wanted in [KeptMessage::Kept, KeptMessage::Kept, KeptMessage::Full] {
        let kept = f.store.keep_dead_message(message(&f, None), 2).await.expect("answered");
        assert_eq!(kept, wanted);
    }
}

pub async fn the_front_of_a_queue_is_told_in_its_order(f: Fixture) {
    let conversation = f.conversation().await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(f.ask(conversation, "why?").await.job_id);
        f.pass(Duration::from_millis(1));
    }
    f.claim(asked[1]).await;
    let sent = f.message_of(asked[0]).await.expect("a message").envelope.outbox_id;
    f.store.outbox_sent(&[sent], f.now()).await.expect("marked");
    let front = f.store.queue_front(Step::ChatRetrieve, 2).await.expect("read");
    let shown: Vec<_> = front.iter().map(|queued| (queued.job_id, queued.sent)).collect();
    assert_eq!(shown, [(asked[0], true), (asked[2], false)]);
    assert!(front.iter().all(|queued| queued.workspace_id == f.workspace));
    assert!(f.store.queue_front(Step::ChatGenerate, 9).await.expect("read").is_empty());
}

pub async fn what_stands_still_is_counted(f: Fixture) {
    let nothing = f.store.stuck_work(f.now()).await.expect("read");
    assert!(nothing.queued.is_empty() && nothing.waiting.is_empty());
    assert_eq!((nothing.expired, nothing.unsent), (None, None));
    let conversation = f.conversation().await;
    let begun: Time = f.now();
    let queued = f.ask(conversation, "why?").await.job_id;
    let waiting = f.ask(conversation, "and?").await.job_id;
    let running = f.ask(conversation, "or?").await.job_id;
    f.claim(running).await;
    let claim = f.claim(waiting).await.claim;
    let mut next = f.advance(Step::ChatRetrieve, serde_json::json!({}));
    next.due_at = f.now() + Duration::from_secs(7_200);
    let why = PutOff::after_try("model_overloaded");
    f.store.put_off(f.workspace, &claim, why, next, &[], f.now()).await.expect("put off");
    assert!(f.store.stuck_work(f.now()).await.expect("read").queued.is_empty(), "not for long");
    f.pass(Duration::from_secs(3_600));
    let stuck = f.store.stuck_work(f.now() - TimeDelta::seconds(60)).await.expect("read");
    let one = |backlog: &quaestor_core::ports::store::Backlog| {
        (backlog.name.clone(), backlog.count, backlog.oldest_at)
    };
    assert_eq!(
        stuck.queued.iter().map(one).collect::<Vec<_>>(),
        [("chat.retrieve".to_owned(), 1, begun)]
    );
    assert_eq!(
        stuck.waiting.iter().map(one).collect::<Vec<_>>(),
        [("model_overloaded".to_owned(), 1, begun)]
    );
    assert_eq!(stuck.expired.map(|backlog| backlog.count), Some(1));
    // The row of the one that runs is unsent too: this fixture has no relay.
    assert_eq!(stuck.unsent.map(|backlog| backlog.count), Some(2));
    let row = f.message_of(queued).await.expect("a message");
    let outcome = f.store.claim(f.workspace, f.wish(&row)).await.expect("answered");
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)), "looking changes nothing");
}

pub async fn what_the_queues_have_is_counted(f: Fixture) {
    let loads = async || f.store.queue_loads("workspace_busy", f.now()).await.expect("read");
    assert!(loads().await.is_empty());
    let conversation = f.conversation().await;
    let begun = f.now();
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(f.ask(conversation, "why?").await.job_id);
    }
    let running = f.claim(asked[0]).await;
    // One is tried later, which is nobody's load now; one waits for its workspace's turn.
    let claim = f.claim(asked[1]).await.claim;
    let mut later = f.advance(Step::ChatRetrieve, serde_json::json!({}));
    later.due_at = f.now() + Duration::from_secs(60);
    let why = PutOff::after_try("model_overloaded");
    f.store.put_off(f.workspace, &claim, why, later, &[], f.now()).await.expect("put off");
    let message = f.message_of(asked[2]).await.expect("a message");
    let turn = Unclaimed {
        job_id: asked[2],
        step: Step::ChatRetrieve,
        outbox_id: message.envelope.outbox_id,
        next_outbox_id: f.id(),
        reason: "workspace_busy",
        due_at: f.now() + Duration::from_secs(60),
        now: f.now(),
    };
    assert!(f.store.put_off_unclaimed(f.workspace, turn).await.expect("put off"));
    f.pass(Duration::from_secs(1));
    let retrieve =
        QueueLoad { step: Step::ChatRetrieve, ready: 3, running: 1, oldest_at: Some(begun) };
    assert_eq!(loads().await, [retrieve]);
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store.hand_back(f.workspace, &running.claim, next, &[], f.now()).await.expect("handed back");
    f.pass(Duration::from_secs(1));
    let found = loads().await;
    let counts: Vec<_> = found.iter().map(|load| (load.step, load.ready, load.running)).collect();
    assert_eq!(counts, [(Step::ChatGenerate, 1, 0), (Step::ChatRetrieve, 3, 0)]);
    assert!(found[0].oldest_at.is_some_and(|at| at > begun && at < f.now()));
}

pub async fn another_workspaces_letters_are_as_missing(f: Fixture) {
    let thief = f.new_workspace().await;
    let (dead, claim) = dead_question(&f, "x").await;
    let id = dead.job_id.uuid();
    let (store, page) = (&f.store, PageRequest::default());
    let none = DeadFilter::default;
    assert!(store.list_dead(thief, none(), page).await.expect("read").items.is_empty());
    assert!(store.dead_groups(thief, none(), 10).await.expect("read").is_empty());
    assert!(store.dead_letter(thief, id).await.expect("read").is_none());
    assert!(store.last_failure(thief, dead.job_id).await.expect("read").is_none());
    let named = DeadWhich::Named(vec![id]);
    let replayed = store.accept_replay(thief, named, replay_of(&f)).await.expect("answered");
    assert_eq!(replayed, None);
    let all = || DeadWhich::Filtered { filter: none(), limit: 10 };
    let replayed = store.accept_replay(thief, all(), replay_of(&f)).await.expect("answered");
    assert_eq!(replayed.map(|report| (report.replayed, report.remaining)), Some((0, 0)));
    assert_eq!(discard(&f, thief, id).await, None);
    let audit = f.audit("dead.discard");
    let report = store.delete_dead(thief, all(), &f.ids, audit).await.expect("answered");
    assert_eq!(report.map(|report| report.discarded), Some(0));
    let buried = store.bury(thief, &claim, problem(), None, &[], f.now()).await;
    assert!(matches!(buried, Err(StoreError::Fenced)), "{buried:?}");
    assert_eq!(state_of(&f, dead.job_id).await, JobState::Dead);
    assert!(letter_of(&f, dead.job_id).await.is_some());
}
