//! Passages of many small files share the requests to a provider, and each is paid for once.

use std::collections::BTreeMap;
use std::time::Duration;

use quaestor_model_server::{ModelServer, Operation, Reply};
use serde_json::json;

use crate::installation::{Backends, Installation, on_both};

on_both!(small_files_share_requests);

const FILES: usize = 60;
/// In one file alone.
const FORBIDDEN: &str = "Kellermann";

async fn small_files_share_requests(backends: Backends) {
    let models = ModelServer::answering(|request| match request.operation {
        Operation::Embed if request.texts().iter().any(|text| text.contains(FORBIDDEN)) => {
            Reply::error(400, "invalid_request_error")
        }
        Operation::Embed => Reply::sensible(request).after(Duration::from_millis(20)),
        _ => Reply::sensible(request),
    })
    .await;
    let installation = Installation::new(backends).await;
    let url = models.openai_url();
    let program = installation.start(&[
        ("QUAESTOR_EMBED", "openai:small"),
        ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "8"),
        ("QUAESTOR_MODELS__PRICES", r#"{ "openai:small" = { input = 1.0 } }"#),
        ("OPENAI_BASE_URL", &url),
        ("OPENAI_API_KEY", "sk-none"),
    ]);
    let collection = program.make_collection("notes").await;
    let batch = program.post("/api/batches", json!({"name": "notes", "total": FILES})).await;
    let files = (0..FILES).map(|n| {
        let who = if n == 17 { FORBIDDEN } else { "somebody" };
        (format!("note-{n}.txt"), format!("Note {n} says {} to {who}.", n * 7))
    });
    let files: Vec<(String, String)> = files.collect();
    let sent = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes().to_vec()));
    let accepted =
        program.upload_to(batch["id"].as_str().unwrap(), &collection, sent.collect()).await;
    for (n, item) in accepted["items"].as_array().unwrap().iter().enumerate() {
        let job = program.wait_for_job(item["job_id"].as_str().unwrap()).await;
        let wanted = if n == 17 { "failed" } else { "done" };
        assert_eq!(job["state"], wanted, "{job}");
        if n == 17 {
            assert_eq!(job["problem"]["code"], "model_refused", "{job}");
        }
    }
    let calls = models.calls_of(Operation::Embed);
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    let (mut tokens, mut done) = (0, 0_usize);
    for call in calls.iter().filter(|call| call.status == 200) {
        tokens += call.input_tokens;
        done += 1;
        for text in call.request.texts() {
            *answered.entry(text).or_default() += 1;
        }
    }
    assert!(done < FILES / 2, "{done} requests were answered for {FILES} files");
    assert_eq!(answered.len(), FILES - 1);
    assert!(answered.values().all(|times| *times == 1), "{answered:?}");
    // The account says what the provider's does.
    let usage = program.get("/api/admin/usage?by=model").await;
    let part = &usage["items"][0];
    assert_eq!((&part["operation"], &part["model"]), (&json!("embed"), &json!("openai:small")));
    assert_eq!(part["input_tokens"], json!(tokens), "{usage}");
}
