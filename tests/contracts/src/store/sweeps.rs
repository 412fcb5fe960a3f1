//! The outbox and the sweeps, and what a call leaves that is dropped midway.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::model::{DocumentStatus, JobState, MessageState, PageRequest};
use quaestor_core::ports::store::{
    DocumentFilter, Heartbeat, IdempotencyKey, JobFilter, Most, OutboxRow, PutOff, StoreError,
    Table, Unclaimed,
};

use super::Fixture;
use super::fixture::LEASE;

pub async fn messages_are_due_until_they_are_sent(f: Fixture) {
    let filings = f.collection("filings").await;
    let first = f.upload(filings, "a.txt", "a").await.items[0].job_id;
    f.pass(Duration::from_secs(1));
    let second = f.upload(filings, "b.txt", "b").await.items[0].job_id;
    let due = async |limit| {
        let rows = f.due(f.now(), limit).await;
        rows.into_iter().map(|row| row.envelope).collect::<Vec<_>>()
    };
    let both = due(10).await;
    assert_eq!(both.iter().map(|row| row.job_id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(due(1).await.len(), 1);
    assert_eq!(both[0].workspace_id, f.workspace);
    let sent = [both[0].outbox_id];
    f.store.outbox_sent(&sent, f.now()).await.expect("marked");
    f.store.outbox_sent(&sent, f.now()).await.expect("marked again");
    assert_eq!(due(10).await.len(), 1);
    f.store.outbox_sent(&[both[1].outbox_id, f.id()], f.now()).await.expect("marked");
    assert!(due(10).await.is_empty());
    assert_eq!(f.store.outbox_next_due().await.expect("read"), None);
}

pub async fn a_message_that_was_taken_is_not_given_twice(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload =
        f.upload_of(filings, (0..20).map(|n| f.file(&n.to_string(), &n.to_string())).collect());
    f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let held = f.now() + LEASE;
    let take = || f.store.outbox_take(f.now(), held, 7);
    let taken = futures::future::join_all([take(), take(), take(), take()]).await;
    let mut ids: Vec<_> = taken
        .into_iter()
        .flat_map(|rows| rows.expect("taken"))
        .map(|row| row.envelope.outbox_id)
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "each message is given to one relay");
    assert_eq!(f.store.outbox_unsent(99).await.expect("counted"), 20);
    assert_eq!(f.store.outbox_unsent(9).await.expect("counted"), 9);
    assert!(f.due(f.now(), 9).await.is_empty());
    f.store.outbox_sent(&ids[..5], f.now()).await.expect("marked");
    assert_eq!(f.store.outbox_next_due().await.expect("read"), Some(held));
    f.store.outbox_give_back(&ids[..7], f.now()).await.expect("given back");
    assert_eq!(f.due(f.now(), 99).await.len(), 2, "what was sent stays sent");
    f.pass(LEASE);
    assert_eq!(f.due(f.now(), 99).await.len(), 15, "a relay that died loses nothing");
}

pub async fn questions_are_taken_before_documents(f: Fixture) {
    let filings = f.collection("filings").await;
    let upload =
        f.upload_of(filings, (0..20).map(|n| f.file(&n.to_string(), &n.to_string())).collect());
    f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    let conversation = f.conversation().await;
    let mut questions = Vec::new();
    for _ in 0..3 {
        f.pass(Duration::from_secs(1));
        questions.push(f.ask(conversation, "why?").await.job_id);
    }
    let steps = |rows: Vec<OutboxRow>| -> Vec<Step> {
        rows.into_iter().map(|row| row.envelope.step).collect()
    };
    let taken = f.due(f.now(), 5).await;
    let first: Vec<_> = taken[..3].iter().map(|row| row.envelope.job_id).collect();
    assert_eq!(first, questions, "though the files were there before");
    assert_eq!(steps(taken)[3..], [Step::DocumentsIngest; 2]);
    assert_eq!(steps(f.due(f.now(), 2).await), [Step::ChatRetrieve; 2]);
    let held = f.now() + LEASE;
    assert_eq!(f.store.outbox_take(f.now(), held, 3).await.expect("taken").len(), 3);
    assert_eq!(steps(f.due(f.now(), 99).await), [Step::DocumentsIngest; 20]);
}

pub async fn unfinished_work_is_counted_by_workspaces(f: Fixture) {
    let conversation = f.conversation().await;
    let deadline = f.now() + Duration::from_secs(300);
    let ask = async |deadline| {
        let mut question = f.question(conversation, "why?");
        question.job.deadline = Some(deadline);
        f.store.accept_question(f.workspace, question).await.expect("accepted").expect("there")
    };
    let began = f.now();
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(ask(deadline).await.job_id);
        f.pass(Duration::from_secs(1));
    }
    ask(deadline + Duration::from_secs(9_000)).await;
    let filings = f.collection("filings").await;
    f.upload(filings, "a.txt", "a").await;
    let other = f.new_workspace().await;
    let (until, kind) = (deadline + Duration::from_secs(60), JobKind::Chat);
    let count = async |limit| f.store.unfinished(kind, until, limit).await.expect("counted");
    let seen = count(99).await;
    assert_eq!(seen.len(), 1, "{other} has none: {seen:?}");
    assert_eq!(seen[0].workspace_id, f.workspace);
    assert_eq!((seen[0].jobs, seen[0].unstarted, seen[0].untouched), (5, 5, 5));
    assert_eq!((seen[0].unstarted_since, seen[0].untouched_since), (Some(began), Some(began)));
    assert_eq!(count(2).await[0].jobs, 2, "no more are looked at");

    // One runs, one waits for others' sake, one has ended.
    f.claim(jobs[0]).await;
    let message = f.message_of(jobs[1]).await.expect("a message").envelope.outbox_id;
    let put_off = Unclaimed {
        job_id: jobs[1],
        step: Step::ChatRetrieve,
        outbox_id: message,
        next_outbox_id: f.id(),
        reason: "workspace_busy",
        due_at: f.now() + LEASE,
        now: f.now(),
    };
    assert!(f.store.put_off_unclaimed(f.workspace, put_off).await.expect("put off"));
    let audit = f.audit("job.cancel");
    f.store.request_cancel(f.workspace, None, jobs[2], f.now(), audit).await.expect("cancelled");
    let seen = &count(99).await[0];
    assert_eq!((seen.jobs, seen.unstarted, seen.untouched), (4, 3, 2));
    assert_eq!(seen.unstarted_since, Some(began + Duration::from_secs(1)));
    assert_eq!(seen.untouched_since, Some(began + Duration::from_secs(3)));
}

