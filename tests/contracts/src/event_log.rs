//! What every event log must do.

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use quaestor_core::events::{Event, EventId};
use quaestor_core::ids::{ConversationId, JobId, WorkspaceId};
use quaestor_core::ports::event_log::{Appended, EventLog, Rung, Watched};
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives an empty
/// event log, as anything that is an `EventLog`.
#[macro_export]
macro_rules! event_log_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            event_log,
            {$($factory)+},
            [
                events_are_numbered_by_attempt_and_sequence,
                a_stale_attempt_is_fenced,
                a_writer_is_fenced_between_its_own_events,
                queued_may_be_appended_twice,
                nothing_follows_the_terminal_event,
                a_replay_begins_the_log_anew,
                a_watcher_of_the_life_before_goes_on_with_the_replay,
                what_follows_the_end_in_a_batch_is_left_out,
                an_end_by_somebody_else_ends_the_log,
                a_watcher_gets_what_was_and_what_comes_and_then_the_end,
                a_watcher_goes_on_after_the_last_it_saw,
                a_watcher_who_saw_events_of_an_unknown_job_gets_a_gap,
                a_watcher_may_come_before_the_first_event,
                workspaces_do_not_see_each_other,
                many_watchers_see_the_same,
                a_cancel_reaches_whoever_waits_for_it,
                a_cancel_of_another_job_is_not_heard,
                who_follows_a_conversation_hears_every_ring,
                who_is_slow_to_hear_rings_is_told_to_look,
            ]
        );
    };
}

const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
const JOB: JobId = JobId(Uuid::from_u128(2));

fn id(text: &str) -> EventId {
    text.parse().unwrap()
}

fn token(text: &str) -> Event {
    Event::Token { text: text.to_owned() }
}

async fn append(log: &dyn EventLog, attempt: u32, events: Vec<Event>) -> Appended {
    log.append(WORKSPACE, JOB, attempt, events).await.unwrap()
}

async fn watch(log: &dyn EventLog, after: Option<&str>) -> BoxStream<'static, Watched> {
    log.watch(WORKSPACE, JOB, after.map(id)).await.unwrap()
}

/// What the watcher sees, as text: `1-2` for an event, `gap` for a gap.
fn shown(watched: &Watched) -> String {
    match watched {
        Watched::Event(event) => event.id.to_string(),
        Watched::Gap => "gap".to_owned(),
    }
}

async fn take(stream: &mut BoxStream<'static, Watched>, count: usize) -> Vec<String> {
    stream.take(count).map(|watched| shown(&watched)).collect().await
}

/// Case.
pub async fn events_are_numbered_by_attempt_and_sequence(log: &dyn EventLog) {
    assert_eq!(append(log, 0, vec![Event::Queued]).await, Appended::At(id("0-1")));
    let started = vec![Event::Started { attempt: 1, traceparent: None }, token("a")];
    assert_eq!(append(log, 1, started).await, Appended::At(id("1-2")));
    assert_eq!(append(log, 1, vec![token("b")]).await, Appended::At(id("1-3")));
    assert_eq!(append(log, 3, vec![token("c")]).await, Appended::At(id("3-1")));
}

/// Case.
pub async fn a_stale_attempt_is_fenced(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 2, vec![token("a")]).await;
    assert_eq!(append(log, 1, vec![token("b")]).await, Appended::Fenced);
    assert_eq!(append(log, 2, vec![token("c")]).await, Appended::At(id("2-2")));
}

/// Case.
pub async fn a_writer_is_fenced_between_its_own_events(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    for number in 1..4 {
        let at = append(log, 1, vec![token("a")]).await;
        assert_eq!(at, Appended::At(EventId { attempt: 1, seq: number }));
    }
    append(log, 2, vec![Event::Restarted { attempt: 2, traceparent: None }]).await;
    assert_eq!(append(log, 1, vec![token("b")]).await, Appended::Fenced);
    assert_eq!(append(log, 1, vec![Event::Done { usage: None }]).await, Appended::Fenced);
    assert_eq!(append(log, 2, vec![token("c")]).await, Appended::At(id("2-2")));
}

