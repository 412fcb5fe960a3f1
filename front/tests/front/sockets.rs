//! The WebSocket protocol: frames, resumption, bounds and closes.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use quaestor_core::events::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::watching::answer_events;
use crate::world::{Actor, Server, World, generous, text};

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A WebSocket client.
pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// Headers of a handshake.
type Headers<'a> = &'a [(&'static str, &'a str)];

async fn handshake(server: &Server, query: &str, headers: Headers<'_>) -> Result<Client, u16> {
    let mut request = format!("ws://{}/ws{query}", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("no handshake: {error}"),
    }
}

impl Client {
    pub(crate) async fn open(server: &Server, who: &Actor) -> Self {
        let bearer = format!("Bearer {}", who.token);
        handshake(server, "", &[("authorization", &bearer)]).await.unwrap_or_else(|status| {
            panic!("the handshake was answered {status}");
        })
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next text frame; pings are answered on the way.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame");
            match message.expect("an open socket").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a text frame: {other:?}"),
            }
        }
    }

    pub(crate) async fn call(&mut self, frame: Value) -> Value {
        self.say(frame).await;
        self.hear().await
    }

    /// The close frame's code, whatever comes before it.
    async fn closed(&mut self) -> u16 {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a close") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }

    /// Events of a job to its end.
    async fn events(&mut self, job: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let frame = self.hear().await;
            assert_eq!(frame["job_id"], job, "{frame}");
            let ended =
                matches!(frame["event"]["kind"].as_str(), Some("done" | "failed" | "cancelled"));
            events.push(frame);
            if ended {
                return events;
            }
        }
    }
}

#[tokio::test]
async fn a_question_is_accepted_and_its_answer_streams() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    let accepted = client
        .call(json!({
            "type": "ask",
            "request_id": "r-1",
            "conversation_id": things.conversation,
            "content": "What was the net income?",
        }))
        .await;
    assert_eq!((&accepted["type"], &accepted["request_id"]), (&json!("accepted"), &json!("r-1")));
    assert!(accepted["message_id"].is_string() && accepted["answer_id"].is_string());
    let job = text(&accepted, "job_id");
    world.tell_queued(who, &job).await;
    // Asking to watch what is watched already repeats nothing.
    client.say(json!({ "type": "subscribe", "job_id": job })).await;
    world.append(who, &job, answer_events()).await;
    let events = client.events(&job).await;
    assert_eq!(events.len(), 14);
    assert_eq!(
        events[0],
        json!({
            "type": "event", "job_id": job, "id": "0-1", "event": { "kind": "queued" }
        })
    );
    assert_eq!(client.call(json!({ "type": "ping" })).await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn who_follows_a_conversation_gets_the_events_of_all_its_questions() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    let follow = json!({ "type": "follow", "conversation_id": things.conversation });
    // The question that runs already is watched from its beginning.
    let following = client.call(follow.clone()).await;
    assert_eq!(following["type"], "following", "{following}");
    let queued = client.hear().await;
    assert_eq!((&queued["job_id"], &queued["id"]), (&json!(things.job), &json!("0-1")));
    // One that is asked elsewhere is watched once the relay rings.
    let asked = world.ask(who, &things.conversation).await;
    let conversation = things.conversation.parse().unwrap();
    let job = text(&asked, "job_id");
    world.front.events.ring(who.workspace, conversation, job.parse().unwrap()).await.unwrap();
    assert_eq!(client.hear().await["job_id"], job.as_str());
    world.append(who, &job, answer_events()).await;
    let events = client.events(&job).await;
    assert_eq!(events.last().unwrap()["event"]["kind"], "done");
    // Following twice repeats nothing; what is no longer followed is not watched.
    assert_eq!(client.call(follow).await["type"], "following");
    client.say(json!({ "type": "unfollow", "conversation_id": things.conversation })).await;
    let unheard = text(&world.ask(who, &things.conversation).await, "job_id");
    world.front.events.ring(who.workspace, conversation, unheard.parse().unwrap()).await.unwrap();
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn a_client_that_drops_at_every_event_gets_each_once() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    world.append(who, &job, answer_events()).await;
    let server = world.serve().await;
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let mut client = Client::open(&server, who).await;
        let mut frame = json!({ "type": "subscribe", "job_id": job });
        if let Some(last) = seen.last() {
            frame["after"] = last["id"].clone();
        }
        let next = client.call(frame).await;
        let ended = next["event"]["kind"] == "done";
        seen.push(next);
        if ended {
            break;
        }
    }
    let mut client = Client::open(&server, who).await;
    client.say(json!({ "type": "subscribe", "job_id": job })).await;
    assert_eq!(seen, client.events(&job).await);
}

