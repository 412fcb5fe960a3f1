//! Redis is killed, flushed, full, or cuts a connection while a job is watched.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use quaestor_backends::event_log::redis::RedisEventLog;
use quaestor_backends::redis::RedisServer;
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::events::{Event, EventId};
use quaestor_core::ports::event_log::{Appended, EventLog, Watched};
use tokio::time::timeout;

use super::own_server::OwnServer;
use super::{JOB, WORKSPACE, log_on, settings_of, token, tokens_until_the_end};

/// Two processes on a server: one writes, one watches.
async fn writer_and_watcher(server: &OwnServer) -> (RedisEventLog, RedisEventLog) {
    let settings = settings_of(server.url());
    let open = async || {
        let server = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap();
        log_on(server).await
    };
    (open().await, open().await)
}

async fn append(log: &RedisEventLog, event: Event) -> Appended {
    log.append(WORKSPACE, JOB, 1, vec![event]).await.unwrap()
}

/// Waits until a log serves again.
async fn serves(log: &RedisEventLog) {
    let again = async {
        while log.ping().await.is_err() {
            SystemClock.sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), again).await.expect("the log serves again");
}

#[tokio::test]
async fn a_restart_loses_nothing_not_even_what_was_written_meanwhile() {
    let mut server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    let watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    let writing = async {
        writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
        for number in 0..300 {
            if number == 100 {
                server.kill().await;
            }
            if number == 120 {
                server.start_again().await;
                serves(&writer).await;
            }
            append(&writer, token(number)).await;
        }
        append(&writer, Event::Done { usage: None }).await;
    };
    let (seen, ()) = tokio::join!(tokens_until_the_end(watcher), writing);
    assert_eq!(seen, ((0..300).collect(), 0));
    // Whoever comes later finds the same.
    let later = reader.watch(WORKSPACE, JOB, Some(EventId { attempt: 1, seq: 50 })).await;
    assert_eq!(tokens_until_the_end(later.unwrap()).await, ((50..300).collect(), 0));
}

/// The server does what it was asked, and the answer comes too late.
#[tokio::test]
async fn an_append_whose_answer_is_lost_is_there_once() {
    let server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    for number in 0..5 {
        append(&writer, token(number)).await;
        server.admin::<String>("CLIENT PAUSE 700 WRITE").await;
    }
    append(&writer, Event::Done { usage: None }).await;
    assert_eq!(tokens_until_the_end(watcher).await, ((0..5).collect(), 0));
}

/// A job goes from one step to the next, and ends, while Redis is away.
#[tokio::test]
async fn what_happens_while_redis_is_away_is_told_in_its_order() {
    let mut server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    append(&writer, Event::Started { attempt: 1, traceparent: None }).await;
    server.kill().await;
    append(&writer, Event::Retrieved { passages: 3 }).await;
    for event in [
        Event::Started { attempt: 2, traceparent: None },
        token(0),
        token(1),
        Event::Done { usage: None },
    ] {
        writer.append(WORKSPACE, JOB, 2, vec![event]).await.unwrap();
    }
    server.start_again().await;
    let told: Vec<Watched> = timeout(Duration::from_secs(20), watcher.collect()).await.unwrap();
    let ids: Vec<String> = told
        .iter()
        .map(|watched| match watched {
            Watched::Event(event) => event.id.to_string(),
            Watched::Gap => "gap".to_owned(),
        })
        .collect();
    assert_eq!(ids, ["0-1", "1-1", "1-2", "2-1", "2-2", "2-3", "2-4"]);
}