/// Case.
pub async fn what_follows_the_end_in_a_batch_is_left_out(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 1, vec![token("a")]).await;
    let batch = vec![token("b"), Event::Done { usage: None }, token("c"), Event::Cancelled];
    assert_eq!(append(log, 1, batch).await, Appended::At(id("1-3")));
    let all: Vec<Watched> = watch(log, None).await.collect().await;
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), ["0-1", "1-1", "1-2", "1-3"]);
}

/// Case. The front ends a job that a worker still writes to.
pub async fn an_end_by_somebody_else_ends_the_log(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 1, vec![token("a")]).await;
    append(log, 1, vec![token("b")]).await;
    assert_eq!(append(log, 2, vec![Event::Cancelled]).await, Appended::At(id("2-1")));
    let late = append(log, 1, vec![token("c")]).await;
    assert!(matches!(late, Appended::Ended | Appended::Fenced), "{late:?}");
    let all: Vec<Watched> = watch(log, None).await.collect().await;
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), ["0-1", "1-1", "1-2", "2-1"]);
}

/// Case.
pub async fn queued_may_be_appended_twice(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    let again = append(log, 0, vec![Event::Queued]).await;
    assert!(matches!(again, Appended::Fenced | Appended::Ended));
    append(log, 1, vec![token("a")]).await;
    let again = append(log, 0, vec![Event::Queued]).await;
    assert!(matches!(again, Appended::Fenced | Appended::Ended));
    assert_eq!(take(&mut watch(log, None).await, 2).await, ["0-1", "1-1"]);
}

/// Case.
pub async fn nothing_follows_the_terminal_event(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 1, vec![Event::Done { usage: None }]).await;
    assert_eq!(append(log, 1, vec![token("a")]).await, Appended::Ended);
    assert_eq!(append(log, 2, vec![Event::Cancelled]).await, Appended::Ended);
    let all: Vec<Watched> = watch(log, None).await.collect().await;
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), ["0-1", "1-1"]);
}

/// Case.
pub async fn a_replay_begins_the_log_anew(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 2, vec![token("a"), Event::Cancelled]).await;
    // Neither the attempt that has ended nor an event that begins nothing is a replay.
    let again = vec![Event::Restarted { attempt: 2, traceparent: None }];
    assert_eq!(append(log, 2, again).await, Appended::Ended);
    assert_eq!(append(log, 3, vec![token("b")]).await, Appended::Ended);
    let replay = vec![Event::Restarted { attempt: 3, traceparent: None }];
    assert_eq!(append(log, 3, replay).await, Appended::At(id("3-1")));
    assert_eq!(append(log, 2, vec![Event::Cancelled]).await, Appended::Fenced);
    assert_eq!(append(log, 0, vec![Event::Queued]).await, Appended::Fenced);
    let mut early = watch(log, None).await;
    assert_eq!(take(&mut early, 2).await, ["0-1", "3-1"], "the last life alone, without a gap");
    append(log, 4, vec![Event::Started { attempt: 4, traceparent: None }, token("c")]).await;
    let done = vec![Event::Done { usage: None }];
    assert_eq!(append(log, 4, done).await, Appended::At(id("4-3")));
    let rest: Vec<Watched> = early.collect().await;
    assert_eq!(rest.iter().map(shown).collect::<Vec<_>>(), ["4-1", "4-2", "4-3"]);
    // And once more, by the worker itself where the replay could not be told.
    let started = vec![Event::Started { attempt: 6, traceparent: None }];
    assert_eq!(append(log, 6, started).await, Appended::At(id("6-1")));
    assert_eq!(take(&mut watch(log, None).await, 2).await, ["0-1", "6-1"]);
}

