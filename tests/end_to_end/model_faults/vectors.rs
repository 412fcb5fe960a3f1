//! Embedding models that answer something else than vectors for the texts.

use quaestor_model_server::{ModelServer, Operation, Reply, Vectors};
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};

on_both!(
    vectors_that_cannot_be_right_are_refused_and_none_is_kept,
    vectors_of_two_models_are_never_compared,
);

const LENGTH: usize = 8;

fn environment<'a>(server_url: &'a str, model: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("QUAESTOR_CHAT", "offline"),
        ("QUAESTOR_EMBED", model),
        ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "8"),
        ("OPENAI_BASE_URL", server_url),
        ("OPENAI_API_KEY", "sk-none"),
        ("QUAESTOR_MODELS__RETRY__PAUSE_MS", "20"),
    ]
}

async fn upload(program: &Program, collection: &str, name: &str) -> (Value, Value) {
    let text = format!("{}\n\nThis is {name}.", long_report(4));
    let upload = program.upload(collection, name, text).await.unwrap();
    let item = &upload["items"][0];
    let job = program.wait_for_job(item["job_id"].as_str().unwrap()).await;
    let path = format!("/api/documents/{}", item["document_id"].as_str().unwrap());
    (job, program.get(&path).await)
}

async fn searched_by(program: &Program, collection: &str) -> Value {
    let query = json!({"query": "market value of bond 2", "collection_ids": [collection]});
    let found = program.post("/api/search", query).await;
    assert!(!found["passages"].as_array().unwrap().is_empty(), "words always find");
    found["searched_by"].clone()
}

/// F28.
async fn vectors_that_cannot_be_right_are_refused_and_none_is_kept(backends: Backends) {
    let server = ModelServer::start().await;
    let installation = Installation::new(backends).await;
    let url = server.openai_url();
    let program = installation.start(&environment(&url, "openai:vectors"));
    for (place, wrong) in [
        Vectors::Good(LENGTH + 1),
        Vectors::OneFewer(LENGTH),
        Vectors::SameIndex(LENGTH),
        Vectors::NotANumber(LENGTH),
        Vectors::Zero(LENGTH),
    ]
    .into_iter()
    .enumerate()
    {
        let collection = program.make_collection(&format!("c{place}")).await;
        let before = server.calls_of(Operation::Embed).len();
        server.respond(move |request| match request.operation {
            Operation::Embed => Reply::vectors(wrong),
            _ => Reply::sensible(request),
        });
        let (job, document) = upload(&program, &collection, &format!("{place}.md")).await;
        assert_eq!(job["state"], "failed", "{wrong:?}: {job}");
        assert_eq!(document["error"]["code"], "model_unusable", "{wrong:?}: {document}");
        assert_eq!(server.calls_of(Operation::Embed).len() - before, 1, "{wrong:?}: asked once");
    }
    // Another order is no mistake, and what failed can be uploaded again.
    server.respond(|request| match request.operation {
        Operation::Embed => Reply::vectors(Vectors::Reordered(LENGTH)),
        _ => Reply::sensible(request),
    });
    let collection = program.make_collection("good").await;
    let (job, _) = upload(&program, &collection, "good.md").await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(searched_by(&program, &collection).await, "words_and_meaning");
    // While the model is away, search goes by words alone and says so.
    server.respond(|_| Reply::error(503, "server_error"));
    assert_eq!(searched_by(&program, &collection).await, "words");
    let found = program.post("/api/search", json!({"query": "market value of bond 2"})).await;
    assert!(found["note"].as_str().unwrap().contains("cannot answer now"), "{found}");
}

/// F31.
async fn vectors_of_two_models_are_never_compared(backends: Backends) {
    let server = ModelServer::answering(|request| match request.operation {
        Operation::Embed => Reply::vectors(Vectors::Good(LENGTH)),
        _ => Reply::sensible(request),
    })
    .await;
    let installation = Installation::new(backends).await;
    let url = server.openai_url();
    let program = installation.start(&environment(&url, "openai:first"));
    let collection = program.make_collection("reports").await;
    let (job, _) = upload(&program, &collection, "halden.md").await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(searched_by(&program, &collection).await, "words_and_meaning");
    drop(program);
    // The same length, another model: its vectors mean something else.
    let program = installation.start(&environment(&url, "openai:second"));
    let before = server.calls_of(Operation::Embed).len();
    assert_eq!(searched_by(&program, &collection).await, "words");
    assert_eq!(server.calls_of(Operation::Embed).len(), before, "nothing is embedded in vain");
}
