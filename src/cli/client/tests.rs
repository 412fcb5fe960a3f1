//! Does the client keep its promises against servers that break, refuse and repeat?

use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::events::Event;
use quaestor_core::ids::{CollectionId, JobId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;

/// A clock on which every wait is over at once.
#[derive(Debug)]
struct Hasty;

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> Time {
        Time::UNIX_EPOCH
    }

    async fn sleep_until(&self, _moment: Time) {}
}

/// What a scripted server does with one request.
#[derive(Clone)]
enum Reply {
    /// Answers with this status, type and body.
    Answer(u16, &'static str, String),
    /// Announces a longer body than it sends.
    Stream(String),
    /// Closes the connection without an answer.
    HangUp,
}

fn problem(status: u16, code: &str) -> Reply {
    let body = format!(
        r#"{{"type":"about:blank","status":{status},"code":"{code}","title":"T","detail":"D"}}"#
    );
    Reply::Answer(status, "application/problem+json", body)
}

fn good(body: &str) -> Reply {
    Reply::Answer(200, "application/json", body.to_owned())
}

/// A server that answers each request with the next reply, and keeps what it was sent.
async fn scripted(replies: Vec<Reply>) -> (String, Arc<Mutex<Vec<String>>>, impl Future) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    let serve = async move {
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            let request = read_request(&mut socket).await;
            kept.lock().unwrap().push(request);
            let (status, kind, length, body) = match reply {
                Reply::HangUp => continue,
                Reply::Answer(status, kind, body) => (status, kind, body.len(), body),
                Reply::Stream(body) => (200, "text/event-stream", body.len() + 9, body),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            );
            socket.write_all(head.as_bytes()).await.unwrap();
        }
    };
    (address, requests, serve)
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let count = socket.read(&mut buffer).await.unwrap();
        if count == 0 {
            return text;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}

fn client_of(address: &str) -> Client {
    let key = SecretString::from("canary-key");
    Client::new(address, Some(&key), Arc::new(Hasty), Arc::new(SeededEntropy::new(1))).unwrap()
}

/// Runs a call against a server that replies as told.
async fn against<T>(replies: Vec<Reply>, call: impl AsyncFnOnce(Client) -> T) -> (T, Vec<String>) {
    let (address, requests, serve) = scripted(replies).await;
    let (result, _) = futures::join!(call(client_of(&address)), serve);
    let requests = requests.lock().unwrap().clone();
    (result, requests)
}

fn event(id: &str, json: &str) -> String {
    format!("id: {id}\nevent: x\ndata: {json}\n\n")
}