/// Case.
pub async fn a_watcher_of_the_life_before_goes_on_with_the_replay(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 1, vec![token("a"), token("b")]).await;
    let mut slow = watch(log, Some("1-1")).await;
    assert_eq!(take(&mut slow, 1).await, ["1-2"]);
    append(log, 1, vec![Event::Cancelled]).await;
    append(log, 2, vec![Event::Restarted { attempt: 2, traceparent: None }]).await;
    let ended = vec![Event::Started { attempt: 3, traceparent: None }, Event::Done { usage: None }];
    append(log, 3, ended).await;
    for after in ["1-1", "1-2", "1-3"] {
        let all: Vec<Watched> = watch(log, Some(after)).await.collect().await;
        let seen: Vec<String> = all.iter().map(shown).collect();
        assert_eq!(seen, ["2-1", "3-1", "3-2"], "after {after}");
    }
    // One that was watching may have had the end of the life before, and else goes on.
    let rest: Vec<Watched> = slow.collect().await;
    let rest: Vec<String> = rest.iter().map(shown).filter(|id| id != "gap").collect();
    assert!(rest == ["1-3"] || rest == ["2-1", "3-1", "3-2"], "{rest:?}");
}

/// Case.
pub async fn a_watcher_gets_what_was_and_what_comes_and_then_the_end(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    let mut watcher = watch(log, None).await;
    assert_eq!(take(&mut watcher, 1).await, ["0-1"]);
    let coming = async {
        append(log, 1, vec![token("a"), token("b")]).await;
        append(log, 2, vec![Event::Restarted { attempt: 2, traceparent: None }, Event::Cancelled])
            .await;
    };
    let (rest, ()) = tokio::join!(watcher.collect::<Vec<_>>(), coming);
    assert_eq!(rest.iter().map(shown).collect::<Vec<_>>(), ["1-1", "1-2", "2-1", "2-2"]);
}

/// Case.
pub async fn a_watcher_goes_on_after_the_last_it_saw(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    append(log, 1, vec![token("a"), token("b"), Event::Done { usage: None }]).await;
    for (after, wanted) in
        [("0-1", vec!["1-1", "1-2", "1-3"]), ("1-2", vec!["1-3"]), ("1-3", vec![])]
    {
        let all: Vec<Watched> = watch(log, Some(after)).await.collect().await;
        assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), wanted, "after {after}");
    }
}

/// Case.
pub async fn a_watcher_who_saw_events_of_an_unknown_job_gets_a_gap(log: &dyn EventLog) {
    assert_eq!(take(&mut watch(log, Some("1-4")).await, 1).await, ["gap"]);
}

/// Case.
pub async fn a_watcher_may_come_before_the_first_event(log: &dyn EventLog) {
    let mut watcher = watch(log, None).await;
    assert!(watcher.next().now_or_never().is_none());
    let (seen, _) = tokio::join!(take(&mut watcher, 1), append(log, 0, vec![Event::Queued]));
    assert_eq!(seen, ["0-1"]);
}

/// Case.
pub async fn workspaces_do_not_see_each_other(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    let stranger = WorkspaceId(Uuid::from_u128(9));
    let mut watcher = log.watch(stranger, JOB, None).await.unwrap();
    let mut next = watcher.next();
    assert!(futures::poll!(&mut next).is_pending());
    let mut own = watch(log, None).await;
    let coming = append(log, 1, vec![token("a"), token("b")]);
    let (seen, _) = tokio::join!(take(&mut own, 3), coming);
    assert_eq!(seen, ["0-1", "1-1", "1-2"]);
    assert!(futures::poll!(&mut next).is_pending());
}

/// Case.
pub async fn many_watchers_see_the_same(log: &dyn EventLog) {
    append(log, 0, vec![Event::Queued]).await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.push(watch(log, None).await.collect::<Vec<_>>());
    }
    let coming = async {
        for number in 0..50 {
            append(log, 1, vec![token(&number.to_string())]).await;
            tokio::task::yield_now().await;
        }
        append(log, 1, vec![Event::Done { usage: None }]).await;
    };
    let (seen, ()) = tokio::join!(futures::future::join_all(watchers), coming);
    for one in &seen {
        assert_eq!(one.len(), 52);
        assert_eq!(*one, seen[0]);
    }
}