pub async fn a_promised_message_is_held_back(f: Fixture) {
    let conversation = f.conversation().await;
    let held = f.now() + LEASE;
    let mut question = f.question(conversation, "why?");
    question.job.held_until = Some(held);
    let row = OutboxRow::of(f.workspace, &question.job);
    f.store.accept_question(f.workspace, question).await.expect("accepted").expect("there");
    let filings = f.collection("filings").await;
    let mut upload = f.upload_of(filings, vec![f.file("a.txt", "a")]);
    upload.files[0].job.held_until = Some(held);
    f.store.accept_upload(f.workspace, upload).await.expect("accepted");
    assert!(f.due(f.now(), 9).await.is_empty());
    assert_eq!(f.store.outbox_next_due().await.expect("read"), Some(held));
    f.pass(LEASE);
    let due = f.due(f.now(), 9).await;
    assert_eq!(due.len(), 2);
    assert!(due.contains(&row), "it is what was promised");
}

pub async fn messages_that_a_queue_lost_are_due_again(f: Fixture) {
    let filings = f.collection("filings").await;
    let lost = f.upload(filings, "a.txt", "a").await.items[0].job_id;
    let held = f.upload(filings, "b.txt", "b").await.items[0].job_id;
    f.claim(held).await;
    let ids: Vec<_> = f.due(f.now(), 9).await.iter().map(|row| row.envelope.outbox_id).collect();
    f.store.outbox_sent(&ids, f.now()).await.expect("marked");
    let sent = f.now();
    f.pass(LEASE);
    let resend = async |step, before| {
        f.store.outbox_resend(step, before, f.now(), 9).await.expect("answered")
    };
    assert_eq!(resend(Step::DocumentsIngest, sent).await, 0, "sent too lately");
    assert_eq!(resend(Step::ChatRetrieve, f.now()).await, 0, "another step's");
    assert_eq!(resend(Step::DocumentsIngest, f.now()).await, 1, "the one that nobody holds");
    let due = f.due(f.now(), 9).await;
    assert_eq!(due.iter().map(|row| row.envelope.job_id).collect::<Vec<_>>(), [lost]);
}

