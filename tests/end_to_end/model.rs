//! A language model of the tests' own: it speaks OpenAI's protocol, writes always the same
//! text, a word at a time, and counts how often it was asked.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::post;
use futures::StreamExt;
use serde_json::json;
use tokio::task::JoinSet;

/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of the model. It ends with the value.
pub(crate) struct Model {
    base_url: String,
    words: usize,
    said: Arc<Said>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Said {
    answers: AtomicUsize,
    words: AtomicUsize,
}

impl Model {
    /// A model whose answers have so many words, one every so often.
    pub(crate) async fn start(words: usize, every: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let said = Arc::new(Said::default());
        let counted = Arc::clone(&said);
        let answer = move || {
            counted.answers.fetch_add(1, Ordering::Relaxed);
            let stream = answer(words, every, Arc::clone(&counted));
            async move { stream }
        };
        let router = Router::new().route("/v1/chat/completions", post(answer));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, words, said, _server: server }
    }

    /// What names it to a process.
    pub(crate) fn environment(&self) -> [(&str, &str); 3] {
        [
            ("QUAESTOR_CHAT", "openai:slow"),
            ("OPENAI_BASE_URL", &self.base_url),
            ("OPENAI_API_KEY", "sk-none"),
        ]
    }

    /// The text of every answer.
    pub(crate) fn text(&self) -> String {
        (0..self.words).map(word).collect()
    }

    /// How many answers were begun.
    pub(crate) fn answers(&self) -> usize {
        self.said.answers.load(Ordering::Relaxed)
    }

    /// Waits until so many answers were begun, and so many words said in all of them.
    pub(crate) async fn wait_for(&self, answers: usize, words: usize) {
        let until = Instant::now() + PATIENCE;
        while self.answers() < answers || self.said.words.load(Ordering::Relaxed) < words {
            assert!(Instant::now() < until, "the model is not asked");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn word(number: usize) -> String {
    if number == 0 { "Word-0".to_owned() } else { format!(" word-{number}") }
}

fn answer(words: usize, every: Duration, said: Arc<Said>) -> Response {
    let chunks = futures::stream::iter(0..words).then(move |number| {
        let said = Arc::clone(&said);
        async move {
            tokio::time::sleep(every).await;
            said.words.fetch_add(1, Ordering::Relaxed);
            chunk(&json!({"choices": [{"index": 0, "delta": {"content": word(number)}}]}))
        }
    });
    let end = chunk(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    let end = [end, Bytes::from("data: [DONE]\n\n")];
    let all = chunks.chain(futures::stream::iter(end)).map(Ok::<_, Infallible>);
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .body(Body::from_stream(all))
        .unwrap()
}

fn chunk(value: &serde_json::Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}