/// Case.
pub async fn a_cancel_reaches_whoever_waits_for_it(log: &dyn EventLog) {
    log.request_cancel(WORKSPACE, JOB).await.unwrap();
    let mut one = log.cancel_requested(WORKSPACE, JOB);
    let mut other = log.cancel_requested(WORKSPACE, JOB);
    assert!(futures::poll!(&mut one).is_pending(), "only a later request counts");
    assert!(futures::poll!(&mut other).is_pending());
    log.request_cancel(WORKSPACE, JOB).await.unwrap();
    tokio::join!(one, other);
    let mut again = log.cancel_requested(WORKSPACE, JOB);
    assert!(futures::poll!(&mut again).is_pending());
    log.request_cancel(WORKSPACE, JOB).await.unwrap();
    again.await;
}

/// Case.
pub async fn a_cancel_of_another_job_is_not_heard(log: &dyn EventLog) {
    let mut waiting = log.cancel_requested(WORKSPACE, JOB);
    assert!(futures::poll!(&mut waiting).is_pending());
    log.request_cancel(WORKSPACE, JobId(Uuid::from_u128(77))).await.unwrap();
    log.request_cancel(WorkspaceId(Uuid::from_u128(9)), JOB).await.unwrap();
    assert!(futures::poll!(&mut waiting).is_pending());
}

/// Whoever follows a conversation hears that it has a new question.
pub async fn who_follows_a_conversation_hears_every_ring(log: &dyn EventLog) {
    let conversation = ConversationId(Uuid::from_u128(7));
    let other = ConversationId(Uuid::from_u128(8));
    let mut first = log.rings(WORKSPACE, conversation).await.unwrap();
    let mut second = log.rings(WORKSPACE, conversation).await.unwrap();
    let mut elsewhere = log.rings(WorkspaceId(Uuid::from_u128(9)), conversation).await.unwrap();
    for stream in [&mut first, &mut second, &mut elsewhere] {
        assert_eq!(stream.next().await, Some(Rung::Look), "it is listened to");
    }
    for number in 0..3 {
        let (rung, unheard) = (JobId(Uuid::from_u128(100 + number)), JobId(Uuid::from_u128(99)));
        log.ring(WORKSPACE, other, unheard).await.unwrap();
        log.ring(WORKSPACE, conversation, rung).await.unwrap();
        assert_eq!(first.next().await, Some(Rung::Job(rung)));
        assert_eq!(second.next().await, Some(Rung::Job(rung)));
    }
    assert!(elsewhere.next().now_or_never().is_none(), "another workspace's is not heard");
}

/// Who was too slow for all rings is told to look, and hears those that come after.
pub async fn who_is_slow_to_hear_rings_is_told_to_look(log: &dyn EventLog) {
    let conversation = ConversationId(Uuid::from_u128(7));
    let mut slow = log.rings(WORKSPACE, conversation).await.unwrap();
    assert_eq!(slow.next().await, Some(Rung::Look));
    for number in 0..1_000 {
        log.ring(WORKSPACE, conversation, JobId(Uuid::from_u128(number))).await.unwrap();
    }
    let last = JobId(Uuid::from_u128(999));
    let mut looked = false;
    loop {
        match slow.next().await {
            Some(Rung::Look) => looked = true,
            Some(Rung::Job(job)) if job == last => break,
            Some(Rung::Job(_)) => {}
            None => panic!("the rings ended"),
        }
        if looked && slow.next().now_or_never().is_none() {
            break;
        }
    }
    assert!(looked);
    log.ring(WORKSPACE, conversation, JobId(Uuid::from_u128(5_000))).await.unwrap();
    loop {
        if slow.next().await == Some(Rung::Job(JobId(Uuid::from_u128(5_000)))) {
            break;
        }
    }
}
