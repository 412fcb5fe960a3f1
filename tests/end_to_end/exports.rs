//! Exports: written by a worker, fetched by a link, the same after a kill, and failed with a
//! reason where a template is at fault.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};

on_both!(
    a_conversation_is_exported_in_every_format,
    tables_of_a_collection_are_exported,
    a_template_that_loops_is_a_failed_export_and_nothing_else,
    an_export_that_is_cancelled_ends_so,
);

const QUESTION: &str = "What was the market value of bond 17 in 2025?";

/// A collection with a document, and a conversation with an answer.
async fn prepared(program: &Program) -> (String, String) {
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let conversation = program.make_conversation().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let asked = program.post(&path, json!({ "content": QUESTION })).await;
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    (collection, conversation)
}

/// Asks for an export and waits for its end.
async fn export(program: &Program, body: Value) -> Value {
    let accepted = program.post("/api/exports", body).await;
    program.wait_for_job(accepted["job_id"].as_str().unwrap()).await;
    program.get(&format!("/api/exports/{}", accepted["export_id"].as_str().unwrap())).await
}

/// Fetches the file by its link, without a key, as a browser does.
async fn fetch(program: &Program, export: &Value) -> Vec<u8> {
    let url = export["url"].as_str().unwrap_or_else(|| panic!("no link: {export}"));
    let url = if url.starts_with('/') { format!("{}{url}", program.address()) } else { url.into() };
    let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    let response = client.get(&url).send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    let disposition = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(disposition.starts_with("attachment"), "{disposition}");
    let bytes = response.bytes().await.unwrap().to_vec();
    assert_eq!(export["size_bytes"], bytes.len(), "{export}");
    bytes
}

async fn a_conversation_is_exported_in_every_format(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let (_, conversation) = prepared(&program).await;
    for (format, begins) in [
        ("md", &b"# What was the market value"[..]),
        ("html", b"<!doctype html>"),
        ("pdf", b"%PDF-"),
        ("docx", b"PK"),
        ("json", b"{\"export\":"),
    ] {
        let body = json!({ "conversation_id": conversation, "format": format });
        let done = export(&program, body).await;
        assert_eq!(done["state"], "done", "{done}");
        let bytes = fetch(&program, &done).await;
        assert!(bytes.starts_with(begins), "{format}: {:?}", &bytes[..bytes.len().min(40)]);
        if ["md", "html", "json"].contains(&format) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("17221") && text.contains("halden.md"), "{text}");
        }
    }
    let messages = program.get(&format!("/api/conversations/{conversation}/messages")).await;
    let answer = &messages["items"][1]["id"];
    let done = export(&program, json!({ "message_ids": [answer], "format": "md" })).await;
    let text = String::from_utf8(fetch(&program, &done).await).unwrap();
    assert!(text.contains(QUESTION) && text.contains("17221"), "{text}");
    let listed = program.get("/api/exports").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    let out = installation.folder().join("by-hand.pdf");
    let arguments =
        ["export", "--conversation", &conversation, "--format", "pdf", "--out", "by-hand.pdf"];
    let server =
        [("QUAESTOR_SERVER", program.address()), ("QUAESTOR_API_KEY", crate::installation::KEY)];
    let said = installation.run_with(&arguments, &server);
    assert!(said.contains("by-hand.pdf") && said.contains("sha256"), "{said}");
    assert!(std::fs::read(out).unwrap().starts_with(b"%PDF-"));
}

async fn tables_of_a_collection_are_exported(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let (collection, _) = prepared(&program).await;
    let sheet = "Line,2025,2024\nNet sales,\"94,036\",\"85,777\"\n=cmd|x,-5,@home\n";
    let upload = program.upload(&collection, "sales.csv", sheet).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    for format in ["csv", "xlsx", "json", "md", "html"] {
        let body = json!({ "collection_id": collection, "format": format });
        let done = export(&program, body).await;
        assert_eq!(done["state"], "done", "{done}");
        let bytes = fetch(&program, &done).await;
        if format != "xlsx" {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("94,036"), "{format}: {text}");
            assert!(text.contains("Market value of bond 40"), "{format}: {text}");
        }
        if format == "csv" {
            let again = export(&program, json!({ "collection_id": collection, "format": "csv" }));
            let again = fetch(&program, &again.await).await;
            let text = String::from_utf8(again).unwrap();
            assert!(text.contains("'=cmd|x,-5,'@home"), "{text}");
            let rows: Vec<&str> = text.lines().filter(|line| line.contains("Nominal")).collect();
            assert_eq!(rows.len(), 40, "each row stands there once");
        }
    }
    let document = &upload["items"][0]["document_id"];
    let done = export(&program, json!({ "document_ids": [document], "format": "csv" })).await;
    let text = String::from_utf8(fetch(&program, &done).await).unwrap();
    assert!(text.contains("Net sales") && !text.contains("bond"), "{text}");

    // What holds no table fails, and says so.
    let upload = program.upload(&collection, "note.txt", "Only words here.").await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let document = &upload["items"][0]["document_id"];
    let failed = export(&program, json!({ "document_ids": [document], "format": "xlsx" })).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(failed["problem"]["code"], "nothing_to_export");
    assert_eq!(failed["url"], Value::Null);
}

