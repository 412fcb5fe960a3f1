//! Steps that nobody has claimed: put off for others' sake, and brought forward.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{ClaimOutcome, NewConversation, OutboxRow, PutOff, Unclaimed};

use super::Fixture;

const WAIT: Duration = Duration::from_secs(30);
const REASON: &str = "workspace_busy";

fn put_off(f: &Fixture, message: &OutboxRow) -> Unclaimed {
    Unclaimed {
        job_id: message.envelope.job_id,
        step: message.envelope.step,
        outbox_id: message.envelope.outbox_id,
        next_outbox_id: f.id(),
        reason: REASON,
        due_at: f.now() + WAIT,
        now: f.now(),
    }
}

pub async fn a_step_that_nobody_has_claimed_is_put_off_and_brought_forward(f: Fixture) {
    let asked = f.ask(f.conversation().await, "why?").await;
    let message = f.message_of(asked.job_id).await.expect("a message");
    f.store.outbox_sent(&[message.envelope.outbox_id], f.now()).await.expect("marked");
    let step = put_off(&f, &message);
    assert!(f.store.put_off_unclaimed(f.workspace, step.clone()).await.expect("answered"));
    // The message that brought it is marked as sent, too late, and comes once more.
    f.store.outbox_sent(&[message.envelope.outbox_id], f.now()).await.expect("marked");
    let stale = f.store.claim(f.workspace, f.wish(&message)).await.expect("answered");
    assert_eq!(stale, ClaimOutcome::Stale);
    assert!(!f.store.put_off_unclaimed(f.workspace, step.clone()).await.expect("answered"));

    let job = f.store.job(f.workspace, None, asked.job_id).await.expect("read").expect("there");
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Waiting, Some(REASON)));
    assert_eq!((job.until, job.attempt), (Some(step.due_at), 0));
    assert!(f.due(f.now(), 9).await.is_empty(), "it is not due");
    let bring = async |workspace, reason: &'static str| {
        let jobs = [asked.job_id, f.id()];
        f.store.bring_forward(workspace, &jobs, reason, f.now()).await.expect("answered")
    };
    assert!(bring(f.workspace, "provider_limit").await.is_empty(), "it waits for something else");
    assert!(bring(f.id(), REASON).await.is_empty(), "another workspace's");
    assert_eq!(bring(f.workspace, REASON).await, [asked.job_id]);
    let due = f.due(f.now(), 9).await;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].envelope.outbox_id, step.next_outbox_id);
    let claimed = f.claim(asked.job_id).await;
    assert_eq!((claimed.step_attempt, claimed.restarted), (1, false), "it was no try");
    assert!(bring(f.workspace, REASON).await.is_empty(), "it no longer waits");
}

/// A question of a workspace that waits for its turn.
async fn wait_in(f: &Fixture, workspace: WorkspaceId) -> JobId {
    let conversation = NewConversation {
        id: f.id(),
        principal_id: f.principal,
        title: None,
        collection_ids: None,
        created_at: f.now(),
    };
    let question = f.question(conversation.id, "why?");
    let made = f.store.create_conversation(workspace, conversation).await.expect("begun");
    made.expect("of no collections in particular");
    let asked = f.store.accept_question(workspace, question).await.expect("accepted");
    let job = asked.expect("the conversation is there").job_id;
    let step = put_off(f, &f.message_of(job).await.expect("a message"));
    assert!(f.store.put_off_unclaimed(workspace, step).await.expect("answered"));
    job
}

pub async fn turns_are_called_of_each_workspace_in_turn(f: Fixture) {
    let other = f.new_workspace().await;
    let mut asked = Vec::new();
    for workspace in [f.workspace, f.workspace, f.workspace, other] {
        asked.push((workspace, wait_in(&f, workspace).await));
    }
    let called = async |reason: &'static str, limit, now| {
        let mut called = f.store.call_turns(reason, limit, now).await.expect("called");
        called.sort();
        called
    };
    assert_eq!(called("provider_limit", 9, f.now()).await, [], "they wait for something else");
    assert_eq!(called(REASON, 9, f.now() + WAIT * 2).await, [], "they come by themselves");
    let mut first = vec![asked[0], asked[3]];
    first.sort();
    assert_eq!(called(REASON, 2, f.now()).await, first);
    let due: Vec<_> = f.due(f.now(), 9).await.iter().map(|row| row.envelope.job_id).collect();
    assert!(due.len() == 2 && first.iter().all(|(_, job)| due.contains(job)), "{due:?}");
    assert_eq!(called(REASON, 1, f.now()).await, [asked[1]]);
    f.claim(asked[2].1).await;
    assert_eq!(called(REASON, 9, f.now()).await, [], "nobody is called twice, or who has come");
}

/// A provider that is left alone for hours gives nobody up.
pub async fn a_step_put_off_untried_is_not_given_up(f: Fixture) {
    let asked = f.ask(f.conversation().await, "why?").await;
    let mut tries = Vec::new();
    for turn in 0..6 {
        let claimed = f.claim(asked.job_id).await;
        tries.push(claimed.step_attempt);
        let why = match turn {
            3 => PutOff::after_try("model_unavailable"),
            _ => PutOff::untried("model_limit_reached"),
        };
        let next = f.advance(claimed.claim.step, claimed.payload);
        let (store, now) = (&f.store, f.now());
        store.put_off(f.workspace, &claimed.claim, why, next, &[], now).await.expect("put off");
    }
    assert_eq!(tries, [1, 2, 2, 2, 3, 3]);
}

pub async fn what_is_claimed_or_ended_is_not_put_off(f: Fixture) {
    let conversation = f.conversation().await;
    let asked = f.ask(conversation, "why?").await;
    let message = f.message_of(asked.job_id).await.expect("a message");
    let put =
        async |workspace, step| f.store.put_off_unclaimed(workspace, step).await.expect("answered");
    assert!(!put(f.id(), put_off(&f, &message)).await, "another workspace's");
    f.claim(asked.job_id).await;
    assert!(!put(f.workspace, put_off(&f, &message)).await, "somebody has it");
    let other = f.ask(conversation, "when?").await;
    let message = f.message_of(other.job_id).await.expect("a message");
    let cancel = f.audit("job.cancel");
    f.store.request_cancel(f.workspace, None, other.job_id, f.now(), cancel).await.expect("asked");
    assert!(!put(f.workspace, put_off(&f, &message)).await, "it has ended");
    // Many at once, as a full queue brings them.
    let mut steps = Vec::new();
    for _ in 0..20 {
        let asked = f.ask(conversation, "who?").await;
        steps.push(put_off(&f, &f.message_of(asked.job_id).await.expect("a message")));
    }
    let jobs: Vec<_> = steps.iter().map(|step| step.job_id).collect();
    let all = futures::future::join_all(steps.into_iter().map(|step| put(f.workspace, step))).await;
    assert!(all.into_iter().all(|put_off| put_off));
    let found = f.store.bring_forward(f.workspace, &jobs, REASON, f.now()).await.expect("answered");
    assert_eq!(found, jobs);
    let due = f.due(f.now(), 99).await;
    assert!(jobs.iter().all(|job| due.iter().any(|row| row.envelope.job_id == *job)));
}
