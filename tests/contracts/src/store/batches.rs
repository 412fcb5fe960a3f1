//! Batches: their counts, and what becomes of their files when they are paused, resumed,
//! cancelled and tried again.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::ids::{BatchId, CollectionId, JobId, PrincipalId};
use quaestor_core::model::{Batch, BatchState, JobState, PageRequest, Reason};
use quaestor_core::ports::store::{
    AcceptedUpload, Claim, ClaimOutcome, NewBatch, Replay, Replayed, Retried, Steer, Steered,
    StoreError, Unclaimed, UploadStatus, UploadTo,
};
use quaestor_core::problem::Problem;

use super::Fixture;

const RESUME: Steer =
    Steer::Resume { every: TimeDelta::milliseconds(2), time: TimeDelta::hours(24) };

/// Begins a batch that takes so many files, or any number.
async fn begun(f: &Fixture, expected: Option<u64>) -> BatchId {
    let new = NewBatch {
        id: f.id(),
        principal_id: f.principal,
        name: Some("filings".to_owned()),
        expected,
        created_at: f.now(),
        idempotency: None,
    };
    let id = new.id;
    let made = f.store.create_batch(f.workspace, new, f.audit("batch.create")).await;
    assert_eq!(made.expect("made").id, id);
    id
}

/// Adds files with these names, whose bytes are their names.
async fn add(
    f: &Fixture,
    batch: BatchId,
    collection: CollectionId,
    names: &[&str],
) -> Result<Option<AcceptedUpload>, StoreError> {
    let mut files: Vec<_> = names.iter().map(|name| f.file(name, name)).collect();
    for file in &mut files {
        file.job.batch_id = Some(batch);
        file.job.deadline = Some(f.now() + TimeDelta::hours(24));
    }
    let mut upload = f.upload_of(collection, files);
    (upload.batch_id, upload.to) = (batch, UploadTo::Begun);
    f.store.accept_upload(f.workspace, upload).await
}

async fn batch_of(f: &Fixture, names: &[&str]) -> (BatchId, Vec<JobId>) {
    let batch = begun(f, Some(names.len() as u64)).await;
    let collection = f.collection(&batch.to_string()).await;
    let accepted = add(f, batch, collection, names).await.expect("accepted").expect("there");
    (batch, accepted.items.iter().map(|item| item.job_id).collect())
}

async fn seen(f: &Fixture, batch: BatchId) -> Batch {
    f.store.batch(f.workspace, None, batch, f.now()).await.expect("read").expect("there")
}

async fn steer(f: &Fixture, batch: BatchId, steer: Steer) -> Steered {
    let audit = f.audit("batch.steer");
    let steered = f.store.steer_batch(f.workspace, None, batch, steer, f.now(), audit).await;
    steered.expect("steered").expect("there")
}

async fn job(f: &Fixture, id: JobId) -> quaestor_core::model::Job {
    f.store.job(f.workspace, None, id).await.expect("read").expect("there")
}

async fn fail(f: &Fixture, claim: &Claim, code: &str, detail: &str) {
    let problem = Problem::new(code, "It failed", detail);
    let failed = f.store.fail(f.workspace, claim, JobState::Failed, problem, &[], f.now()).await;
    failed.expect("failed");
}

async fn done(f: &Fixture, claim: &Claim) {
    f.store.finish_without_subject(f.workspace, claim, f.now()).await.expect("done");
}

/// Has a file wait as a worker does that finds its batch paused.
async fn wait(f: &Fixture, id: JobId) -> bool {
    let message = f.message_of(id).await.expect("a message").envelope;
    let step = Unclaimed {
        job_id: id,
        step: message.step,
        outbox_id: message.outbox_id,
        next_outbox_id: f.id(),
        reason: Reason::BatchPaused.as_str(),
        due_at: f.now() + TimeDelta::hours(1),
        now: f.now(),
    };
    f.store.wait_for_batch(f.workspace, step).await.expect("answered")
}

pub async fn an_upload_is_a_batch_that_is_counted(f: Fixture) {
    let filings = f.collection("filings").await;
    let mut upload = f.upload_of(filings, vec![f.file("a.txt", "aa"), f.file("b.txt", "aa")]);
    let batch = upload.batch_id;
    for file in &mut upload.files {
        file.job.batch_id = Some(batch);
    }
    let accepted = f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let job = accepted.expect("there").items[0].job_id;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.total, found.done), (BatchState::Running, 2, 1));
    assert_eq!((found.duplicates, found.size_bytes, found.open), (1, 4, false));
    assert_eq!((found.rate, found.eta_s, found.finished_at), (None, None, None));
    let claim = f.claim(job).await.claim;
    assert_eq!(seen(&f, batch).await.running, 1);
    f.pass(Duration::from_secs(2));
    done(&f, &claim).await;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.done, found.eta_s), (BatchState::Done, 2, Some(0)));
    assert_eq!(found.finished_at, Some(f.now()));
}