pub async fn a_later_message_is_not_due_yet(f: Fixture) {
    let filings = f.collection("filings").await;
    let job = f.upload(filings, "a.txt", "a").await.items[0].job_id;
    let claim = f.claim(job).await.claim;
    let mut next = f.advance(Step::DocumentsIngest, serde_json::json!({}));
    next.due_at = f.now() + Duration::from_secs(5);
    let due_at = next.due_at;
    f.store
        .put_off(f.workspace, &claim, PutOff::after_try("busy"), next, &[], f.now())
        .await
        .expect("put off");
    assert!(f.due(f.now(), 9).await.is_empty());
    assert_eq!(f.store.outbox_next_due().await.expect("read"), Some(due_at));
    assert_eq!(f.due(due_at, 9).await.len(), 1);
}

pub async fn after_a_restart_every_unfinished_job_is_due(f: Fixture) {
    let filings = f.collection("filings").await;
    let jobs: Vec<_> = {
        let mut jobs = Vec::new();
        for name in ["held", "waiting", "sent", "done"] {
            jobs.push(f.upload(filings, name, name).await.items[0].job_id);
        }
        jobs
    };
    let held = f.claim(jobs[0]).await.claim;
    let waiting = f.claim(jobs[1]).await.claim;
    let mut next = f.advance(Step::DocumentsIngest, serde_json::json!({}));
    next.due_at = f.now() + LEASE;
    f.store
        .put_off(f.workspace, &waiting, PutOff::after_try("busy"), next, &[], f.now())
        .await
        .expect("put off");
    let sent = f.message_of(jobs[2]).await.expect("a message").envelope.outbox_id;
    f.store.outbox_sent(&[sent], f.now()).await.expect("marked");
    let done = f.claim(jobs[3]).await.claim;
    f.store.finish_without_subject(f.workspace, &done, f.now()).await.expect("finished");

    assert_eq!(f.store.outbox_restart(f.now()).await.expect("answered"), 3);
    let due = f.due(f.now(), 9).await;
    let mut ids: Vec<_> = due.iter().map(|row| row.envelope.job_id).collect();
    ids.sort();
    assert_eq!(ids, jobs[..3]);
    let until = f.now() + LEASE;
    let beat = f.store.heartbeat(f.workspace, &held, until).await.expect("answered");
    assert_eq!(beat, Heartbeat::Lost, "no lease of a former process holds");
    let again = f.claim(jobs[0]).await;
    assert_eq!((again.claim.attempt, again.restarted), (2, true));
}

pub async fn an_expired_lease_is_requeued(f: Fixture) {
    let filings = f.collection("filings").await;
    let job = f.upload(filings, "a.txt", "a").await.items[0].job_id;
    let claim = f.claim(job).await.claim;
    f.store.outbox_sent(&[claim.outbox_id], f.now()).await.expect("marked");
    assert_eq!(f.store.requeue_expired(f.now(), 9).await.expect("answered"), 0);
    f.pass(LEASE);
    assert_eq!(f.store.requeue_expired(f.now(), 9).await.expect("answered"), 1);
    assert_eq!(f.store.requeue_expired(f.now(), 9).await.expect("answered"), 0);
    let due = f.due(f.now(), 9).await;
    assert_eq!((due.len(), due[0].attempt), (1, 1));
    let late = f.store.cancel(f.workspace, &claim, &[], f.now()).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(f.claim(job).await.claim.attempt, 2);
}

pub async fn overdue_jobs_fail_with_their_subjects(f: Fixture) {
    let conversation = f.conversation().await;
    let mut question = f.question(conversation, "why?");
    question.job.deadline = Some(f.now() + LEASE);
    let (job, answer) = (question.job.id, question.answer_id);
    f.store.accept_question(f.workspace, question).await.expect("accepted");
    let filings = f.collection("filings").await;
    let mut file = f.file("a.txt", "a");
    file.job.deadline = Some(f.now() + LEASE);
    let document = file.document_id;
    let upload = f.upload_of(filings, vec![file]);
    f.store.accept_upload(f.workspace, upload).await.expect("accepted");

    assert!(f.store.fail_overdue(f.now(), 9).await.expect("answered").is_empty());
    f.pass(LEASE * 2);
    let first = f.store.fail_overdue(f.now(), 1).await.expect("answered");
    let rest = f.store.fail_overdue(f.now(), 9).await.expect("answered");
    assert_eq!((first.len(), rest.len()), (1, 1));
    for swept in first.iter().chain(&rest) {
        assert_eq!((swept.workspace_id, swept.attempt), (f.workspace, 0));
        assert_eq!(swept.state, JobState::Failed);
    }
    let ended = f.store.job(f.workspace, None, job).await.expect("read").expect("there");
    assert_eq!(ended.problem.expect("a reason").code, "deadline_passed");
    let answer = f.store.message(f.workspace, f.principal, answer).await;
    assert_eq!(answer.expect("read").expect("there").state, MessageState::Failed);
    let document = f.store.document(f.workspace, document).await.expect("read").expect("there");
    assert_eq!(document.status, DocumentStatus::Failed);
    assert_eq!(f.store.outbox_next_due().await.expect("read"), None);
}