async fn a_template_that_loops_is_a_failed_export_and_nothing_else(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[("QUAESTOR_EXPORTS__CPU_S", "2")]);
    let (_, conversation) = prepared(&program).await;
    let set = async |name: &str, source: &str| {
        let path = format!("/api/export-templates/{name}");
        let body = Some(json!({ "source": source }));
        assert_eq!(program.send(Method::PUT, &path, body).await.unwrap().status(), 200);
    };
    // Typst stops `while` loops that go round too often by itself, and no others.
    set("slow", "#{ let x = 0; for i in range(100000) { for j in range(100000) { x = x + j } } }")
        .await;
    set("greedy", "#{ let x = \"abcdefgh\" * 1000; for i in range(40) { x = x + x } }").await;
    set("broken", "= Report\n\n#json(\"/export.json\").nothing").await;
    set("house", "#let data = json(\"/export.json\")\n= #data.cover.title").await;
    let body =
        |name: &str| json!({ "conversation_id": conversation, "format": "pdf", "template": name });
    for (name, told) in [("slow", "template slow version 1"), ("greedy", "template greedy")] {
        let failed = export(&program, body(name)).await;
        assert_eq!(failed["state"], "failed", "{failed}");
        assert_eq!(failed["problem"]["code"], "export_limit_reached", "{failed}");
        assert!(failed["problem"]["detail"].as_str().unwrap().contains(told), "{failed}");
    }
    let failed = export(&program, body("broken")).await;
    let problem = &failed["problem"];
    assert_eq!((&failed["state"], &problem["code"]), (&json!("failed"), &json!("template_failed")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("template broken version 1, line 3: "), "{detail}");
    let done = export(&program, body("house")).await;
    assert_eq!(done["template"], json!({ "name": "house", "version": 1 }), "{done}");
    assert!(fetch(&program, &done).await.starts_with(b"%PDF-"));
}

async fn an_export_that_is_cancelled_ends_so(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let (_, conversation) = prepared(&program).await;
    let body = json!({ "conversation_id": conversation, "format": "md" });
    let accepted = program.post("/api/exports", body).await;
    let job = accepted["job_id"].as_str().unwrap();
    program.post(&format!("/api/jobs/{job}/cancel"), json!({})).await;
    let ended = program.wait_for_job(job).await;
    // It may have been done before the wish came.
    assert!(["cancelled", "done"].contains(&ended["state"].as_str().unwrap()), "{ended}");
    let path = format!("/api/exports/{}", accepted["export_id"].as_str().unwrap());
    assert_eq!(program.get(&path).await["state"], ended["state"]);
}

#[cfg(feature = "failpoints")]
mod killed {
    use std::path::PathBuf;

    use super::*;

    on_both!(
        an_export_whose_worker_was_killed_ends_once_and_whole,
        an_export_killed_before_its_row_leaves_no_second_file,
    );

    /// Files of exports in the folder of an embedded installation.
    fn stored(installation: &Installation) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![installation.folder().join("objects/objects")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.components().any(|part| part.as_os_str() == "exports") {
                    found.push(path);
                }
            }
        }
        found
    }

    async fn killed_at(backends: Backends, point: &str) -> (Installation, Program, Value) {
        let installation = Installation::new(backends).await;
        let program = installation.start(&[]);
        let (collection, _) = prepared(&program).await;
        let body = json!({ "collection_id": collection, "format": "csv" });
        let whole = export(&program, body.clone()).await;
        let whole = whole["sha256"].clone();
        drop(program);
        let plan = format!("{point}=kill");
        let mut program = installation.start(&[("QUAESTOR_FAIL_AT", &plan)]);
        let accepted = program.post("/api/exports", body).await;
        assert!(program.wait_for_death(), "the program did not come to {point}");
        drop(program);
        let program = installation.start(&[]);
        let job = program.wait_for_job(accepted["job_id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "done", "{point}: {job}");
        let path = format!("/api/exports/{}", accepted["export_id"].as_str().unwrap());
        let done = program.get(&path).await;
        fetch(&program, &done).await;
        assert_eq!(done["sha256"], whole, "the same bytes as an export that nothing disturbed");
        (installation, program, done)
    }

    async fn an_export_whose_worker_was_killed_ends_once_and_whole(backends: Backends) {
        let (installation, program, done) = killed_at(backends, "export.mid_write").await;
        let events = program
            .send(
                Method::GET,
                &format!("/api/jobs/{}/events", done["job_id"].as_str().unwrap()),
                None,
            )
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert_eq!(
            events.matches("event: done").count().max(events.matches("\"done\"}").count()),
            1
        );
        if backends == Backends::Embedded {
            // The file of the undisturbed export, and of this one.
            assert_eq!(stored(&installation).len(), 2);
        }
    }

    async fn an_export_killed_before_its_row_leaves_no_second_file(backends: Backends) {
        let (installation, _program, _) = killed_at(backends, "export.before_finish").await;
        if backends == Backends::Embedded {
            assert_eq!(stored(&installation).len(), 2, "what the first attempt left is removed");
        }
    }
}
