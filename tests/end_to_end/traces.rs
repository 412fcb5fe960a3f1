//! One trace shows the way of a question through the processes, from the request to the
//! frames on the asker's socket.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use quaestor_model_server::{Answer, ModelServer, Reply};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http};

use crate::collector::{Collector, Seen};
use crate::installation::{Backends, Installation, KEY, on_both};
use crate::program::{Process, Program, long_report};

on_both!(
    one_trace_shows_the_way_of_a_question,
    the_callers_decision_counts_and_nothing_is_sent_without_a_collector,
    a_collector_that_hangs_holds_up_nothing,
);

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// What the caller says: its trace, its span, and that it is kept.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What nobody may find in a span.
const QUESTION: &str = "What was the market value of bond 2 of the marmalade series?";
const ANSWER: &str = "Zanzibar quarterly figures";

fn one<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found: Vec<&Seen> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {:#?}", names(spans));
    found[0]
}

fn names(spans: &[Seen]) -> Vec<(&str, &str)> {
    spans.iter().map(|span| (span.role.as_str(), span.name.as_str())).collect()
}

/// Follows a conversation, asks in it over HTTP, and hears the answer out. Returns the head of
/// the response that is the trace's.
async fn ask(program: &Program, traceparent: &str) -> Option<String> {
    let conversation = program.make_conversation().await;
    let url = format!("{}/ws", program.address.replace("http:", "ws:"));
    let mut request = url.into_client_request().unwrap();
    let bearer = http::HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    let mut socket = connect_async(request).await.unwrap().0;
    let follow = json!({"type": "follow", "conversation_id": conversation});
    socket.send(Message::text(follow.to_string())).await.unwrap();
    let mut told = None;
    loop {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] == "following" {
            let path = format!("/api/conversations/{conversation}/messages");
            let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build();
            let asked = client
                .unwrap()
                .post(format!("{}{path}", program.address))
                .bearer_auth(KEY)
                .header("traceparent", traceparent)
                .header("baggage", "secret=baggage-of-the-caller")
                .json(&json!({ "content": QUESTION }))
                .send()
                .await
                .unwrap();
            assert_eq!(asked.status(), 202);
            told = asked.headers().get("traceparent").map(|head| head.to_str().unwrap().into());
        }
        match frame["event"]["kind"].as_str() {
            Some("done") => return told,
            Some("failed" | "cancelled") => panic!("{frame}"),
            _ => {}
        }
    }
}

async fn started(
    backends: Backends,
    environment: &[(&str, &str)],
) -> (Installation, Vec<Process>, Program) {
    let installation = Installation::new(backends).await;
    let mut workers = Vec::new();
    let first = match backends {
        Backends::Embedded => installation.process("serve", environment),
        Backends::Distributed => {
            for queues in ["chat.retrieve", "chat.generate", "documents"] {
                workers
                    .push(installation.process(&format!("worker --queues {queues}"), environment));
            }
            installation.process("front", environment)
        }
    };
    (installation, workers, Program::of(vec![first]))
}