pub async fn running_jobs_are_not_overdue(f: Fixture) {
    let conversation = f.conversation().await;
    let mut question = f.question(conversation, "why?");
    question.job.deadline = Some(f.now());
    let job = question.job.id;
    f.store.accept_question(f.workspace, question).await.expect("accepted");
    let claimed = f.claim(job).await;
    assert_eq!(claimed.deadline, Some(f.now()));
    f.pass(LEASE * 2);
    assert!(f.store.fail_overdue(f.now(), 9).await.expect("answered").is_empty());
}

pub async fn old_idempotency_keys_are_forgotten(f: Fixture) {
    let conversation = f.conversation().await;
    for key in ["a", "b", "c"] {
        let mut question = f.question(conversation, "why?");
        question.idempotency = Some(IdempotencyKey {
            principal_id: f.principal,
            key: key.to_owned(),
            request_sha256: [1; 32],
            created_at: f.now(),
        });
        f.store.accept_question(f.workspace, question).await.expect("accepted");
        f.pass(LEASE);
    }
    let before = f.now() - LEASE;
    assert_eq!(f.store.forget_idempotency_keys(before, 1).await.expect("answered"), 1);
    assert_eq!(f.store.forget_idempotency_keys(before, 9).await.expect("answered"), 1);
    let kept = async |key| {
        f.store.remembered(f.workspace, f.principal, key).await.expect("read").is_some()
    };
    assert_eq!((kept("a").await, kept("b").await, kept("c").await), (false, false, true));
}

pub async fn a_call_that_is_dropped_midway_leaves_all_or_nothing(f: Fixture) {
    let filings = f.collection("filings").await;
    for turns in 0..40 {
        let files = (0..4).map(|part| {
            let name = format!("{turns}-{part}");
            f.file(&name, &name)
        });
        let upload = f.upload_of(filings, files.collect());
        let mut call = f.store.accept_upload(f.workspace, upload);
        // A client that hangs up after a while: the call gets so many turns, no more.
        for _ in 0..turns {
            if futures::poll!(&mut call).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
    }
    let after = f.upload(filings, "after", "after").await;
    assert_eq!(after.items.len(), 1, "the store goes on");
    let page = PageRequest { limit: 200, after: None };
    let documents = f.store.list_documents(f.workspace, DocumentFilter::default(), page).await;
    let documents = documents.expect("read").items.len();
    let jobs = f.store.list_jobs(f.workspace, JobFilter::default(), page).await.expect("read");
    let messages = f.due(f.now(), 1_000).await;
    assert_eq!((documents - 1) % 4, 0, "no part of a request is accepted alone");
    assert_eq!((jobs.items.len(), messages.len()), (documents, documents));
}

pub async fn messages_of_jobs_that_have_ended_are_forgotten(f: Fixture) {
    let filings = f.collection("filings").await;
    let gone = f.upload(filings, "a.txt", "a").await.items[0].clone();
    let kept = f.upload(filings, "b.txt", "b").await.items[0].job_id;
    let most = Most { records: 10, bytes: 1 << 20 };
    let read = || f.store.read_records(f.workspace, Table::Outbox, None, most);
    let message = read().await.expect("read").records;
    let message: Vec<_> = message
        .into_iter()
        .filter(|record| record.id("job_id") == Some(gone.job_id.uuid()))
        .collect();
    let audit = f.audit("document.delete");
    let deleted = f.store.delete_document(f.workspace, gone.document_id, f.now(), audit).await;
    assert!(deleted.expect("deleted").is_some());
    // As a crash leaves it that undoes one of two.
    f.store.write_records(f.workspace, Table::Outbox, message).await.expect("written");
    assert_eq!(read().await.expect("read").records.len(), 2);
    assert_eq!(f.store.forget_ended_messages(10).await.expect("forgotten"), 1);
    assert_eq!(f.store.forget_ended_messages(10).await.expect("forgotten"), 0);
    assert!(f.message_of(kept).await.is_some());
}
