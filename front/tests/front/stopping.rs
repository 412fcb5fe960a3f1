//! What a process offers while it leaves, what a worker offers, and what is refused while
//! too much work waits.

use std::sync::Arc;
use std::time::Duration;

use quaestor_front::{Offer, Stop};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::world::{World, generous};

/// A listener of this world.
struct Served {
    address: std::net::SocketAddr,
    stop: Stop,
    tracker: TaskTracker,
    /// Ends when it no longer listens.
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn serve(world: &World, offer: Offer) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, tracker) = (Stop::default(), TaskTracker::new());
    let serving = tracker.spawn(quaestor_front::serve(
        listener,
        Arc::clone(&world.front),
        offer,
        stop.clone(),
        tracker.clone(),
    ));
    Served { address, stop, tracker, serving }
}

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
    let Served { address, stop, serving, .. } = serve(&world, Offer::Everything).await;
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
async fn who_leaves_asks_clients_to_connect_anew_and_answers_what_comes_late() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    let Served { address, stop, tracker, serving } = serve(&world, Offer::Everything).await;
    let get = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut bytes = [0; 16 << 10];
    for client in [&mut kept, &mut idle] {
        client.write_all(get).await.unwrap();
        let read = client.read(&mut bytes).await.unwrap();
        let answer = String::from_utf8_lossy(&bytes[..read]).into_owned();
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    stop.leave.cancel();
    kept.write_all(get).await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");

    stop.close.cancel();
    serving.await.unwrap().unwrap();
    // What meets the end of the connection is read and met with an end, not with a reset.
    let read = idle.read(&mut bytes).await.unwrap();
    assert_eq!(read, 0);
    idle.write_all(get).await.unwrap();
    idle.write_all(get).await.unwrap();
    assert_eq!(idle.read(&mut bytes).await.unwrap(), 0);
    drop((kept, idle));
    tracker.close();
    tokio::time::timeout(Duration::from_secs(20), tracker.wait()).await.expect("all end");
}

/// The runtime has one thread, which connects and never waits in between: it has no way to
/// learn of the connections before it stops listening.
#[tokio::test]
async fn whoever_has_connected_when_it_closes_is_answered() {
    use std::io::{Read, Write};
    let world = World::new().await;
    let Served { address, stop, serving, .. } = serve(&world, Offer::Everything).await;
    assert_eq!(status(address, "/health").await, Some(200));
    let mut clients: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    stop.close.cancel();
    serving.await.unwrap().unwrap();
    let answers = tokio::task::spawn_blocking(move || {
        let answer = |client: &mut std::net::TcpStream| {
            client.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).map(|_| answer)
        };
        clients.iter_mut().map(answer).collect::<Vec<_>>()
    });
    for answer in answers.await.unwrap() {
        let answer = answer.expect("no connection is reset");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn an_upload_that_outlasts_the_end_is_refused_and_leaves_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let before = world.stored_files();
    let Served { address, stop, tracker, .. } = serve(&world, Offer::Everything).await;
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/documents?collection_id={} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: 9000000\r\n\r\n\
         --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n",
        things.collection, who.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&[b'x'; 100_000]).await.unwrap();
    // The upload's task and the connection's, beside the listener's.
    let begun = async {
        while tracker.len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), begun).await.expect("the upload begins");
    for phase in [&stop.leave, &stop.close, &stop.cut] {
        phase.cancel();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1") && answer.contains("nothing of it"), "{answer}");
    drop(client);
    tracker.close();
    tokio::time::timeout(Duration::from_secs(20), tracker.wait()).await.expect("all end");
    assert_eq!(world.stored_files(), before);
}

#[tokio::test]
async fn a_workspace_has_so_much_unfinished_work_and_no_more() {
    let mut settings = generous();
    settings.questions_per_workspace = 12;
    settings.files_per_workspace = 2;
    let world = World::with_manual_clock(settings).await;
    let clock = world.clock.as_ref().unwrap();
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let path = format!("/api/conversations/{}/messages", things.conversation);
    let ask = || world.post(who, &path, json!({ "content": "What was the net income?" }));
    // One was asked already; no worker is here.
    for _ in 0..11 {
        assert_eq!(ask().await.status, 202);
    }
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "workspace_busy".to_owned()));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // Who is another workspace is not held up.
    let other = &world.b.member;
    let theirs = world.things(other, &world.b).await;
    let their_path = format!("/api/conversations/{}/messages", theirs.conversation);
    let asked = world.post(other, &their_path, json!({ "content": "And ours?" })).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    // Until they have waited for too long, whoever's they are.
    clock.advance(Duration::from_secs(61));
    let refused = world.post(other, &their_path, json!({ "content": "And ours?" })).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "overloaded".to_owned()));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");

    let upload = |name: &str| {
        let body = crate::world::upload_body(Some(&things.collection), &[(name, name.as_bytes())]);
        world.send(crate::world::multipart(who, "/api/documents", body))
    };
    assert_eq!(upload("b.txt").await.status, 202);
    let refused = upload("c.txt").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "workspace_busy".to_owned()));
}

#[tokio::test]
async fn a_worker_offers_its_operations_alone() {
    let world = World::new().await;
    let Served { address, stop, serving, .. } = serve(&world, Offer::Operations).await;
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
