//! The providers against a server that nobody here wrote: the npm package aimock.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use quaestor_backends::models::openai::{Endpoint, OpenAiEmbedder};
use quaestor_backends::models::provider::EmbedProvider as _;
use quaestor_contracts::call_id;
use quaestor_core::clock::SystemClock;
use quaestor_core::ports::chat_model::FinishReason;
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_error::ErrorClass;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::providers::{Kind, ask};

const TEXT: &str = "Revenue was 4.3 million [1], ums\u{e4}tze \u{1f642}.";

/// The first start fetches the package.
const PATIENCE: Duration = Duration::from_secs(240);

/// The running server; it ends with the value.
struct Aimock {
    url: String,
    _process: Child,
    _fixtures: tempfile::TempDir,
}

/// Starts it with one answer to every chat, and one vector for every text.
async fn start(response: serde_json::Value) -> Aimock {
    let fixtures = tempfile::tempdir().unwrap();
    let file = fixtures.path().join("fixtures.json");
    let fixed = json!({"fixtures": [
        {"match": {"userMessage": "revenue"}, "response": response},
        {"match": {"inputText": "passage"}, "response": {"embedding": [3, 4]}},
    ]});
    std::fs::write(&file, fixed.to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/aimock.sh");
    let mut process = Command::new(script)
        .args(["--port", "0", "--fixtures"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("listening on ") {
                return address.trim().to_owned();
            }
        }
        panic!("aimock ended before it listened");
    };
    let url = tokio::time::timeout(PATIENCE, address).await.unwrap();
    Aimock { url, _process: process, _fixtures: fixtures }
}

#[tokio::test]
async fn answers_and_vectors_of_a_foreign_server_are_understood() {
    let server = start(json!({"content": TEXT})).await;
    for kind in Kind::ALL {
        let told = ask(&*kind.chat_at(&server.url, Arc::new(SystemClock))).await;
        assert_eq!((told.text.as_str(), told.reason()), (TEXT, FinishReason::Stop), "{kind:?}");
        assert!(told.usage().is_some(), "{kind:?}");
    }
    let endpoint = Endpoint {
        provider: "openai".to_owned(),
        model: "text-embedding-3-small".to_owned(),
        base_url: format!("{}/v1", server.url),
        key: "sk-test".to_owned().into(),
        connect_timeout: Duration::from_secs(5),
    };
    let model = OpenAiEmbedder::new(&endpoint, 2, Arc::new(SystemClock)).unwrap();
    let texts = ["a passage".to_owned(), "another passage".to_owned()];
    let told = model.request(EmbedKind::Passage, &texts, call_id()).await.unwrap();
    assert_eq!(told.vectors, [[0.6, 0.8], [0.6, 0.8]]);
    assert!(told.request_id.is_some());
}

#[tokio::test]
async fn errors_of_a_foreign_server_have_their_class() {
    let busy = json!({"error": {"message": "no", "type": "rate_limit_error",
        "code": "rate_limit_exceeded"}, "status": 429});
    let broken = json!({"error": {"message": "no", "type": "server_error"}, "status": 500});
    for (response, class, waits) in
        [(busy, ErrorClass::Overloaded, true), (broken, ErrorClass::Unavailable, false)]
    {
        let server = start(response).await;
        for kind in Kind::ALL {
            let error = ask(&*kind.chat_at(&server.url, Arc::new(SystemClock))).await.error();
            assert_eq!(error.class, class, "{kind:?}: {error:?}");
            assert_eq!(error.retry_after.is_some(), waits, "{kind:?}: {error:?}");
            assert!(error.request_id.is_some(), "{kind:?}");
        }
    }
}
