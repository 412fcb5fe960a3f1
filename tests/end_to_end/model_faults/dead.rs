//! Jobs that die of their model: kept with what went wrong, replayed once it is mended.

use std::time::{Duration, Instant};

use futures::StreamExt;
use quaestor_model_server::{Operation, Reply};
use serde_json::{Value, json};

use super::desk::{Desk, good, words};
use crate::installation::{Backends, KEY, on_both};

on_both!(
    a_job_that_dies_is_listed_replayed_and_done,
    a_replay_of_what_is_done_asks_no_provider,
    a_job_that_is_tried_again_says_why,
);

fn chats(desk: &Desk) -> usize {
    desk.server.calls_of(Operation::Chat).len()
}

/// What the command line says to an administrator.
fn cli(desk: &Desk, arguments: &[&str]) -> String {
    let mut all = arguments.to_vec();
    all.extend(["--server", &desk.program.address]);
    desk.installation.run_with(&all, &[("QUAESTOR_API_KEY", KEY)])
}

async fn a_job_that_dies_is_listed_replayed_and_done(backends: Backends) {
    let desk = Desk::open_with(backends, &[("QUAESTOR_JOBS__MAX_ATTEMPTS", "2")]).await;
    desk.server.respond(|_| Reply::error(500, "server_error"));
    let accepted = desk.accept().await;
    let asked = desk.ended(&accepted).await;
    let job = accepted.1.as_str();
    assert_eq!((asked.state(), asked.problem()), ("dead", "too_many_attempts"), "{asked:#?}");
    // What went wrong, and not only that it was too often.
    let told = asked.job["problem"]["detail"].as_str().unwrap();
    assert!(told.contains("the model") && told.contains("2 times"), "{told}");
    let letter = desk.program.get(&format!("/api/admin/dead/{job}")).await;
    let code = letter["code"].as_str().unwrap();
    assert!(code.starts_with("model_"), "{letter}");
    assert_eq!((&letter["kind"], &letter["step"]), (&json!("chat"), &json!("chat.generate")));
    assert_eq!(letter["payload"]["answer_id"], accepted.2.as_str());
    assert!(letter["worker_id"].is_string() && letter["attempts"].as_u64() >= Some(2), "{letter}");
    assert!(letter["first_failed_at"].as_str() < letter["died_at"].as_str(), "{letter}");
    assert!(!letter.to_string().contains("sk-none"), "{letter}");

    let groups = cli(&desk, &["dead", "list", "--group"]);
    assert!(groups.lines().any(|line| line.trim_start().starts_with("1  ") && line.contains(code)));
    let list = cli(&desk, &["dead", "list", "--code", code]);
    assert!(list.contains(job) && list.contains("chat.generate"), "{list}");
    let shown = cli(&desk, &["dead", "show", job]);
    assert!(shown.contains(code) && shown.contains("first error"), "{shown}");
    let shown = cli(&desk, &["jobs", "show", job]);
    assert!(shown.contains("dead") && shown.contains("given up"), "{shown}");

    // Mended.
    desk.server.respond(|_| good());
    let said = cli(&desk, &["dead", "replay", job]);
    assert!(said.contains("replayed"), "{said}");
    let again = desk.ended(&accepted).await;
    again.is_whole(&words(12).text());
    let kinds = again.kinds();
    assert_eq!(kinds[..3], ["queued", "restarted", "started"], "{kinds:?}");
    assert_eq!(again.job["problem"], Value::Null);
    assert_eq!(again.message["error"], Value::Null);
    assert!(cli(&desk, &["dead", "list"]).is_empty());
    // The bill has every request of both lives.
    desk.check_bill().await;
    let log = desk.program.get("/api/admin/audit").await;
    assert!(
        log["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| { entry["action"] == "dead.replay" && entry["subject"] == job })
    );
}

/// F47: of many jobs that are replayed, those that are done cost nothing.
async fn a_replay_of_what_is_done_asks_no_provider(backends: Backends) {
    const EACH: usize = 6;
    let desk = Desk::open_with(backends, &[("QUAESTOR_JOBS__MAX_ATTEMPTS", "2")]).await;
    desk.server.respond(|_| good());
    let mut done = Vec::new();
    for _ in 0..EACH {
        let accepted = desk.accept().await;
        desk.ended(&accepted).await.is_whole(&words(12).text());
        done.push(accepted);
    }
    // Nonsense, each time.
    desk.server.respond(|_| Reply::json(json!({"no": "answer"})));
    let mut dead = Vec::new();
    for _ in 0..EACH {
        let accepted = desk.accept().await;
        let asked = desk.ended(&accepted).await;
        assert_eq!(asked.state(), "dead", "{asked:#?}");
        dead.push(accepted);
    }
    desk.server.respond(|_| good());
    let before = chats(&desk);
    let all = done.iter().chain(&dead).map(|accepted| accepted.1.as_str()).collect::<Vec<_>>();
    let body = json!({ "ids": all, "rate_per_minute": 6000 });
    let report = desk.program.post("/api/admin/dead/replay", body.clone()).await;
    assert_eq!((&report["replayed"], &report["skipped"]), (&json!(EACH), &json!(EACH)), "{report}");
    for accepted in &dead {
        desk.ended(accepted).await.is_whole(&words(12).text());
    }
    // And all of them once more.
    let report = desk.program.post("/api/admin/dead/replay", body).await;
    assert_eq!(report["replayed"], json!(0), "{report}");
    for accepted in &done {
        desk.ended(accepted).await.is_whole(&words(12).text());
    }
    assert_eq!(chats(&desk) - before, EACH, "a call for each that was dead, and no other");
    desk.check_bill().await;
}

async fn a_job_that_is_tried_again_says_why(backends: Backends) {
    let desk = Desk::open(backends).await;
    let wait = |reply: Reply| reply.header("retry-after", "3");
    desk.server.push(wait(Reply::error(429, "rate_limit_exceeded")));
    desk.server.push(good());
    let accepted = desk.accept().await;
    let until = Instant::now() + Duration::from_secs(60);
    let path = format!("/api/jobs/{}", accepted.1);
    let waiting = loop {
        let job = desk.program.get(&path).await;
        if job["state"] == "waiting" {
            break job;
        }
        assert!(Instant::now() < until, "it does not wait: {job}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(waiting["reason"], "model_overloaded", "{waiting}");
    assert_eq!(waiting["last_error"]["code"], "model_overloaded", "{waiting}");
    assert!(waiting["last_error"]["detail"].is_string() && waiting["until"].is_string());
    let shown = cli(&desk, &["jobs", "show", &accepted.1]);
    assert!(shown.contains("has too much to do") && shown.contains("last try"), "{shown}");
    desk.ended(&accepted).await.is_whole(&words(12).text());
    assert_eq!(desk.program.get(&path).await["last_error"], Value::Null, "it is done");
    // Somebody who watches from the beginning is not told of the end twice.
    let url = format!("{}{path}/events", desk.program.address);
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(60));
    let response = client.build().unwrap().get(url).bearer_auth(KEY).send().await.unwrap();
    let mut bytes = response.bytes_stream();
    let mut text = String::new();
    while let Some(piece) = bytes.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert_eq!(text.matches("event: done").count(), 1, "{text}");
}