async fn one_trace_shows_the_way_of_a_question(backends: Backends) {
    let collector = Collector::start().await;
    let models = ModelServer::start().await;
    let (endpoint, base_url) = (collector.endpoint().to_owned(), models.openai_url());
    let environment = [
        ("QUAESTOR_OTLP_ENDPOINT", endpoint.as_str()),
        ("QUAESTOR_OTLP_HEADERS", "authorization=Bearer collector-secret"),
        ("QUAESTOR_LOG__FORMAT", "json"),
        ("QUAESTOR_LOG__FILTER", "debug"),
        ("QUAESTOR_CHAT", "openai:scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", "sk-provider-secret"),
    ];
    let (_installation, workers, program) = started(backends, &environment).await;
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    models.push(Reply::answer(Answer::of(ANSWER)));
    let told = ask(&program, &format!("00-{TRACE}-{CALLER}-01")).await;
    let told = told.expect("the response names its span");

    let of_trace = |spans: &[Seen]| -> Vec<Seen> {
        spans.iter().filter(|span| span.trace == TRACE).cloned().collect()
    };
    let ended = |spans: &[Seen]| {
        let own = of_trace(spans);
        let has = |name: &str| own.iter().any(|span| span.name == name);
        has("send done")
            && has("process chat.retrieve")
            && has("search")
            && has("process chat.generate")
            && has("chat scripted")
            && (backends == Backends::Embedded || has("publish chat.generate"))
            && has("publish chat.retrieve")
            && has("POST /api/conversations/{id}/messages")
    };
    let all = collector.wait_for(ended).await;
    let spans = of_trace(&all);

    // The request is the caller's child, and what its own response names.
    let request = one(&spans, "POST /api/conversations/{id}/messages");
    assert_eq!((request.kind, request.parent.as_str()), (SERVER, CALLER));
    assert_eq!(told, format!("00-{TRACE}-{}-01", request.id));
    assert_eq!(request.attributes["http.request.method"], "POST");
    assert_eq!(request.attributes["http.response.status_code"], "202");
    let accepted = one(&spans, "accept_question");
    assert_eq!((accepted.kind, &accepted.parent), (CLIENT, &request.id));
    let system = if backends == Backends::Embedded { "sqlite" } else { "postgresql" };
    assert_eq!(accepted.attributes["db.system.name"], system);

    // The relay's message is the request's child, and the step the message's.
    let published = one(&spans, "publish chat.retrieve");
    assert_eq!((published.kind, &published.parent), (PRODUCER, &request.id));
    assert_eq!(published.attributes["messaging.destination.name"], "chat.retrieve");
    let retrieve = one(&spans, "process chat.retrieve");
    assert_eq!((retrieve.kind, &retrieve.parent), (CONSUMER, &published.id));
    assert_eq!(one(&spans, "search").parent, retrieve.id);
    let generate = one(&spans, "process chat.generate");
    match backends {
        // In one process it follows at once, without a message.
        Backends::Embedded => assert_eq!(generate.parent, retrieve.id),
        Backends::Distributed => {
            let published = one(&spans, "publish chat.generate");
            assert_eq!((published.kind, &published.parent), (PRODUCER, &request.id));
            assert_eq!((generate.kind, &generate.parent), (CONSUMER, &published.id));
            assert_eq!(published.attributes["messaging.system"], "rabbitmq");
            let pids = [&request.pid, &retrieve.pid, &generate.pid];
            assert_eq!([&request.role, &retrieve.role], ["front", "worker"]);
            assert!(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2], "{pids:?}");
        }
    }
    assert_eq!(generate.attributes["quaestor.step.outcome"], "done");

    // The provider's call is the step's, and knows nothing of the trace.
    let call = one(&spans, "chat scripted");
    assert_eq!((call.kind, &call.parent), (CLIENT, &generate.id));
    assert_eq!(call.attributes["gen_ai.provider.name"], "openai");
    assert!(call.attributes["gen_ai.usage.output_tokens"].parse::<u64>().unwrap() > 0);
    assert!(call.nanos > 0 && call.nanos <= generate.nanos, "{} {}", call.nanos, generate.nanos);
    for call in models.calls() {
        let told = ["traceparent", "tracestate", "baggage"].map(|name| call.request.header(name));
        assert_eq!(told, [None; 3]);
    }

    // Frames on the socket belong to the step that told them, in the front's process.
    for (name, step) in
        [("send retrieved", retrieve), ("send token", generate), ("send done", generate)]
    {
        let frame = one(&spans, name);
        assert_eq!((frame.kind, &frame.parent), (PRODUCER, &step.id), "{name}");
        assert_eq!(frame.pid, request.pid);
    }

    // The id is in the log of whoever did something, and nothing of the contents is anywhere.
    let logs: Vec<String> = workers.iter().map(Process::log).chain([program.log()]).collect();
    let logged = |log: &String| log.contains(&format!("\"trace.id\":\"{TRACE}\""));
    assert!(logs.iter().any(logged), "no log has the trace's id");
    let sent = format!("{all:?}");
    for secret in ["marmalade", "Zanzibar", "halden", "collector-secret", "provider-secret", KEY] {
        assert!(!sent.contains(secret), "{secret} is in a span");
    }
    for span in &all {
        assert!(span.attributes.len() <= 16, "{span:?}");
        assert!(!span.failed, "{span:?}");
    }
    let heads = collector.heads().join("\n").to_lowercase();
    assert!(heads.contains("authorization: bearer collector-secret"), "{heads}");
    assert!(!logs.concat().contains("collector-secret"));
}

/// A caller that keeps nothing keeps nothing here either; and without an address nothing is
/// made, and the response names no span.
async fn the_callers_decision_counts_and_nothing_is_sent_without_a_collector(backends: Backends) {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint().to_owned();
    // The name that all programs have for it.
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("QUAESTOR_CHAT", "offline")];
    let (installation, workers, mut program) = started(backends, &environment).await;
    let told = ask(&program, &format!("00-{TRACE}-{CALLER}-00")).await.expect("a span");
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"), "{told}");
    // What waits is sent before a process ends.
    program.stop().await;
    drop(workers);
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace != TRACE), "{:#?}", names(&spans));
    assert!(!spans.is_empty(), "nothing was sent at the end");

    let before = collector.heads().len();
    let environment = [("QUAESTOR_CHAT", "offline")];
    let first = if backends == Backends::Embedded { "serve" } else { "front" };
    let program = Program::of(vec![installation.process(first, &environment)]);
    let answer = program.send(reqwest::Method::GET, "/api/collections", None).await.unwrap();
    assert!(answer.headers().contains_key("x-request-id"));
    assert!(!answer.headers().contains_key("traceparent"));
    assert_eq!(collector.heads().len(), before);
}

/// A collector that takes connections and says nothing: answers are written as ever, and a
/// process that is told to stop waits for it no longer than it says. Where providers are to be
/// told, they hear of the call's own span, and of nothing else.
async fn a_collector_that_hangs_holds_up_nothing(backends: Backends) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let models = ModelServer::start().await;
    let base_url = models.openai_url();
    let environment = [
        ("QUAESTOR_OTLP_ENDPOINT", endpoint.as_str()),
        ("QUAESTOR_TRACES__TELL_PROVIDERS", "true"),
        ("QUAESTOR_SERVER__LEAVE_S", "1"),
        ("QUAESTOR_CHAT", "openai:scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", "sk-none"),
    ];
    let (_installation, workers, mut program) = started(backends, &environment).await;
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    ask(&program, &format!("00-{TRACE}-{CALLER}-01")).await.expect("the response names its span");
    for call in models.calls() {
        let told = call.request.header("traceparent").expect("a traceparent");
        assert!(told.starts_with(&format!("00-{TRACE}-")) && !told.contains(CALLER), "{told}");
        assert_eq!(call.request.header("baggage"), None);
    }
    // A process leaves within a second, and what sends traces has two.
    let stopping = Instant::now();
    program.stop().await;
    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop((workers, silent));
}
