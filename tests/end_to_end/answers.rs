//! A person's first hour: upload, ask, follow the citation, clean up.

use reqwest::Method;
use serde_json::json;

use crate::installation::{Backends, Installation, on_both};
use crate::program::long_report;

on_both!(
    a_question_is_answered_with_a_quote_that_stands_in_the_document,
    a_file_that_cannot_be_read_fails_with_a_reason_and_the_server_lives,
    the_same_bytes_are_a_duplicate_and_new_bytes_a_new_version,
);

async fn a_question_is_answered_with_a_quote_that_stands_in_the_document(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    let document = upload["items"][0]["document_id"].as_str().unwrap().to_owned();
    let job = program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done");
    let document_seen = program.get(&format!("/api/documents/{document}")).await;
    assert_eq!(document_seen["status"], "ready", "{document_seen}");

    let conversation = program.make_conversation().await;
    let asked = program
        .post(
            &format!("/api/conversations/{conversation}/messages"),
            json!({"content": "What was the market value of bond 17 in 2025?"}),
        )
        .await;
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done");
    let answer = program.answer(&conversation, asked["answer_id"].as_str().unwrap()).await;
    assert_eq!(answer["state"], "done");
    assert!(answer["content"].as_str().unwrap().contains("17221"), "{answer}");
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty());
    let chunks = program.chunks(&document).await;
    for citation in citations {
        let quote = citation["quote"].as_str().unwrap();
        assert_eq!(citation["document_id"], document.as_str());
        assert!(
            chunks.iter().any(|chunk| chunk["text"].as_str().unwrap().contains(quote)),
            "{quote} stands in no passage"
        );
    }
    let figures = answer["figures"].as_array().unwrap();
    assert!(figures.iter().any(|figure| figure["status"] == "supported"), "{answer}");

    let gone = program.send(Method::DELETE, &format!("/api/documents/{document}"), None).await;
    assert_eq!(gone.unwrap().status(), 204);
    let found = program.post("/api/search", json!({"query": "market value of bond 17"})).await;
    assert_eq!(found["passages"].as_array().unwrap().len(), 0);
}

async fn a_file_that_cannot_be_read_fails_with_a_reason_and_the_server_lives(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("odd").await;
    for (name, bytes, code) in [
        ("empty.pdf", Vec::new(), "empty_file"),
        ("noise.bin", (0..=255_u8).cycle().take(4096).collect(), "unsupported_type"),
        ("broken.pdf", b"%PDF-1.7\nthis is no PDF at all".to_vec(), "damaged"),
    ] {
        let upload = program.upload(&collection, name, bytes).await.unwrap();
        let item = &upload["items"][0];
        program.wait_for_job(item["job_id"].as_str().unwrap()).await;
        let path = format!("/api/documents/{}", item["document_id"].as_str().unwrap());
        let document = program.get(&path).await;
        assert_eq!(document["status"], "failed", "{document}");
        assert_eq!(document["error"]["code"], code, "{document}");
    }
    assert_eq!(program.get("/health").await["status"], "ok");
}

async fn the_same_bytes_are_a_duplicate_and_new_bytes_a_new_version(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("versions").await;
    let first = program.upload(&collection, "a.md", "# One\n\nThe fee is 10.").await.unwrap();
    let document = first["items"][0]["document_id"].clone();
    program.wait_for_job(first["items"][0]["job_id"].as_str().unwrap()).await;
    let again = program.upload(&collection, "b.md", "# One\n\nThe fee is 10.").await.unwrap();
    assert_eq!(again["items"][0]["status"], "duplicate");
    assert_eq!(again["items"][0]["document_id"], document);
    let second = program.upload(&collection, "a.md", "# One\n\nThe fee is 20.").await.unwrap();
    assert_eq!(second["items"][0]["document_id"], document);
    program.wait_for_job(second["items"][0]["job_id"].as_str().unwrap()).await;
    let seen = program.get(&format!("/api/documents/{}", document.as_str().unwrap())).await;
    assert_eq!(seen["version"], 2);
    let found = program.post("/api/search", json!({"query": "the fee"})).await;
    let passages = found["passages"].as_array().unwrap();
    assert_eq!(passages.len(), 1, "{found}");
    assert!(passages[0]["text"].as_str().unwrap().contains("20"));
}

#[tokio::test]
async fn two_programs_do_not_share_a_data_folder() {
    let installation = Installation::new(Backends::Embedded).await;
    let _first = installation.start(&[]);
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_quaestor"))
        .arg("serve")
        .env_clear()
        .env("QUAESTOR_LISTEN", "127.0.0.1:0")
        .env("QUAESTOR_DATA_DIR", installation.folder())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another quaestor uses the data folder"), "{said}");
}