pub async fn files_of_several_uploads_are_one_batch(f: Fixture) {
    let filings = f.collection("filings").await;
    let batch = begun(&f, Some(4)).await;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.total, found.open), (BatchState::Open, 4, true));
    let first = add(&f, batch, filings, &["a", "b"]).await.expect("accepted").expect("there");
    assert_eq!(first.batch_id, batch);
    let claim = f.claim(first.items[0].job_id).await.claim;
    f.pass(Duration::from_secs(10));
    done(&f, &claim).await;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.total, found.done), (BatchState::Running, 4, 1));
    assert_eq!((found.rate, found.eta_s), (Some(0.1), Some(30)), "three of four are left");
    let second = add(&f, batch, filings, &["a", "c"]).await.expect("accepted").expect("there");
    assert_eq!(second.items[0].status, UploadStatus::Duplicate);
    let found = seen(&f, batch).await;
    assert_eq!((found.open, found.total, found.done), (true, 4, 2));
    steer(&f, batch, Steer::Close).await;
    let refused = add(&f, batch, filings, &["d"]).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(seen(&f, batch).await.total, 4);
    f.pass(Duration::from_secs(3_600));
    assert_eq!(seen(&f, batch).await.rate, None, "nothing ended of late");
}

pub async fn a_batch_is_closed_once(f: Fixture) {
    let filings = f.collection("filings").await;
    let batch = begun(&f, None).await;
    add(&f, batch, filings, &["a"]).await.expect("accepted").expect("there");
    assert!(matches!(steer(&f, batch, Steer::Close).await, Steered::Changed(b) if !b.open));
    assert!(matches!(steer(&f, batch, Steer::Close).await, Steered::Unchanged(_)));
    assert!(matches!(add(&f, batch, filings, &["b"]).await, Err(StoreError::Conflict { .. })));
    assert_eq!(seen(&f, batch).await.total, 1);
    let unknown = f.store.batch(f.workspace, None, f.id(), f.now()).await.expect("read");
    assert!(unknown.is_none());
}

pub async fn files_of_a_paused_batch_wait_and_go_on(f: Fixture) {
    let (batch, jobs) = batch_of(&f, &["a", "b", "c"]).await;
    let running = f.claim(jobs[0]).await.claim;
    assert!(matches!(steer(&f, batch, Steer::Pause).await, Steered::Changed(_)));
    assert!(matches!(steer(&f, batch, Steer::Pause).await, Steered::Unchanged(_)));
    let reason = job(&f, jobs[1]).await.reason;
    assert_eq!(reason.as_deref(), Some("batch_paused"), "it says so before anybody has looked");
    let message = f.message_of(jobs[1]).await.expect("a message");
    let refused = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(refused, ClaimOutcome::BatchPaused);
    assert!(wait(&f, jobs[1]).await);
    let waiting = job(&f, jobs[1]).await;
    assert_eq!((waiting.state, waiting.attempt), (JobState::Waiting, 0), "it costs no try");
    assert_eq!(waiting.reason.as_deref(), Some("batch_paused"));
    let stale = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(stale, ClaimOutcome::Stale, "the message that was looked at is of no use");
    done(&f, &running).await;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.done, found.eta_s), (BatchState::Paused, 1, None));
    // However long it lasts, nothing is late.
    f.pass(Duration::from_secs(30 * 3_600));
    assert!(f.store.fail_overdue(f.now(), 9).await.expect("swept").is_empty());
    assert!(matches!(steer(&f, batch, RESUME).await, Steered::Changed(_)));
    assert!(matches!(steer(&f, batch, RESUME).await, Steered::Unchanged(_)));
    assert!(f.store.fail_overdue(f.now(), 9).await.expect("swept").is_empty());
    assert!(!wait(&f, jobs[2]).await, "it is not paused any more");
    let due: Vec<JobId> =
        f.due(f.now(), 9).await.into_iter().map(|row| row.envelope.job_id).collect();
    assert!(due.contains(&jobs[1]), "it goes on at once");
    for id in &jobs[1..] {
        let found = job(&f, *id).await;
        assert_eq!((found.state, found.reason), (JobState::Queued, None));
        let claimed = f.claim(*id).await;
        assert_eq!(claimed.deadline, Some(f.now() + TimeDelta::hours(24)));
        assert!(!claimed.restarted);
        done(&f, &claimed.claim).await;
    }
    assert_eq!(seen(&f, batch).await.state, BatchState::Done);
    assert!(matches!(steer(&f, batch, Steer::Pause).await, Steered::Refused(BatchState::Done)));
}

