//! The check of what is stored finds what does not agree, goes on after a kill, and mends what
//! can be made from what is there.

use std::time::Duration;

use quaestor_model_server::{ModelServer, Operation, Reply, Vectors};
use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::tamper;
use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};
use crate::schedules::{SOON, begin, ended};

on_both!(what_does_not_agree_is_found_and_vectors_are_made, a_killed_check_goes_on,);

const RUN: &str = "/api/admin/schedules/check/run";

async fn models() -> ModelServer {
    ModelServer::answering(|request| match request.operation {
        Operation::Embed => Reply::vectors(Vectors::Good(8)),
        _ => Reply::sensible(request),
    })
    .await
}

/// Runs a check to its end. Returns the run.
async fn check(program: &Program, before: usize, body: Value) -> Value {
    begin(program, "check", body).await;
    let run = ended(program, "check", before + 1).await[0].clone();
    assert_eq!(run["state"], "done", "{run}");
    run
}

/// How many there are of each kind.
fn counts(run: &Value) -> Vec<(String, u64)> {
    let findings = run["report"]["findings"].as_array().unwrap().iter();
    findings
        .map(|one| (one["kind"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap()))
        .collect()
}

fn of(document: &str, change: &str) -> String {
    let bare = document.replace('-', "");
    format!(
        "UPDATE versions SET {change}
         WHERE replace(lower(CAST(document_id AS TEXT)), '-', '') = '{bare}'"
    )
}

/// The same, where ids are bytes.
fn statement(backends: Backends, document: &str, change: &str) -> String {
    match backends {
        Backends::Distributed => of(document, change),
        Backends::Embedded => {
            let bare = document.replace('-', "");
            format!("UPDATE versions SET {change} WHERE hex(document_id) = upper('{bare}')")
        }
    }
}

async fn what_does_not_agree_is_found_and_vectors_are_made(backends: Backends) {
    let models = models().await;
    let (base, read) = (models.openai_url(), "100");
    let environment = [
        SOON[0],
        SOON[1],
        ("QUAESTOR_EMBED", "openai:first"),
        ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "8"),
        ("OPENAI_BASE_URL", base.as_str()),
        ("OPENAI_API_KEY", "sk-none"),
        ("QUAESTOR_CHECK__READ_PERCENT", read),
    ];
    let installation = Installation::new(backends).await;
    let program = installation.start(&environment);
    let collection = program.make_collection("reports").await;
    let mut documents = Vec::new();
    for number in 0..4 {
        let name = format!("report-{number}.md");
        let upload = program.upload(&collection, &name, long_report(4 + number)).await.unwrap();
        let item = &upload["items"][0];
        program.wait_for_job(item["job_id"].as_str().unwrap()).await;
        documents.push(item["document_id"].as_str().unwrap().to_owned());
    }
    let run = check(&program, 0, json!({})).await;
    assert_eq!(counts(&run), [], "{run}");
    let checked = &run["report"]["checked"];
    assert_eq!((&checked["versions"], &checked["files_read"]), (&4.into(), &4.into()), "{run}");
    assert_eq!(checked["passages"], checked["vectors"], "{run}");

    for (document, change) in [
        (&documents[0], "object_key = object_key || '0'"),
        (&documents[1], "size_bytes = size_bytes + 1"),
        (&documents[2], "sha256 = replace(sha256, substr(sha256, 1, 8), 'ffffffff')"),
        (&documents[3], "chunks = chunks + 2"),
    ] {
        tamper(&installation, &statement(backends, document, change)).await;
    }
    let last = "(SELECT max(key) FROM chunks)";
    tamper(&installation, &format!("DELETE FROM vectors WHERE chunk_key = {last}")).await;
    let run = check(&program, 1, json!({})).await;
    let mut expected = vec![
        ("file_missing".to_owned(), 1),
        ("file_size".to_owned(), 1),
        ("file_hash".to_owned(), 1),
        ("passages".to_owned(), 2),
        ("vector_missing".to_owned(), 1),
    ];
    if backends == Backends::Embedded {
        expected.push(("vector_index".to_owned(), 1));
    }
    assert_eq!(counts(&run), expected, "{run}");
    let missing = &run["report"]["findings"][0]["examples"][0];
    assert!(missing["subject"].as_str().unwrap().contains(&documents[0]), "{missing}");

    // The command says so with its exit code, and nothing is gone.
    let server = program.address().to_owned();
    let connection =
        [("QUAESTOR_SERVER", server.as_str()), ("QUAESTOR_API_KEY", crate::installation::KEY)];
    let output = installation.command(&["check", "--last"]).envs(connection).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("file_missing"), "{said}");

    let run = check(&program, 2, json!({"repair": true})).await;
    assert_eq!(run["report"]["repaired_documents"], 1, "{run}");
    for _ in 0..3_000 {
        let jobs = program.get("/api/jobs?kind=documents&state=done").await;
        if jobs["items"].as_array().unwrap().len() == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let run = check(&program, 3, json!({})).await;
    assert!(!counts(&run).iter().any(|(kind, _)| kind == "vector_missing"), "{run}");
    let metrics = program.send(Method::GET, "/metrics", None).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("quaestor_check_findings{kind=\"passages\"} 2"), "{metrics}");
}

async fn a_killed_check_goes_on(backends: Backends) {
    let installation = Installation::new(backends).await;
    let plan = [SOON[0], SOON[1], ("QUAESTOR_FAIL_AT", "check.mid_way:3=kill")];
    let mut program = installation.start(&plan);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(3)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    // It may die before it has answered.
    for _ in 0..200 {
        let asked = program.send(Method::POST, RUN, Some(json!({}))).await;
        if asked.is_err() || asked.is_ok_and(|asked| asked.status() == 202) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(program.death().await, "the program did not come to the point\n{}", program.log());
    drop(program);
    let program = installation.start(&SOON);
    let runs = ended(&program, "check", 1).await;
    assert_eq!((runs.len(), &runs[0]["state"]), (1, &"done".into()), "{runs:?}");
    // What was looked at before the kill was not looked at again.
    assert_eq!(runs[0]["report"]["checked"]["versions"], 1, "{runs:?}");
    assert_eq!(runs[0]["report"]["findings"], json!([]), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_workspace_that_is_not_there_is_found() {
    let installation = Installation::new(Backends::Embedded).await;
    let program = installation.start(&SOON);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(3)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let nobodys = "018f0000-0000-7000-8000-000000000001";
    let folder = installation.folder().join("objects/objects").join(nobodys).join("uploads");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("018f0000-0000-7000-8000-000000000002"), "left behind").unwrap();
    let run = check(&program, 0, json!({})).await;
    assert_eq!(counts(&run), [("file_unnamed".to_owned(), 1)], "{run}");
    let example = &run["report"]["findings"][0]["examples"][0];
    assert!(example["subject"].as_str().unwrap().contains(nobodys), "{example}");
    assert!(folder.join("018f0000-0000-7000-8000-000000000002").exists(), "nothing is removed");
}