#[tokio::test]
async fn a_flush_in_mid_stream_is_told_to_those_who_missed_something() {
    let server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut live = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    live.next().await;
    for number in 0..50 {
        append(&writer, token(number)).await;
        live.next().await;
    }
    let behind = reader.watch(WORKSPACE, JOB, Some(EventId { attempt: 1, seq: 10 }));
    let mut behind = behind.await.unwrap();
    assert!(matches!(behind.next().await, Some(Watched::Event(_))));
    server.admin::<String>("FLUSHALL").await;
    for number in 50..100 {
        append(&writer, token(number)).await;
    }
    append(&writer, Event::Done { usage: None }).await;
    // Who had all goes on without a word; the numbers go on as well.
    assert_eq!(tokens_until_the_end(live).await, ((50..100).collect(), 0));
    let fresh = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    assert_eq!(tokens_until_the_end(fresh).await, ((50..100).collect(), 1));
    let (tokens, _) = tokens_until_the_end(behind).await;
    assert!(tokens.ends_with(&(50..100).collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_flush_is_told_to_who_waits_and_to_who_comes_back() {
    let server = OwnServer::start(&[]).await;
    let clock = ManualClock::at_millis(0);
    let settings = settings_of(server.url());
    let opened = RedisServer::open(&settings, Arc::new(clock.clone())).await.unwrap();
    let log = log_on(opened).await;
    append(&log, token(0)).await;
    let mut waiting = log.watch(WORKSPACE, JOB, None).await.unwrap();
    assert_eq!(waiting.next().await, Some(Watched::Gap), "the job did not begin here");
    assert!(matches!(waiting.next().await, Some(Watched::Event(_))));
    server.admin::<String>("FLUSHALL").await;
    let after = Some(EventId { attempt: 1, seq: 1 });
    let mut back = log.watch(WORKSPACE, JOB, after).await.unwrap();
    assert_eq!(back.next().await, Some(Watched::Gap));
    // A silent job is looked at from time to time.
    let mut next = waiting.next();
    assert!(futures::poll!(&mut next).is_pending());
    clock.advance(Duration::from_secs(5));
    assert_eq!(next.await, Some(Watched::Gap));
}

#[tokio::test]
async fn another_process_that_goes_on_after_a_flush_does_not_repeat_a_number() {
    let server = OwnServer::start(&[]).await;
    let (writer, other) = writer_and_watcher(&server).await;
    let mut watcher = other.watch(WORKSPACE, JOB, None).await.unwrap();
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    for number in 0..9 {
        append(&writer, token(number)).await;
    }
    for _ in 0..10 {
        assert!(matches!(watcher.next().await, Some(Watched::Event(_))));
    }
    server.admin::<String>("FLUSHALL").await;
    append(&other, Event::Cancelled).await;
    assert_eq!(watcher.next().await, Some(Watched::Gap));
    let Some(Watched::Event(last)) = watcher.next().await else { panic!("no end") };
    assert_eq!(last.event, Event::Cancelled);
    assert_eq!(watcher.next().await, None);
}

#[tokio::test]
async fn a_killed_subscription_loses_nothing() {
    let server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    let watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    let writing = async {
        writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
        for number in 0..1_000 {
            if number % 100 == 50 {
                let killed: i64 = server.admin("CLIENT KILL TYPE pubsub").await;
                assert!(killed <= 2, "a process has one such connection");
            }
            append(&writer, token(number)).await;
        }
        append(&writer, Event::Done { usage: None }).await;
    };
    let (seen, ()) = tokio::join!(tokens_until_the_end(watcher), writing);
    assert_eq!(seen, ((0..1_000).collect(), 0));
}

#[tokio::test]
async fn nobody_who_writes_waits_for_a_redis_that_is_away_and_watchers_do() {
    let mut server = OwnServer::start(&[]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    watcher.next().await;
    server.kill().await;
    let started = SystemClock.now();
    for number in 0..100 {
        append(&writer, token(number)).await;
    }
    let took = SystemClock.now() - started;
    assert!(took.num_milliseconds() < 1_500, "100 appends took {took}");
    assert!(writer.ping().await.is_err());
    // One may come while Redis is away, too.
    let late = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    let waiting = timeout(Duration::from_millis(300), watcher.next()).await;
    assert!(waiting.is_err(), "a watcher waits: {waiting:?}");
    server.start_again().await;
    serves(&writer).await;
    append(&writer, token(100)).await;
    append(&writer, Event::Done { usage: None }).await;
    assert_eq!(tokens_until_the_end(watcher).await, ((0..=100).collect(), 0));
    assert_eq!(tokens_until_the_end(late).await, ((0..=100).collect(), 0));
}

#[tokio::test]
async fn what_a_full_redis_refuses_is_told_when_there_is_room() {
    let server = OwnServer::start(&["--maxmemory-policy", "noeviction"]).await;
    let (writer, reader) = writer_and_watcher(&server).await;
    writer.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let watcher = reader.watch(WORKSPACE, JOB, None).await.unwrap();
    append(&writer, token(0)).await;
    server.admin::<String>("CONFIG SET maxmemory 1").await;
    append(&writer, token(1)).await;
    server.admin::<String>("CONFIG SET maxmemory 0").await;
    append(&writer, token(2)).await;
    append(&writer, Event::Done { usage: None }).await;
    assert_eq!(tokens_until_the_end(watcher).await, (vec![0, 1, 2], 0));
}

#[tokio::test]
async fn a_lost_announcement_is_made_up_for() {
    let server = OwnServer::start(&[]).await;
    let settings = settings_of(server.url());
    let clock = ManualClock::at_millis(0);
    let opened = RedisServer::open(&settings, Arc::new(clock.clone())).await.unwrap();
    let log = log_on(opened).await;
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut watcher = log.watch(WORKSPACE, JOB, None).await.unwrap();
    watcher.next().await;
    let mut next = watcher.next();
    assert!(futures::poll!(&mut next).is_pending());
    // An entry of which nobody is told.
    let keys: Vec<String> = server.admin("KEYS *:ev").await;
    let event = r#"{"kind":"cancelled"}"#;
    server.admin::<String>(&format!("XADD {} 1-1 e {event} p 0-1 t 1", keys[0])).await;
    assert!(futures::poll!(&mut next).is_pending());
    clock.advance(Duration::from_secs(5));
    let Some(Watched::Event(last)) = next.await else { panic!("no end") };
    assert_eq!(last.event, Event::Cancelled);
    assert_eq!(watcher.next().await, None);
}