pub async fn a_large_batch_is_resumed_one_file_after_another(f: Fixture) {
    let names: Vec<String> = (0..20).map(|place| format!("file {place}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (batch, jobs) = batch_of(&f, &names).await;
    steer(&f, batch, Steer::Pause).await;
    for id in &jobs {
        assert!(wait(&f, *id).await);
    }
    assert!(f.due(f.now(), 99).await.is_empty());
    steer(&f, batch, Steer::Resume { every: TimeDelta::seconds(1), time: TimeDelta::hours(1) })
        .await;
    assert_eq!(f.due(f.now(), 99).await.len(), 1);
    assert_eq!(f.due(f.now() + TimeDelta::seconds(9), 99).await.len(), 10);
    assert_eq!(f.due(f.now() + TimeDelta::seconds(30), 99).await.len(), 20);
}

pub async fn a_cancelled_batch_ends_every_unfinished_file(f: Fixture) {
    let (batch, jobs) = batch_of(&f, &["a", "b", "c", "d"]).await;
    let ended = f.claim(jobs[0]).await.claim;
    done(&f, &ended).await;
    let running = f.claim(jobs[1]).await.claim;
    assert!(matches!(steer(&f, batch, Steer::Cancel).await, Steered::Changed(_)));
    assert_eq!(f.store.batches_to_cancel(9).await.expect("read"), [(f.workspace, batch)]);
    // Whoever comes to a file before the cancel does ends it.
    let message = f.message_of(jobs[3]).await.expect("a message");
    let met = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(met, ClaimOutcome::Cancelled { attempt: 0 });
    let cancel = || f.store.cancel_batch_files(f.workspace, batch, 1, f.now());
    let first = cancel().await.expect("cancelled");
    assert_eq!((first.asked.as_slice(), first.more), (&jobs[1..2], true));
    let second = cancel().await.expect("cancelled");
    assert_eq!(second.ended, [(jobs[2], 0)]);
    assert_eq!(cancel().await.expect("cancelled").ended, []);
    assert_eq!(seen(&f, batch).await.state, BatchState::Cancelling, "one runs");
    f.store.cancel(f.workspace, &running, &[], f.now()).await.expect("it stops");
    assert!(!cancel().await.expect("cancelled").more);
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.done, found.cancelled), (BatchState::Cancelled, 1, 3));
    assert!(f.store.batches_to_cancel(9).await.expect("read").is_empty());
    assert!(matches!(steer(&f, batch, Steer::Cancel).await, Steered::Unchanged(_)));
    let refused = steer(&f, batch, RESUME).await;
    assert_eq!(refused, Steered::Refused(BatchState::Cancelled));
    assert!(matches!(retry(&f, batch, 9).await, Retried::Refused(BatchState::Cancelled)));
    assert!(f.due(f.now() + TimeDelta::days(1), 9).await.is_empty(), "no message is left");
}

async fn retry(f: &Fixture, batch: BatchId, limit: u32) -> Retried {
    let replay = Replay {
        ids: f.ids.clone(),
        now: f.now(),
        begin_at: f.now(),
        every: TimeDelta::zero(),
        chat_time: TimeDelta::minutes(10),
        documents_time: TimeDelta::hours(24),
        audit: f.audit("batch.retry"),
        idempotency: None,
    };
    let retried = f.store.retry_batch(f.workspace, None, batch, limit, replay).await;
    retried.expect("retried").expect("there")
}

pub async fn failed_and_dead_files_are_tried_again(f: Fixture) {
    let (batch, jobs) = batch_of(&f, &["a", "b", "c"]).await;
    let claim = f.claim(jobs[0]).await.claim;
    fail(&f, &claim, "damaged", "the file is damaged").await;
    let claim = f.claim(jobs[1]).await.claim;
    let problem = Problem::new("too_many_attempts", "Given up", "It was tried too often.");
    f.store.bury(f.workspace, &claim, problem, None, &[], f.now()).await.expect("buried");
    let claim = f.claim(jobs[2]).await.claim;
    done(&f, &claim).await;
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.done, found.failed), (BatchState::Done, 1, 2));
    let Retried::Retried(first) = retry(&f, batch, 1).await else { panic!("refused") };
    assert_eq!((first.replayed, first.remaining), (1, 1));
    assert!(matches!(first.items[0].outcome, Replayed::Replayed { .. }));
    let Retried::Retried(rest) = retry(&f, batch, 9).await else { panic!("refused") };
    assert_eq!((rest.replayed, rest.remaining), (1, 0));
    let Retried::Retried(none) = retry(&f, batch, 9).await else { panic!("refused") };
    assert_eq!(none.replayed, 0, "what is queued again has not failed");
    let found = seen(&f, batch).await;
    assert_eq!((found.state, found.done, found.failed), (BatchState::Running, 1, 0));
    assert!(f.store.dead_letter(f.workspace, jobs[1].uuid()).await.expect("read").is_none());
    for id in &jobs[..2] {
        let claimed = f.claim(*id).await;
        assert_eq!(claimed.step_attempt, 1);
        done(&f, &claimed.claim).await;
    }
    assert_eq!(seen(&f, batch).await.done, 3);
}

