//! Whoever changes the audit log behind the program's back is found out, by the place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection};

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::model::Model;
use crate::program::{Program, long_report};

on_both!(what_is_changed_removed_or_cut_off_is_found_by_its_place);

/// Each effect has its entry; gives how many there are of each.
async fn effects(program: &Program) -> BTreeMap<&'static str, usize> {
    let collection = program.make_collection("reports").await;
    let mut documents = Vec::new();
    for number in 0..3 {
        let text = long_report(2 + number);
        let upload = program.upload(&collection, &format!("{number}.md"), text).await.unwrap();
        program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
        documents.push(upload["items"][0]["document_id"].as_str().unwrap().to_owned());
    }
    let conversation = program.make_conversation().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let asked = program.post(&path, json!({"content": "What was bond 1 worth?"})).await;
        jobs.push(asked["job_id"].as_str().unwrap().to_owned());
    }
    program.post(&format!("/api/jobs/{}/cancel", jobs[0]), json!({})).await;
    for job in &jobs {
        program.wait_for_job(job).await;
    }
    // One that has ended is not cancelled: there is no effect, and no entry.
    program.post(&format!("/api/jobs/{}/cancel", jobs[0]), json!({})).await;
    let key = program.post("/api/admin/keys", json!({"name": "x", "role": "viewer"})).await;
    let key = format!("/api/admin/keys/{}", key["id"].as_str().unwrap());
    for path in [key, format!("/api/documents/{}", documents[0])] {
        let gone = program.send(reqwest::Method::DELETE, &path, None).await.unwrap();
        assert!(gone.status().is_success(), "{path}: {}", gone.status());
    }
    let budget = json!({"day_hard_micros": 9_000_000});
    let set = program.send(reqwest::Method::PUT, "/api/admin/budgets/workspace", Some(budget));
    assert!(set.await.unwrap().status().is_success());
    BTreeMap::from([
        ("collection.create", 1),
        ("document.upload", 3),
        ("question.ask", 4),
        ("job.cancel", 1),
        // The first one is the installation's.
        ("key.create", 2),
        ("key.revoke", 1),
        ("document.delete", 1),
        ("budget.set", 1),
    ])
}

/// What `quaestor audit verify` says.
fn verify(installation: &Installation, program: &Program, kept: Option<&str>) -> Value {
    let mut arguments = vec!["audit", "verify", "--json"];
    arguments.extend(kept.iter().flat_map(|link| ["--kept", link]));
    let output = installation
        .command(&arguments)
        .env("QUAESTOR_SERVER", &program.address)
        .env("QUAESTOR_API_KEY", KEY)
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(said["whole"] == true, output.status.success(), "{said}");
    said
}

/// Runs a statement behind the program's back.
pub(crate) async fn tamper(installation: &Installation, statement: &str) {
    let sql = AssertSqlSafe(statement.to_owned());
    match installation.backends {
        Backends::Embedded => {
            let file = installation.folder().join("quaestor.db");
            let url = format!("sqlite:{}", file.display());
            let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
            database.close().await.unwrap();
        }
        Backends::Distributed => {
            let url = installation.setting("QUAESTOR_DATABASE_URL");
            let mut database = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
            database.close().await.unwrap();
        }
    }
}

fn breaks(said: &Value) -> Vec<(String, u64)> {
    let breaks = said["breaks"].as_array().unwrap().iter();
    breaks
        .map(|one| (one["kind"].as_str().unwrap().to_owned(), one["number"].as_u64().unwrap_or(0)))
        .collect()
}

fn entry(number: u64) -> String {
    format!("(SELECT entry_id FROM audit_seals WHERE number = {number})")
}

async fn what_is_changed_removed_or_cut_off_is_found_by_its_place(backends: Backends) {
    let installation = Installation::new(backends).await;
    let model = Model::start(40, Duration::from_millis(50)).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_AUDIT__SEAL_AFTER_S", "1"));
    let program = installation.start(&environment);
    let effects = effects(&program).await;
    let listed = program.get("/api/admin/audit?limit=200").await;
    let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in listed["items"].as_array().unwrap() {
        *entries.entry(entry["action"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(entries, effects, "each effect has its entry, and each entry its effect");

    let all: u64 = effects.values().sum::<usize>() as u64;
    let until = Instant::now() + Duration::from_secs(60);
    let whole = loop {
        let said = verify(&installation, &program, None);
        assert_eq!(said["whole"], true, "{said}");
        if said["unsealed"] == 0 {
            break said;
        }
        assert!(Instant::now() < until, "{said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((whole["links"].as_u64(), whole["head"]["number"].as_u64()), (Some(all), Some(all)));
    let kept = format!("{all}:{}", whole["head"]["hash"].as_str().unwrap());
    assert_eq!(verify(&installation, &program, Some(&kept))["whole"], true);

    let mut expected = Vec::new();
    let changed = format!("UPDATE audit_log SET subject = 'another' WHERE id = {}", entry(3));
    tamper(&installation, &changed).await;
    expected.push(("changed".to_owned(), 3));
    assert_eq!(breaks(&verify(&installation, &program, None)), expected);

    tamper(&installation, &format!("DELETE FROM audit_log WHERE id = {}", entry(5))).await;
    expected.push(("removed".to_owned(), 5));
    assert_eq!(breaks(&verify(&installation, &program, None)), expected);

    // Two entries change places, in what they say of when they were.
    tamper(
        &installation,
        "UPDATE audit_seals SET number = -1 WHERE number = 7;
         UPDATE audit_seals SET number = 7 WHERE number = 8;
         UPDATE audit_seals SET number = 8 WHERE number = -1;",
    )
    .await;
    let said = breaks(&verify(&installation, &program, None));
    assert!(said.contains(&("changed".to_owned(), 7)), "{said:?}");
    assert!(said.contains(&("reordered".to_owned(), 8)), "{said:?}");

    tamper(
        &installation,
        &format!(
            "DELETE FROM audit_log WHERE id IN {};
             DELETE FROM audit_seals WHERE number >= {all};",
            entry(all)
        ),
    )
    .await;
    let said = verify(&installation, &program, Some(&kept));
    assert!(breaks(&said).contains(&("cut".to_owned(), all)), "{said}");
    assert_eq!(said["lost"], json!([kept]), "{said}");
}