#[tokio::test]
async fn a_dropped_stream_is_resumed_after_the_last_event() {
    let first = event("0-1", r#"{"kind":"queued"}"#)
        + &event("1-1", r#"{"kind":"token","text":"a"}"#)
        + "id: 1-2\ndata: {\"kind\":\"tok";
    let second = event("1-1", r#"{"kind":"token","text":"a"}"#)
        + &event("1-2", r#"{"kind":"token","text":"b"}"#)
        + &event("1-3", r#"{"kind":"a_later_kind"}"#)
        + &event("1-4", r#"{"kind":"done"}"#);
    let running = r#"{"id":"018f0000-0000-7000-8000-000000000001","kind":"chat",
        "step":"chat.generate","state":"running","attempt":1,
        "subject_id":"018f0000-0000-7000-8000-000000000002",
        "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}"#;
    let replies = vec![Reply::Stream(first), Reply::HangUp, good(running), Reply::Stream(second)];
    let (text, requests) = against(replies, async |client| {
        let mut text = String::new();
        let job = JobId(Uuid::nil());
        let followed = client.follow(job).until_end::<ClientError>(|heard| {
            match heard {
                Heard::Event(_, event) => match *event {
                    Event::Token { text: piece } => text.push_str(&piece),
                    Event::Done { .. } => text.push('.'),
                    _ => {}
                },
                Heard::Gap => text.push('?'),
            }
            Ok(())
        });
        followed.await.unwrap();
        text
    })
    .await;
    assert_eq!(text, "ab.");
    assert!(!requests[0].contains("last-event-id"), "{}", requests[0]);
    assert!(requests[1].contains("last-event-id: 1-1"), "{}", requests[1]);
    assert!(requests[3].contains("last-event-id: 1-1"), "{}", requests[3]);
}

#[tokio::test]
async fn a_gap_does_not_end_the_watch_and_an_ended_job_does() {
    let ended = r#"{"id":"018f0000-0000-7000-8000-000000000001","kind":"chat",
        "step":"chat.generate","state":"done","attempt":1,
        "subject_id":"018f0000-0000-7000-8000-000000000002",
        "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}"#;
    let gap = "event: gap\ndata: {\"job_id\":\"x\"}\n\n".to_owned();
    let with_end = gap.clone() + &event("2-9", r#"{"kind":"done"}"#);
    for (replies, wanted) in [
        (vec![Reply::Stream(with_end)], "gap done "),
        (vec![Reply::Stream(gap), good(ended)], "gap gap "),
    ] {
        let (text, _) = against(replies, async |client| {
            let mut text = String::new();
            let followed = client.follow(JobId(Uuid::nil())).until_end::<ClientError>(|heard| {
                text.push_str(if heard == Heard::Gap { "gap " } else { "done " });
                Ok(())
            });
            followed.await.unwrap();
            text
        })
        .await;
        assert_eq!(text, wanted);
    }
}

#[tokio::test]
async fn an_upload_that_broke_is_repeated_under_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.txt");
    std::fs::write(&path, "the contents").unwrap();
    let accepted = r#"{"batch_id":"018f0000-0000-7000-8000-000000000009","items":[{"document_id":
        "018f0000-0000-7000-8000-000000000001","job_id":null,"filename":"r.txt","status":"queued"}]}"#;
    let sent = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&sent);
    let progress: Progress = Arc::new(move |bytes| *counter.lock().unwrap() += bytes);
    let replies = vec![Reply::HangUp, problem(503, "unavailable"), good(accepted)];
    let (accepted, requests) = against(replies, async |client| {
        let collection = CollectionId(Uuid::nil());
        let file = ToSend { path: &path, filename: "r.txt" };
        client.upload(collection, None, &[file], &progress).await.unwrap()
    })
    .await;
    assert_eq!(accepted.items[0].status, "queued");
    assert_eq!(*sent.lock().unwrap(), 12, "bytes of failed attempts are taken back");
    assert_eq!(requests.len(), 3);
    assert!(requests[0].contains("the contents"), "{}", requests[0]);
    assert_eq!(requests[0], requests[1]);
    assert_eq!(requests[1], requests[2]);
    let fields = requests[0].find("name=\"collection_id\"").unwrap();
    assert!(fields < requests[0].find("name=\"file\"").unwrap(), "the collection stands first");
}

#[tokio::test]
async fn refusals_are_sentences_that_name_what_was_asked_and_never_the_key() {
    for (reply, parts) in [
        (problem(401, "unauthorized"), &["does not take this key", "key create"][..]),
        (problem(404, "not_found"), &["there is no job 7"]),
        (problem(403, "forbidden"), &["job 7", "T: D"]),
        (good("<html>"), &["something this version does not understand"]),
        (Reply::Answer(302, "text/html", String::new()), &["status 302"]),
    ] {
        let (result, requests) = against(vec![reply], async |client| {
            client.get::<quaestor_core::model::Job>("/api/jobs/7", "job 7").await
        })
        .await;
        let error = result.unwrap_err();
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        assert!(requests[0].contains("authorization: Bearer canary-key"));
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_not_for_ever() {
    let busy = || vec![problem(429, "rate_limited"); 3];
    let mut replies = busy();
    replies.push(good(r#"{"items":[],"next":null}"#));
    let (found, requests) =
        against(replies, async |client| client.collection("Funds").await.unwrap()).await;
    assert!(found.is_none());
    assert_eq!(requests.len(), 4);
    let (result, requests) = against(vec![problem(503, "unavailable"); 6], async |client| {
        client.collection("Funds").await
    })
    .await;
    assert!(matches!(result, Err(ClientError::Refused { status: 503, .. })));
    assert_eq!(requests.len(), 6);
}

#[tokio::test]
async fn a_collection_that_somebody_else_just_made_is_used() {
    let made = r#"{"items":[{"id":"018f0000-0000-7000-8000-000000000001","name":"Funds",
        "embedding_model":null,"documents":0,"created_at":"2026-01-02T03:04:05Z"}],"next":null}"#;
    let none = r#"{"items":[],"next":null}"#;
    let replies = vec![good(none), problem(409, "conflict"), good(made)];
    let (collection, _) =
        against(replies, async |client| client.collection_or_new("Funds").await.unwrap()).await;
    assert_eq!(collection.name, "Funds");
}

#[tokio::test]
async fn a_server_that_repeats_its_list_for_ever_is_left() {
    let page = |last: &str| {
        good(&format!(
            r#"{{"items":[{{"id":"{last}","name":"A","embedding_model":null,"documents":0,
            "created_at":"2026-01-02T03:04:05Z"}}],"next":"{last}"}}"#
        ))
    };
    let id = "018f0000-0000-7000-8000-000000000001";
    let replies = vec![page(id), page(id)];
    let (result, requests) = against(replies, async |client| client.collection("B").await).await;
    assert!(matches!(result, Err(ClientError::Foreign { .. })), "{result:?}");
    assert!(requests[1].contains(&format!("cursor={id}")), "{}", requests[1]);
}

#[tokio::test]
async fn a_file_that_is_gone_is_named() {
    let progress: Progress = Arc::new(|_| {});
    let client = client_of("http://127.0.0.1:9");
    let gone = ToSend { path: Path::new("/no/such/file.pdf"), filename: "file.pdf" };
    let collection = CollectionId(Uuid::nil());
    let error = client.upload(collection, None, &[gone], &progress).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/file.pdf"), "{error}");
}