pub async fn what_became_of_a_batch_is_summed_up(f: Fixture) {
    let (batch, jobs) = batch_of(&f, &["a", "b", "c", "d"]).await;
    for (id, code) in [(jobs[0], "damaged"), (jobs[1], "encrypted"), (jobs[2], "encrypted")] {
        let claim = f.claim(id).await.claim;
        fail(&f, &claim, code, &format!("it is {code}")).await;
    }
    f.pass(Duration::from_secs(5));
    let claim = f.claim(jobs[3]).await.claim;
    done(&f, &claim).await;
    let found = seen(&f, batch).await;
    let sum = f.store.batch_summary(f.workspace, &found).await.expect("summed up");
    assert_eq!((sum.ready, sum.failed, sum.cancelled, sum.duplicates), (1, 3, 0, 0));
    assert_eq!((sum.size_bytes, sum.seconds), (4, 5.0));
    let told: Vec<(&str, u64, &str)> = sum
        .problems
        .iter()
        .map(|p| (p.code.as_str(), p.count, p.example.filename.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(told, [("encrypted", 2, "b"), ("damaged", 1, "a")]);
    let page = PageRequest { limit: 2, ..PageRequest::default() };
    let items = f.store.batch_items(f.workspace, None, batch, Some(JobState::Failed), page).await;
    let items = items.expect("listed").expect("there");
    let names: Vec<&str> = items.items.iter().filter_map(|i| i.filename.as_deref()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(items.items[0].problem.as_ref().expect("a problem").code, "damaged");
    let rest = PageRequest { after: items.next, ..page };
    let rest = f.store.batch_items(f.workspace, None, batch, Some(JobState::Failed), rest).await;
    assert_eq!(rest.expect("listed").expect("there").items.len(), 1);
}

pub async fn batches_are_their_principals_and_listed_newest_first(f: Fixture) {
    let first = begun(&f, None).await;
    let second = begun(&f, None).await;
    let stranger: PrincipalId = f.id();
    let thief = f.new_workspace().await;
    let page = PageRequest::default();
    let all = f.store.list_batches(f.workspace, None, page, f.now()).await.expect("listed");
    let ids: Vec<BatchId> = all.items.iter().map(|batch| batch.id).collect();
    assert_eq!(ids, [second, first]);
    assert_eq!(all.items[0].name.as_deref(), Some("filings"));
    for (workspace, principal) in [(f.workspace, Some(stranger)), (thief, None)] {
        let store = &f.store;
        let listed = store.list_batches(workspace, principal, page, f.now()).await;
        assert!(listed.expect("listed").items.is_empty());
        assert!(store.batch(workspace, principal, first, f.now()).await.expect("read").is_none());
        let items = store.batch_items(workspace, principal, first, None, page).await;
        assert!(items.expect("listed").is_none());
        let audit = f.audit("batch.pause");
        let steered =
            store.steer_batch(workspace, principal, first, Steer::Pause, f.now(), audit).await;
        assert!(steered.expect("answered").is_none());
        let replay = Replay {
            ids: f.ids.clone(),
            now: f.now(),
            begin_at: f.now(),
            every: TimeDelta::zero(),
            chat_time: TimeDelta::minutes(10),
            documents_time: TimeDelta::hours(24),
            audit: f.audit("batch.retry"),
            idempotency: None,
        };
        let retried = store.retry_batch(workspace, principal, first, 9, replay).await;
        assert!(retried.expect("answered").is_none());
    }
    let cancelled = f.store.cancel_batch_files(thief, first, 9, f.now()).await.expect("answered");
    assert!(cancelled.ended.is_empty() && cancelled.asked.is_empty());
    assert_eq!(seen(&f, first).await.state, BatchState::Open);
}
