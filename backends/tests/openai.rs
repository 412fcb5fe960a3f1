//! The client of OpenAI's interface against a server that misbehaves in known ways.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{Stream, StreamExt};
use quaestor_backends::models::openai::{Endpoint, OpenAiChat, OpenAiEmbedder};
use quaestor_backends::models::resilience::{
    ChatChain, ChatLink, GuardedEmbedder, Guards, Policy, Surroundings,
};
use quaestor_contracts::chat_model::{answer, request};
use quaestor_contracts::{call_scope, chat_model_contract};
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ports::chat_model::{ChatDelta, ChatModel, ChatStream, FinishReason};
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use tokio::task::JoinSet;

const GOOD: &str = "data: {\"id\":\"x\",\"foreign\":{\"a\":1},\"choices\":[{\"index\":0,\
    \"delta\":{\"role\":\"assistant\",\"content\":\"Umsätze \"}}]}\n\n\
    : a comment\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"stiegen [1] \u{1f642}\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"native\":\"eos\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":4,\"more\":{}}}\n\n\
    data: [DONE]\n\n";

/// A server on this machine; ends with the value.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Serves one response to all requests.
async fn server<F, R>(respond: F) -> Server
where
    F: Fn(HeaderMap, Bytes) -> R + Clone + Send + Sync + 'static,
    R: IntoResponse + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move |headers: HeaderMap, body: Bytes| {
        let response = respond(headers, body).into_response();
        async move { response }
    };
    let router = Router::new()
        .route("/v1/chat/completions", post(handler.clone()))
        .route("/v1/embeddings", post(handler));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { address, _tasks: tasks }
}

fn endpoint(server: &Server) -> Endpoint {
    Endpoint {
        provider: "test".to_owned(),
        model: "tiny".to_owned(),
        base_url: format!("http://{}/v1/", server.address),
        key: "sk-very-secret".to_owned().into(),
        connect_timeout: Duration::from_secs(5),
    }
}

/// One request for each call: what a single one does is looked at here.
fn guards(policy: Policy, clock: Arc<dyn Clock>) -> Guards {
    let mut policy = policy;
    policy.retry.attempts = 1;
    let entropy = Arc::new(SeededEntropy::new(1));
    Guards::new(Surroundings { policy, clock, entropy, cost_of: Arc::new(|_, _, _| 0) })
}

fn chat(server: &Server) -> ChatChain {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_millis(0));
    let provider = OpenAiChat::new(endpoint(server), clock.clone()).unwrap();
    let guards = guards(Policy::default(), clock);
    ChatChain::of(vec![ChatLink::Provider(Arc::new(provider))], &guards).unwrap()
}

fn sse(body: impl Into<Body>) -> Response {
    Response::builder().header("content-type", "text/event-stream").body(body.into()).unwrap()
}

/// A body that is sent in pieces of some bytes.
fn pieces(text: &str, size: usize) -> Body {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(futures::stream::iter(pieces))
}

async fn answer_to(body: String) -> Result<Vec<ChatDelta>, ModelError> {
    let server = server(move |_, _| sse(body.clone())).await;
    answer(&chat(&server)).await
}

fn text(deltas: &[ChatDelta]) -> String {
    deltas
        .iter()
        .filter_map(|delta| match delta {
            ChatDelta::Text(text) => Some(text.as_str()),
            ChatDelta::Finished { .. } => None,
        })
        .collect()
}

mod contract {
    use super::*;

