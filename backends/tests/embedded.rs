//! The backends of the embedded mode keep the contracts of their ports.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use quaestor_backends::bundles::folder::FolderBundles;
use quaestor_backends::cache::memory::MemoryCache;
use quaestor_backends::event_log::memory::{Bounds, MemoryEventLog};
use quaestor_backends::limits::memory::MemoryLimits;
use quaestor_backends::limits::provider::memory::MemoryProviderLimits;
use quaestor_backends::noticeboard::memory::MemoryNoticeboard;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::queue::memory::MemoryQueue;
use quaestor_backends::tickets::memory::MemoryTickets;
use quaestor_contracts::queue::message;
use quaestor_contracts::{
    bundles_contract, cache_contract, event_log_contract, limits_contract, noticeboard_contract,
    objects_contract, provider_limits_contract, queue_contract, tickets_contract,
};
use quaestor_core::clock::ManualClock;
use quaestor_core::events::Event;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::jobs::Step;
use quaestor_core::ports::event_log::{Appended, EventLog, Watched};
use quaestor_core::ports::objects::{ObjectKey, Objects};
use quaestor_core::ports::queue::{Depth, Published, Queue};
use tempfile::TempDir;
use uuid::Uuid;

async fn queue() -> MemoryQueue {
    MemoryQueue::default()
}

async fn event_log() -> MemoryEventLog {
    MemoryEventLog::new(Arc::new(ManualClock::at_millis(0)), Bounds::default())
}

async fn limits() -> (MemoryLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (MemoryLimits::new(Arc::new(clock.clone())), clock)
}

async fn provider_limits() -> (MemoryProviderLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (MemoryProviderLimits::new(Arc::new(clock.clone())), clock)
}

async fn tickets() -> (MemoryTickets, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (MemoryTickets::new(Arc::new(clock.clone())), clock)
}

async fn cache() -> (MemoryCache, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (MemoryCache::new(Arc::new(clock.clone())), clock)
}

async fn noticeboard() -> (MemoryNoticeboard, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (MemoryNoticeboard::new(Arc::new(clock.clone())), clock)
}

/// The folder is removed with the second part.
async fn folder() -> (LocalObjects, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (LocalObjects::open(dir.path()).await.unwrap(), dir)
}

/// Likewise, of backups.
async fn backups() -> (FolderBundles, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    // A folder that is not there yet.
    (FolderBundles::new(dir.path().join("backups/quaestor")), dir)
}

mod contracts {
    use super::*;

    queue_contract!(super::super::queue);
    event_log_contract!(super::super::event_log);
    limits_contract!(super::super::limits);
    cache_contract!(super::super::cache);
    noticeboard_contract!(super::super::noticeboard);
    provider_limits_contract!(super::super::provider_limits);
    tickets_contract!(super::super::tickets);
    objects_contract!(super::super::folder);
    bundles_contract!(super::super::backups);
}

#[tokio::test]
async fn a_full_queue_says_so_and_has_room_again_after_an_ack() {
    let queue = MemoryQueue::new(2);
    let messages = |numbers: std::ops::Range<u128>| {
        numbers.map(|number| message(Step::ChatRetrieve, number)).collect::<Vec<_>>()
    };
    let published = queue.publish(messages(0..3)).await.unwrap();
    assert_eq!(published, [Published::Confirmed, Published::Confirmed, Published::Full]);
    let mut consumer = queue.consume(Step::ChatRetrieve, 5).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    let depth = queue.depth(Step::ChatRetrieve).await.unwrap();
    assert_eq!(depth, Depth { ready: 1, unsettled: Some(1) });
    assert_eq!(queue.publish(messages(3..4)).await.unwrap(), [Published::Full]);
    delivery.ack().await.unwrap();
    assert_eq!(queue.publish(messages(4..5)).await.unwrap(), [Published::Confirmed]);
}

const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

fn job(number: u128) -> JobId {
    JobId(Uuid::from_u128(number))
}

fn token(text: &str) -> Event {
    Event::Token { text: text.to_owned() }
}

/// What a watcher gets without waiting.
async fn at_once(log: &MemoryEventLog, job: JobId, after: Option<&str>) -> Vec<String> {
    let after = after.map(|after| after.parse().unwrap());
    let mut stream = log.watch(WORKSPACE, job, after).await.unwrap();
    let mut seen = Vec::new();
    while let Some(Some(watched)) = stream.next().now_or_never() {
        seen.push(match watched {
            Watched::Event(event) => event.id.to_string(),
            Watched::Gap => "gap".to_owned(),
        });
    }
    seen
}

