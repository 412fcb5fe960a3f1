//! Many watchers and slow ones.

use std::sync::Arc;

use std::time::Duration;

use futures::{FutureExt, StreamExt, future};
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::event_log::redis::{RedisBounds, RedisEventLog};
use quaestor_backends::redis::RedisServer;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::ports::event_log::EventLog;
use tokio::time::timeout;
use uuid::Uuid;

use super::own_server::OwnServer;
use super::{JOB, WORKSPACE, event_log, log_on, server, settings_of, token, tokens_until_the_end};

#[tokio::test]
async fn a_thousand_watchers_share_one_subscription() {
    let own = OwnServer::start(&[]).await;
    let opened = RedisServer::open(&settings_of(own.url()), Arc::new(SystemClock)).await.unwrap();
    let log = log_on(opened).await;
    let job = |number: u128| JobId(Uuid::from_u128(number));
    let mut watchers = Vec::new();
    for number in 0..1_000 {
        // Two for each job.
        watchers.push(log.watch(WORKSPACE, job(number / 2), None).await.unwrap());
    }
    for number in 0..500 {
        log.append(WORKSPACE, job(number), 0, vec![Event::Queued]).await.unwrap();
    }
    let firsts = future::join_all(watchers.iter_mut().map(futures::StreamExt::next)).await;
    assert!(firsts.iter().all(Option::is_some));
    let listening: String = own.admin("CLIENT LIST TYPE pubsub").await;
    assert_eq!(listening.lines().count(), 1, "{listening}");
    let channels: Vec<String> = own.admin("PUBSUB CHANNELS").await;
    // And the one of cancels, which is always listened to.
    assert_eq!(channels.len(), 501);
    drop(watchers);
    let left = async {
        while own.admin::<Vec<String>>("PUBSUB CHANNELS").await.len() > 1 {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), left).await.expect("the channels are left");
}

#[tokio::test]
async fn a_slow_watcher_reads_the_log_at_its_own_pace() {
    let log = event_log().await;
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut slow = log.watch(WORKSPACE, JOB, None).await.unwrap();
    slow.next().await;
    for number in 0..3_000 {
        log.append(WORKSPACE, JOB, 1, vec![token(number)]).await.unwrap();
    }
    log.append(WORKSPACE, JOB, 1, vec![Event::Done { usage: None }]).await.unwrap();
    assert_eq!(tokens_until_the_end(slow).await, ((0..3_000).collect(), 0));
}

#[tokio::test]
async fn a_log_that_was_trimmed_begins_with_a_gap() {
    let bounds = RedisBounds { events_per_job: 100, keep: Duration::from_secs(60) };
    let log = RedisEventLog::open(server().await, bounds, &OsEntropy).await.unwrap();
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut slow = log.watch(WORKSPACE, JOB, None).await.unwrap();
    slow.next().await;
    for number in 0..1_000 {
        log.append(WORKSPACE, JOB, 1, vec![token(number)]).await.unwrap();
    }
    log.append(WORKSPACE, JOB, 1, vec![Event::Done { usage: None }]).await.unwrap();
    for watcher in [slow, log.watch(WORKSPACE, JOB, None).await.unwrap()] {
        let (tokens, gaps) = tokens_until_the_end(watcher).await;
        assert_eq!(gaps, 1);
        assert!(tokens.len() < 400, "{} are kept", tokens.len());
        assert_eq!(tokens.last(), Some(&999));
    }
}

#[tokio::test]
async fn a_cancel_reaches_another_process() {
    let here = event_log().await;
    let settings = settings_of(crate::places::setting("QUAESTOR_EVENTS_URL"));
    let open = async || {
        let server = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap();
        log_on(server).await
    };
    let (asks, runs) = (open().await, open().await);
    let waiting = runs.cancel_requested(WORKSPACE, JOB);
    let asking = async {
        loop {
            // The first may come before the subscription stands.
            asks.request_cancel(WORKSPACE, JOB).await.unwrap();
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = waiting => {}
        () = asking => {}
        () = SystemClock.sleep(Duration::from_secs(10)) => panic!("not heard"),
    }
    let elsewhere = here.cancel_requested(WORKSPACE, JOB);
    assert!(elsewhere.now_or_never().is_none(), "namespaces are apart");
}

#[tokio::test]
async fn events_too_large_to_be_announced_are_read() {
    let log = event_log().await;
    let mut watcher = log.watch(WORKSPACE, JOB, None).await.unwrap();
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    watcher.next().await;
    let text = "word\n\u{1f600}".repeat(20_000);
    let events = vec![Event::Token { text: text.clone() }, Event::Done { usage: None }];
    log.append(WORKSPACE, JOB, 1, events).await.unwrap();
    let rest = timeout(Duration::from_secs(10), watcher.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(format!("{:?}", rest[0]).len() > text.len());
}