    /// The model, with the server that it asks.
    #[derive(Debug)]
    struct Served(ChatChain, #[expect(dead_code, reason = "it serves while it lives")] Alive);

    struct Alive(#[expect(dead_code, reason = "it serves while it lives")] Server);

    impl std::fmt::Debug for Alive {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Alive")
        }
    }

    #[async_trait::async_trait]
    impl ChatModel for Served {
        fn name(&self) -> &str {
            self.0.name()
        }

        async fn stream(
            &self,
            request: quaestor_core::ports::chat_model::ChatRequest,
            scope: &CallScope,
        ) -> Result<ChatStream, ModelError> {
            self.0.stream(request, scope).await
        }
    }

    async fn served() -> Served {
        let server = server(|_, _| sse(GOOD)).await;
        Served(chat(&server), Alive(server))
    }

    chat_model_contract!(served);
}

#[tokio::test]
async fn an_answer_is_read_however_it_is_split_and_whatever_ends_its_lines() {
    for size in [1, 2, 3, 7, 50, 10_000] {
        for ends in ["\n", "\r\n"] {
            let body = GOOD.replace('\n', ends);
            let server = server(move |_, _| sse(pieces(&body, size))).await;
            let deltas = answer(&chat(&server)).await.unwrap();
            assert_eq!(text(&deltas), "Umsätze stiegen [1] \u{1f642}", "pieces of {size}");
            let Some(ChatDelta::Finished { reason: FinishReason::Stop, usage: Some(usage) }) =
                deltas.last()
            else {
                panic!("{deltas:?}");
            };
            assert_eq!((usage.input_tokens, usage.output_tokens), (11, 4));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_error() {
    let cut = GOOD.split("data: {\"choices\":[{\"delta\":{},").next().unwrap();
    for body in [cut.to_owned(), format!("{cut}data: [DONE]\n\n"), String::new()] {
        let error = answer_to(body).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable, "{error:?}");
    }
}

#[tokio::test]
async fn a_finished_answer_needs_no_usage_and_no_mark_of_its_end() {
    let body = GOOD.split("data: {\"choices\":[],").next().unwrap();
    let deltas = answer_to(body.to_owned()).await.unwrap();
    let Some(ChatDelta::Finished { reason: FinishReason::Stop, usage: Some(usage) }) =
        deltas.last()
    else {
        panic!("{deltas:?}");
    };
    assert!(usage.output_tokens > 0, "an estimate stands in");
}

#[tokio::test]
async fn an_error_within_the_stream_is_an_error_and_no_text() {
    let overloaded =
        "data: {\"error\":{\"message\":\"sk-very-secret\",\"type\":\"overloaded\"}}\n\n";
    let error = answer_to(overloaded.to_owned()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    let quota = "data: {\"error\":{\"message\":\"\",\"code\":\"insufficient_quota\"}}\n\n";
    let error = answer_to(quota.to_owned()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Quota);
}

#[tokio::test]
async fn what_is_no_json_is_malformed_and_is_not_repeated() {
    let error = answer_to("data: {\"secret words\n\n".to_owned()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Malformed, "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_status_tells_the_class_of_the_error() {
    const QUOTA: &str = r#"{"error":{"message":"no","code":"insufficient_quota"}}"#;
    const OTHER: &str = r#"{"error":{"message":"sk-very-secret","type":"rate_limit"}}"#;
    for (status, body, class) in [
        (429, OTHER, ErrorClass::Overloaded),
        (500, "oops", ErrorClass::Unavailable),
        (503, "", ErrorClass::Overloaded),
        (529, "", ErrorClass::Overloaded),
        (429, QUOTA, ErrorClass::Quota),
        (400, OTHER, ErrorClass::Refused),
        (401, OTHER, ErrorClass::Credentials),
        (404, "<html>", ErrorClass::Refused),
        (302, "", ErrorClass::Refused),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let server = server(move |_, _| (status, [("retry-after", "7")], body)).await;
        let error = answer(&chat(&server)).await.unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(error.class, class, "{status}: {error:?}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gone = Server { address, _tasks: JoinSet::new() };
    let error = answer(&chat(&gone)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_too_slow() {
    let first = GOOD.split_inclusive("\n\n").next().unwrap();
    let server = server(move |_, _| sse(Body::from_stream(begin_then(first, None)))).await;
    let mut policy = Policy::default();
    policy.timeouts.between = Duration::from_millis(30);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let provider = OpenAiChat::new(endpoint(&server), clock.clone()).unwrap();
    let link = ChatLink::Provider(Arc::new(provider));
    let model = ChatChain::of(vec![link], &guards(policy, clock)).unwrap();
    let error = answer(&model).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::TooSlow, "{error:?}");
}

#[tokio::test]
async fn dropping_the_answer_ends_the_request_upstream() {
    let first = GOOD.split_inclusive("\n\n").next().unwrap();
    let (closed, was_closed) = tokio::sync::mpsc::unbounded_channel();
    let server =
        server(move |_, _| sse(Body::from_stream(begin_then(first, Some(OnDrop(closed.clone()))))))
            .await;
    let mut was_closed = was_closed;
    let model = chat(&server);
    let mut stream = model.stream(request(), &call_scope()).await.unwrap().deltas;
    assert!(matches!(stream.next().await, Some(Ok(ChatDelta::Text(_)))));
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), was_closed.recv()).await.unwrap();
}

struct OnDrop(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// One piece, and then nothing.
fn begin_then(
    first: &'static str,
    guard: Option<OnDrop>,
) -> impl Stream<Item = Result<&'static str, std::io::Error>> {
    futures::stream::iter([Ok(first)]).chain(futures::stream::pending()).map(move |piece| {
        let _held = &guard;
        piece
    })
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let server = server(|headers, body| {
        assert_eq!(headers["authorization"], "Bearer sk-very-secret");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["max_tokens"], 200);
        sse(GOOD)
    })
    .await;
    let model = chat(&server);
    assert!(!format!("{model:?}").contains("secret"));
    assert_eq!(model.name(), "test:tiny");
    answer(&model).await.unwrap();
}

async fn embed(response: &'static str) -> Result<Vec<Vec<f32>>, ModelError> {
    let server = server(move |_, _| ([("content-type", "application/json")], response)).await;
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_millis(0));
    let provider = OpenAiEmbedder::new(endpoint(&server), 2, clock.clone()).unwrap();
    let embedder = GuardedEmbedder::new(Arc::new(provider), &guards(Policy::default(), clock));
    let texts = ["a".to_owned(), "b".to_owned()];
    embedder.embed(EmbedKind::Passage, &texts, &call_scope()).await
}

#[tokio::test]
async fn vectors_are_ordered_by_their_index_and_of_unit_length() {
    let vectors =
        embed(r#"{"data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[3,4]}],"x":1}"#)
            .await
            .unwrap();
    assert_eq!(vectors, [[0.6, 0.8], [0.0, 1.0]]);
}

#[tokio::test]
async fn vectors_that_cannot_be_right_are_malformed() {
    for response in [
        r#"{"data":[{"index":0,"embedding":[3,4]}]}"#,
        r#"{"data":[{"index":0,"embedding":[3,4]},{"index":0,"embedding":[3,4]}]}"#,
        r#"{"data":[{"index":0,"embedding":[3,4]},{"index":2,"embedding":[3,4]}]}"#,
        r#"{"data":[{"index":0,"embedding":[3,4,5]},{"index":1,"embedding":[3,4,5]}]}"#,
        r#"{"data":[{"index":0,"embedding":[3,4]},{"index":1,"embedding":[0,0]}]}"#,
        r#"{"data":[{"index":0,"embedding":[3,null]},{"index":1,"embedding":[0,1]}]}"#,
        "no json",
    ] {
        let error = embed(response).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Malformed, "{response}: {error:?}");
    }
}
