//! PostgreSQL is brought back to a moment, as README.md says, with the product's data in it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::installation::Installation;
use crate::program::{Program, long_report};
use crate::servers::Servers;

/// Runs a step of the rehearsal. Returns what it prints.
fn rehearse(folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/rehearse-recovery.sh");
    let output = Command::new(script).arg(folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Reports of different lengths are different files.
async fn upload(program: &Program, collection: &str, name: &str, sections: usize) -> String {
    let upload = program.upload(collection, name, long_report(sections)).await.unwrap();
    let item = &upload["items"][0];
    program.wait_for_job(item["job_id"].as_str().unwrap()).await;
    item["document_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_database_comes_back_to_a_moment() {
    let servers = Servers::own();
    let folder = servers.own_folder().to_path_buf();
    rehearse(&folder, &["begin"]);
    let installation = Installation::on(servers.clone()).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("reports").await;
    let before = upload(&program, &collection, "before.md", 5).await;
    let moment = rehearse(&folder, &["moment"]);
    let after = upload(&program, &collection, "after.md", 6).await;
    drop(program);
    let told = rehearse(&folder, &["recover", &moment]);
    assert!(told.contains("recovered to"), "{told}");

    let program = installation.start(&[]);
    let found = program.get(&format!("/api/documents/{before}")).await;
    assert_eq!(found["status"], "ready", "{found}");
    let path = format!("/api/documents/{after}");
    let gone = program.send(reqwest::Method::GET, &path, None).await.unwrap();
    assert_eq!(gone.status(), 404);
    let found = program.post("/api/search", json!({"query": "market value of bond 3"})).await;
    assert!(!found["passages"].as_array().unwrap().is_empty(), "{found}");
    // And it goes on from there.
    upload(&program, &collection, "later.md", 7).await;
}
