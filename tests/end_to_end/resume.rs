//! A client that loses its WebSocket at every event gets the same text, each event once.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::program::{Program, long_report};

on_both!(a_dropped_socket_resumes_at_every_event);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(program: &Program) -> Socket {
    let url = format!("{}/ws", program.address.replace("http:", "ws:"));
    let mut request = url.into_client_request().unwrap();
    let bearer = http::HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    connect_async(request).await.unwrap().0
}

async fn say(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame of the protocol; pings are the library's business.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected frame {other:?}"),
        }
    }
}

fn is_end(frame: &Value) -> bool {
    ["done", "failed", "cancelled"].contains(&frame["event"]["kind"].as_str().unwrap_or(""))
}

fn text_of(events: &[Value]) -> String {
    events
        .iter()
        .filter(|frame| frame["event"]["kind"] == "token")
        .map(|frame| frame["event"]["text"].as_str().unwrap())
        .collect()
}

async fn a_dropped_socket_resumes_at_every_event(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let conversation = program.make_conversation().await;

    // Live: the socket is dropped after each event and the next one resumes.
    let mut socket = connect(&program).await;
    say(
        &mut socket,
        json!({"type": "ask", "request_id": "r1", "conversation_id": conversation,
               "content": "What was the market value of bond 17 in 2025?"}),
    )
    .await;
    let accepted = hear(&mut socket).await;
    assert_eq!(accepted["type"], "accepted", "{accepted}");
    assert_eq!(accepted["request_id"], "r1");
    let job = accepted["job_id"].as_str().unwrap().to_owned();
    let mut live: Vec<Value> = Vec::new();
    loop {
        drop(socket);
        socket = connect(&program).await;
        let mut subscribe = json!({"type": "subscribe", "job_id": job});
        if let Some(last) = live.last() {
            subscribe["after"] = last["id"].clone();
        }
        say(&mut socket, subscribe).await;
        let frame = hear(&mut socket).await;
        assert_eq!(frame["type"], "event", "{frame}");
        let end = is_end(&frame);
        live.push(frame);
        if end {
            break;
        }
    }
    let answer = program.answer(&conversation, accepted["answer_id"].as_str().unwrap()).await;
    assert_eq!(text_of(&live), answer["content"].as_str().unwrap());
    assert_eq!(live[0]["event"]["kind"], "queued");
    assert_eq!(live.iter().filter(|frame| is_end(frame)).count(), 1);

    // Afterwards: from every event on, exactly the rest.
    for from in 0..live.len() - 1 {
        let mut socket = connect(&program).await;
        let after = live[from]["id"].clone();
        say(&mut socket, json!({"type": "subscribe", "job_id": job, "after": after})).await;
        let mut rest = Vec::new();
        while !rest.last().is_some_and(is_end) {
            rest.push(hear(&mut socket).await);
        }
        assert_eq!(rest, live[from + 1..], "resumed after {after}");
    }

    // After a restart the log of a single process is gone: the client is told, and the
    // stored answer stands. That of several outlives them.
    drop(socket);
    drop(program);
    let program = installation.start(&[]);
    let mut socket = connect(&program).await;
    let after = live[live.len() / 2]["id"].clone();
    say(&mut socket, json!({"type": "subscribe", "job_id": job, "after": after})).await;
    match backends {
        Backends::Embedded => {
            assert_eq!(hear(&mut socket).await["type"], "gap");
            let end = hear(&mut socket).await;
            assert_eq!(end["event"]["kind"], "done", "{end}");
        }
        Backends::Distributed => {
            let mut rest = Vec::new();
            while !rest.last().is_some_and(is_end) {
                rest.push(hear(&mut socket).await);
            }
            assert_eq!(rest, live[live.len() / 2 + 1..]);
        }
    }
    let stored = program.answer(&conversation, accepted["answer_id"].as_str().unwrap()).await;
    assert_eq!(stored["content"], answer["content"]);
}

/// One job, watched on whatever sockets it takes.
pub(crate) struct Watching {
    /// The fronts, the next of which is tried when a socket was lost.
    addresses: Vec<String>,
    job: String,
    last: Option<Value>,
    text: String,
    /// Whether the log had lost something: the text is then read from the store.
    pub(crate) gap: bool,
    /// How often a step was told to have begun again.
    pub(crate) restarts: usize,
    /// The codes that sockets were closed with.
    pub(crate) closed: Vec<u16>,
}

impl Watching {
    pub(crate) fn of(addresses: &[&str], job: &str) -> Self {
        Self {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            job: job.to_owned(),
            last: None,
            text: String::new(),
            gap: false,
            restarts: 0,
            closed: Vec::new(),
        }
    }

    /// Watches to the terminal event, over as many sockets as it takes.
    pub(crate) async fn until_the_end(&mut self, patience: Duration) {
        let ended = async {
            while !self.one_socket().await {
                self.addresses.rotate_left(1);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(patience, ended).await.expect("the job's end is told");
    }

    /// The whole text, or none where a gap was told.
    pub(crate) fn told(&self) -> Option<&str> {
        (!self.gap).then_some(self.text.as_str())
    }

    /// True when the end was told; false where the socket could not be had or was lost.
    async fn one_socket(&mut self) -> bool {
        let url = format!("{}/ws", self.addresses[0].replace("http:", "ws:"));
        let mut request = url.into_client_request().unwrap();
        let bearer = http::HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        let Ok((mut socket, _)) = connect_async(request).await else { return false };
        let mut subscribe = json!({"type": "subscribe", "job_id": self.job});
        if let Some(last) = &self.last {
            subscribe["after"] = last.clone();
        }
        if socket.send(Message::text(subscribe.to_string())).await.is_err() {
            return false;
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = &message {
                self.closed.push(frame.code.into());
            }
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            match frame["type"].as_str() {
                Some("gap") => self.gap = true,
                // The database is away: it is asked again on another socket.
                Some("error") => return false,
                _ => {}
            }
            match frame["event"]["kind"].as_str() {
                Some("token") => self.text.push_str(frame["event"]["text"].as_str().unwrap()),
                Some("restarted") => {
                    self.text.clear();
                    self.restarts += 1;
                }
                _ => {}
            }
            if frame["type"] == "event" {
                assert_ne!(self.last.as_ref(), Some(&frame["id"]), "an event is told twice");
                self.last = Some(frame["id"].clone());
            }
            if is_end(&frame) {
                return true;
            }
        }
        false
    }
}