#[tokio::test]
async fn a_slow_watcher_of_a_trimmed_log_gets_a_gap_and_goes_on() {
    let clock = ManualClock::at_millis(0);
    let bounds = Bounds { events_per_job: 3, ..Bounds::default() };
    let log = MemoryEventLog::new(Arc::new(clock), bounds);
    log.append(WORKSPACE, job(1), 0, vec![Event::Queued]).await.unwrap();
    let mut slow = log.watch(WORKSPACE, job(1), None).await.unwrap();
    slow.next().await.unwrap();
    for _ in 0..5 {
        log.append(WORKSPACE, job(1), 1, vec![token("a")]).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Watched::Gap));
    assert!(matches!(slow.next().await, Some(Watched::Event(event)) if event.id.seq == 3));
    assert_eq!(at_once(&log, job(1), None).await, ["gap", "1-3", "1-4", "1-5"]);
    assert_eq!(at_once(&log, job(1), Some("1-1")).await, ["gap", "1-3", "1-4", "1-5"]);
    assert_eq!(at_once(&log, job(1), Some("1-2")).await, ["1-3", "1-4", "1-5"]);
}

#[tokio::test]
async fn a_log_that_begins_in_the_middle_tells_the_gap() {
    let log = event_log().await;
    log.append(WORKSPACE, job(1), 2, vec![token("a")]).await.unwrap();
    assert_eq!(at_once(&log, job(1), None).await, ["gap", "2-1"]);
    assert_eq!(at_once(&log, job(1), Some("1-9")).await, ["gap", "2-1"]);
}

#[tokio::test]
async fn ended_logs_go_after_their_time_and_the_oldest_first() {
    let clock = ManualClock::at_millis(0);
    let bounds = Bounds { jobs: 2, keep_ended: Duration::from_secs(60), ..Bounds::default() };
    let log = MemoryEventLog::new(Arc::new(clock.clone()), bounds);
    for number in 1..=3 {
        log.append(WORKSPACE, job(number), 0, vec![Event::Queued, Event::Cancelled]).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(at_once(&log, job(1), Some("0-1")).await, ["gap"]);
    assert_eq!(at_once(&log, job(2), Some("0-1")).await, ["0-2"]);
    clock.advance(Duration::from_secs(58));
    assert_eq!(at_once(&log, job(2), Some("0-1")).await, ["gap"]);
    assert_eq!(at_once(&log, job(3), Some("0-1")).await, ["0-2"]);
}

#[tokio::test]
async fn numbers_rise_even_where_a_running_log_was_given_up() {
    let clock = ManualClock::at_millis(1_700_000_000_000);
    let log = MemoryEventLog::new(Arc::new(clock), Bounds { jobs: 1, ..Bounds::default() });
    log.append(WORKSPACE, job(1), 0, vec![Event::Queued]).await.unwrap();
    log.append(WORKSPACE, job(1), 1, vec![token("a"), token("b")]).await.unwrap();
    let mut watcher = log.watch(WORKSPACE, job(1), Some("1-2".parse().unwrap())).await.unwrap();
    log.append(WORKSPACE, job(2), 0, vec![Event::Queued]).await.unwrap();
    assert_eq!(watcher.next().await, Some(Watched::Gap));
    let appended = log.append(WORKSPACE, job(1), 1, vec![token("c")]).await.unwrap();
    assert!(matches!(appended, Appended::At(id) if id.seq > 2));
    let next = loop {
        match watcher.next().await {
            Some(Watched::Event(event)) => break event,
            Some(Watched::Gap) => {}
            None => panic!("the watcher was ended"),
        }
    };
    assert_eq!(next.event, token("c"));
}

#[tokio::test]
async fn leftovers_of_uploads_are_swept_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let key = ObjectKey::upload(WORKSPACE, Uuid::from_u128(5));
    let objects = LocalObjects::open(dir.path()).await.unwrap();
    let stream = futures::stream::iter([Ok("kept".into())]).boxed();
    objects.put(&key, stream, 100).await.unwrap();
    drop(objects);
    std::fs::write(dir.path().join("tmp/17"), "half").unwrap();
    let objects = LocalObjects::open(dir.path()).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    assert!(objects.get(&key, 0).await.is_ok());
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let objects = LocalObjects::open(dir.path()).await.unwrap();
    let key = ObjectKey::upload(WORKSPACE, Uuid::from_u128(5));
    let endless = futures::stream::iter([Ok("some".into())]).chain(futures::stream::pending());
    let (read, was_read) = tokio::sync::oneshot::channel();
    let mut read = Some(read);
    let endless = endless.inspect(move |_| {
        read.take().map(|read| read.send(()));
    });
    tokio::select! {
        _ = objects.put(&key, endless.boxed(), 100) => panic!("the upload has no end"),
        _ = was_read => {}
    }
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}