#[tokio::test]
async fn a_bad_frame_is_an_error_frame_and_no_close() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut client = Client::open(&server, &world.a.member).await;
    for (frame, code, field) in [
        ("nonsense".to_owned(), "invalid_json", None),
        ("[]".to_owned(), "invalid_field", None),
        ("{}".to_owned(), "missing_field", Some("type")),
        (r#"{"type":"shout"}"#.to_owned(), "invalid_field", Some("type")),
        (r#"{"type":"ping","workspace_id":1}"#.to_owned(), "unknown_field", Some("workspace_id")),
        (r#"{"type":"subscribe"}"#.to_owned(), "missing_field", Some("job_id")),
        (r#"{"type":"subscribe","job_id":[]}"#.to_owned(), "invalid_field", Some("job_id")),
        ("[".repeat(60_000), "invalid_json", None),
    ] {
        client.0.send(Message::text(frame.clone())).await.unwrap();
        let reply = client.hear().await;
        assert_eq!(reply["type"], "error", "{frame}");
        assert_eq!(reply["problem"]["code"], code, "{frame}");
        assert_eq!(reply["problem"]["field"].as_str(), field, "{frame}");
    }
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.hear().await["problem"]["code"], "unsupported_frame");
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn an_auditor_watches_and_does_not_ask() {
    let world = World::new().await;
    let things = world.things(&world.a.member, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, &world.a.auditor).await;
    let refused = client
        .call(json!({"type": "ask", "conversation_id": things.conversation, "content": "x?"}))
        .await;
    assert_eq!(refused["problem"]["code"], "forbidden");
    let cancel = client.call(json!({ "type": "cancel", "job_id": things.job })).await;
    assert_eq!(cancel["problem"]["code"], "forbidden");
    let event = client.call(json!({ "type": "subscribe", "job_id": things.job })).await;
    assert_eq!(event["event"]["kind"], "queued");
}

#[tokio::test]
async fn a_cancel_ends_the_job_for_all_who_watch() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    let server = world.serve().await;
    let mut watcher = Client::open(&server, who).await;
    assert_eq!(
        watcher.call(json!({ "type": "subscribe", "job_id": job })).await["event"]["kind"],
        "queued"
    );
    let mut other = Client::open(&server, who).await;
    other.say(json!({ "type": "cancel", "job_id": job })).await;
    assert_eq!(watcher.hear().await["event"]["kind"], "cancelled");
}

#[tokio::test]
async fn a_ticket_opens_one_socket_once() {
    let world = World::new().await;
    let who = &world.a.member;
    let server = world.serve().await;
    let made = world.post(who, "/api/ws-tickets", json!({})).await;
    assert_eq!(made.status, 201);
    let query = format!("?ticket={}", text(&made.json(), "ticket"));
    let mut client = handshake(&server, &query, &[]).await.unwrap_or_else(|s| panic!("{s}"));
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
    assert_eq!(handshake(&server, &query, &[]).await.err(), Some(401));
    assert_eq!(handshake(&server, "?ticket=guess", &[]).await.err(), Some(401));
    assert_eq!(handshake(&server, "", &[]).await.err(), Some(401));
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_before_the_upgrade() {
    let mut settings = generous();
    settings.allowed_origins = vec!["https://app.example.com".to_owned()];
    let world = World::with(settings, None).await;
    let server = world.serve().await;
    let own = format!("http://{}", server.address);
    for (origin, status) in [
        ("https://app.example.com", None),
        (own.as_str(), None),
        ("https://evil.example.com", Some(403)),
        ("https://app.example.com.evil", Some(403)),
        ("null", Some(403)),
    ] {
        let made = world.post(&world.a.member, "/api/ws-tickets", json!({})).await;
        let query = format!("?ticket={}", text(&made.json(), "ticket"));
        let opened = handshake(&server, &query, &[("origin", origin)]).await;
        assert_eq!(opened.err(), status, "{origin}");
        let bearer = format!("Bearer {}", world.a.member.token);
        let headers = [("origin", origin), ("authorization", bearer.as_str())];
        assert_eq!(handshake(&server, "", &headers).await.err(), status, "{origin} with a key");
    }
}

#[tokio::test]
async fn a_message_above_the_limit_is_answered_with_its_close_code() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut client = Client::open(&server, &world.a.member).await;
    let sent = client.0.send(Message::text("x".repeat((64 << 10) + 1))).await;
    assert!(sent.is_ok());
    assert_eq!(client.closed().await, 1009);
}

#[tokio::test]
async fn a_revoked_key_closes_its_sockets_within_five_seconds() {
    let world = World::with_manual_clock(generous()).await;
    let made = world
        .post(&world.a.admin, "/api/admin/keys", json!({"name": "n", "role": "member"}))
        .await
        .json();
    let mut who = world.a.member.clone();
    who.token = text(&made, "key");
    let server = world.serve().await;
    let mut by_key = Client::open(&server, &who).await;
    let ticket = text(&world.post(&who, "/api/ws-tickets", json!({})).await.json(), "ticket");
    let mut by_ticket = handshake(&server, &format!("?ticket={ticket}"), &[])
        .await
        .unwrap_or_else(|s| panic!("{s}"));
    // Both sessions run before the clock moves.
    assert_eq!(by_key.call(json!({ "type": "ping" })).await["type"], "pong");
    assert_eq!(by_ticket.call(json!({ "type": "ping" })).await["type"], "pong");
    let path = format!("/api/admin/keys/{}", text(&made, "id"));
    assert_eq!(world.delete(&world.a.admin, &path).await.status, 204);
    world.clock.as_ref().unwrap().advance(Duration::from_secs(5));
    assert_eq!(by_key.closed().await, 1008);
    assert_eq!(by_ticket.closed().await, 1008);
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_closed() {
    let world = World::with_manual_clock(generous()).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, &world.a.member).await;
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
    let clock = world.clock.as_ref().unwrap();
    clock.advance(Duration::from_secs(20));
    let ping = tokio::time::timeout(PATIENCE, client.0.next()).await.unwrap();
    assert!(matches!(ping, Some(Ok(Message::Ping(_)))), "{ping:?}");
    // Not polled, the client sends no pong.
    clock.advance(Duration::from_secs(45));
    assert_eq!(client.closed().await, 4001);
}

#[tokio::test]
async fn a_stop_says_where_to_go_on() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut client = Client::open(&server, &world.a.member).await;
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
    server.shutdown.cancel();
    let hint = client.hear().await;
    assert_eq!(hint["type"], "going_away");
    assert!(hint["reconnect_after_ms"].as_u64().unwrap() <= 2_000, "{hint}");
    match tokio::time::timeout(PATIENCE, client.0.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => {
            assert_eq!(u16::from(frame.code), 1001);
            assert!(frame.reason.contains("last event id"));
        }
        other => panic!("no close frame: {other:?}"),
    }
    drop(client);
    server.tracker.close();
    tokio::time::timeout(PATIENCE, server.tracker.wait()).await.expect("all tasks end");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_closed_and_costs_no_memory() {
    let mut settings = generous();
    // The clock runs ahead here; what is tried is the send, not the silence.
    settings.sockets.idle_close = Duration::from_hours(10_000);
    let world = World::with_manual_clock(settings).await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    assert_eq!(client.call(json!({ "type": "ping" })).await["type"], "pong");
    let mut jobs = Vec::new();
    for _ in 0..16 {
        let job = text(&world.ask(who, &things.conversation).await, "job_id");
        let token = || Event::Token { text: "x".repeat(100_000) };
        world.append(who, &job, (0..15).map(|_| token()).collect()).await;
        jobs.push(job);
    }
    for job in &jobs {
        client.say(json!({ "type": "subscribe", "job_id": job })).await;
    }
    // The peer reads nothing. Once the kernel's buffers are full the send waits, and the
    // clock moves it past its patience.
    let clock = world.clock.clone().unwrap();
    let stuck = async {
        // The listener's own task stays; the session's ends with its socket.
        while server.tracker.len() > 1 {
            clock.advance(Duration::from_millis(500));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stuck).await.expect("the session ends");
    let mut closed = None;
    while closed.is_none() {
        match tokio::time::timeout(PATIENCE, client.0.next()).await.expect("an end") {
            Some(Ok(Message::Close(Some(frame)))) => closed = Some(u16::from(frame.code)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => closed = Some(0),
        }
    }
    // The close frame may not fit behind what the peer has not read; then the line is cut.
    assert!(matches!(closed, Some(4008 | 0)), "{closed:?}");
}

#[tokio::test]
async fn one_socket_watches_so_many_jobs_and_no_more() {
    let mut settings = generous();
    settings.sockets.max_subscriptions = 2;
    let world = World::with(settings, None).await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    for _ in 0..2 {
        let job = text(&world.ask(who, &things.conversation).await, "job_id");
        let event = client.call(json!({ "type": "subscribe", "job_id": job })).await;
        assert_eq!(event["event"]["kind"], "queued");
    }
    let third = client.call(json!({ "type": "subscribe", "job_id": things.job })).await;
    assert_eq!(third["problem"]["code"], "too_many_subscriptions");
}
