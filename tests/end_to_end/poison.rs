//! Messages that cannot be read: kept as dead letters, and in nobody's way (F46).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::installation::{Backends, Installation, KEY};

/// Publishes a body as a stranger would.
async fn publish(installation: &Installation, routing_key: &str, body: &str) {
    let vhost = installation.setting("QUAESTOR_QUEUE_URL").rsplit_once('/').unwrap().1.to_owned();
    let base = installation.setting("QUAESTOR_QUEUE_MANAGEMENT_URL").trim_end_matches('/');
    let message = json!({
        "properties": {"headers": {"traceparent": "00-feed-beef-01"}}, "routing_key": routing_key,
        "payload": body, "payload_encoding": "string",
    });
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    let url = format!("{base}/api/exchanges/{vhost}/qs.jobs.v1/publish");
    let sent = client.post(url).json(&message).send().await.unwrap();
    let answer: Value = sent.error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["routed"], true, "{answer}");
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_kept_and_hold_nothing_up() {
    const GOOD: usize = 20;
    let installation = Installation::new(Backends::Distributed).await;
    let program = installation.start(&[]);
    let conversation = program.make_conversation().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let envelope = json!({
        "v": 1, "outbox_id": "018f0000-0000-7000-8000-000000000001",
        "job_id": "018f0000-0000-7000-8000-000000000002",
        "workspace_id": "018f0000-0000-7000-8000-000000000003",
        "principal_id": "018f0000-0000-7000-8000-000000000004",
        "step": "chat.retrieve", "payload": {}, "enqueued_at": "2026-01-02T03:04:05Z",
    });
    let with = |field: &str, value: Value| {
        let mut changed = envelope.clone();
        changed[field] = value;
        changed.to_string()
    };
    let poison = [
        "not JSON".to_owned(),
        with("step", json!("chat.sing")),
        with("v", json!(99)),
        with("payload", json!("x".repeat(4 << 20))),
    ];
    let mut asked = Vec::new();
    for number in 0..GOOD {
        if let Some(body) = poison.get(number / 4).filter(|_| number % 4 == 0) {
            publish(&installation, "chat.retrieve", body).await;
        }
        let body = json!({"content": format!("question {number}")});
        asked.push(program.post(&path, body).await["job_id"].as_str().unwrap().to_owned());
    }
    for job in &asked {
        assert_eq!(program.wait_for_job(job).await["state"], "done");
    }
    let until = Instant::now() + Duration::from_secs(60);
    let letters = loop {
        let list = program.get("/api/admin/dead?kind=message").await;
        let letters = list["items"].as_array().unwrap().clone();
        if letters.len() >= poison.len() {
            break letters;
        }
        assert!(Instant::now() < until, "they are not kept: {list}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut codes: Vec<&str> = letters.iter().map(|l| l["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    let wanted =
        ["message_too_large", "message_unreadable", "message_unreadable", "message_version"];
    assert_eq!(codes, wanted, "{letters:#?}");
    // Of a stranger's workspace nothing is shown but that it came.
    for letter in &letters {
        let id = letter["id"].as_str().unwrap();
        let whole = program.get(&format!("/api/admin/dead/{id}")).await;
        let message = &whole["message"];
        assert_eq!(message["queue"], "qs.chat.retrieve.v1", "{whole}");
        assert_eq!(message["reason"], "rejected");
        assert_eq!(whole["trace_id"], "feed");
        assert!(message["sha256"].as_str().unwrap().len() == 64);
        if message["size_bytes"] == 8 {
            assert_eq!(message["body"], "not JSON");
        } else {
            assert_eq!(message["body"], Value::Null, "{whole}");
        }
    }
    assert!(!program.get("/api/admin/stuck").await.to_string().contains("dead_queue"));
    let command = ["dead", "discard", "--all", "--kind", "message", "--server", &program.address];
    installation.run_with(&command, &[("QUAESTOR_API_KEY", KEY)]);
    let list = program.get("/api/admin/dead").await;
    assert_eq!(list["items"], json!([]), "no neighbour was taken for one of them");
}

#[cfg(feature = "failpoints")]
mod panics {
    use super::*;
    use crate::installation::on_both;

    on_both!(a_step_that_breaks_the_program_is_given_up_and_the_process_lives);

    /// F46: a handler that panics is tried three times, and nobody else is harmed.
    async fn a_step_that_breaks_the_program_is_given_up_and_the_process_lives(backends: Backends) {
        let installation = Installation::new(backends).await;
        // One after another: a plan that panics is not looked past.
        let plan = ["retrieve.before_save:1=panic"; 3].join(",");
        let program = installation.start(&[("QUAESTOR_FAIL_AT", &plan)]);
        let conversation = program.make_conversation().await;
        let path = format!("/api/conversations/{conversation}/messages");
        let asked = program.post(&path, json!({"content": "Why?"})).await;
        let job = asked["job_id"].as_str().unwrap();
        let ended = program.wait_for_job(job).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("dead"), &json!(3)), "{ended}");
        let letter = program.get(&format!("/api/admin/dead/{job}")).await;
        assert_eq!((&letter["code"], &letter["attempts"]), (&json!("handler_panicked"), &json!(3)));
        assert!(letter["detail"].as_str().unwrap().contains("fail-point"), "{letter}");
        // The same process goes on, and so does the job once the program is mended.
        let asked = program.post(&path, json!({"content": "And now?"})).await;
        let other = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
        assert_eq!(other["state"], "done", "{other}");
        let replay = format!("/api/admin/dead/{job}/replay");
        let told = program.post(&replay, json!({})).await;
        assert_eq!(told["outcome"], "replayed", "{told}");
        assert_eq!(program.wait_for_job(job).await["state"], "done");
    }
}
