//! What a process offers while it leaves, what a worker offers, and what is refused while
//! too much work waits.

use std::sync::Arc;
use std::time::Duration;

use quaestor_front::{Offer, Stop};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::world::{World, generous};

/// The status of a GET over a connection of its own; none where it was refused.
async fn status(address: std::net::SocketAddr, path: &str) -> Option<u16> {
    answer(address, path).await?.split(' ').nth(1)?.parse().ok()
}

/// The whole answer to a GET.
async fn answer(address: std::net::SocketAddr, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn who_leaves_says_so_first_and_serves_until_it_closes() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, tracker) = (Stop::default(), TaskTracker::new());
    let serving = tracker.spawn(quaestor_front::serve(
        listener,
        world.front.clone(),
        Offer::Everything,
        stop.clone(),
        tracker.clone(),
    ));
    assert_eq!(status(address, "/ready").await, Some(200));
    stop.leave.cancel();
    assert_eq!(status(address, "/ready").await, Some(503));
    let why = answer(address, "/ready").await.unwrap();
    assert!(why.contains("it was told to stop"), "{why}");
    assert!(why.contains("\"database\""), "the last checks are told too: {why}");
    assert_eq!(status(address, "/health").await, Some(200));
    assert_eq!(status(address, "/api/openapi.json").await, Some(200));
    stop.close.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(status(address, "/health").await, None);
}

#[tokio::test]
async fn a_worker_offers_its_operations_alone() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, tracker) = (Stop::default(), TaskTracker::new());
    let front = Arc::clone(&world.front);
    let serving = tracker.spawn(quaestor_front::serve(
        listener,
        front,
        Offer::Operations,
        stop.clone(),
        tracker.clone(),
    ));
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(status(address, path).await, Some(200), "{path}");
    }
    for path in ["/api/collections", "/api/openapi.json", "/ws"] {
        assert_eq!(status(address, path).await, Some(404), "{path}");
    }
    stop.close.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn work_is_refused_while_too_much_of_it_waits() {
    let mut settings = generous();
    settings.outbox_cap = 2;
    let world = World::with_manual_clock(settings).await;
    let who = &world.a.member;
    // An upload and a question: no relay is here, so both wait.
    let things = world.things(who, &world.a).await;
    world.clock.as_ref().unwrap().advance(Duration::from_secs(2));
    let path = format!("/api/conversations/{}/messages", things.conversation);
    let refused = world.post(who, &path, json!({ "content": "What was the net income?" })).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.code(), "overloaded");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((5..=10).contains(&wait), "{wait}");
    let jobs = world.get(who, "/api/jobs").await.json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 2, "nothing was accepted");
}
