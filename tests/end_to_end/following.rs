//! A worker goes on with the answer of a question by itself while it has a slot, and queues
//! it where it has none; the client cannot tell which it was.

use std::time::Duration;

use crate::installation::{Backends, Installation, KEY};
use crate::model::Model;
use crate::program::{Process, Program, long_report};

/// Questions that are asked at once, more than there are slots.
const QUESTIONS: usize = 6;

/// How many steps `chat.retrieve` of a process have come out in a way.
async fn retrieved(worker: &str, outcome: &str) -> usize {
    let url = format!("{worker}/metrics");
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let answer = client.get(url).bearer_auth(KEY).send().await.unwrap();
    let text = answer.error_for_status().unwrap().text().await.unwrap();
    let counted = text.lines().find(|line| {
        line.starts_with("quaestor_steps_total{")
            && line.contains("step=\"chat.retrieve\"")
            && line.contains(&format!("outcome=\"{outcome}\""))
    });
    counted.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_follows_at_once_or_is_queued_and_is_whole_either_way() {
    let model = Model::start(30, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "1"));
    let front = installation.process("front", &environment);
    let worker: Process = installation.process("worker", &environment);
    let program = Program::of(vec![front]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;

    let asking = (0..QUESTIONS).map(|_| async {
        let conversation = program.make_conversation().await;
        let path = format!("/api/conversations/{conversation}/messages");
        let question = serde_json::json!({"content": "What was the market value of bond 2?"});
        let asked = program.post(&path, question).await;
        (conversation, asked)
    });
    for (conversation, asked) in futures::future::join_all(asking).await {
        let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
        assert_eq!((&job["state"], &job["attempt"]), (&"done".into(), &2.into()), "{job}");
        let answer = program.answer(&conversation, asked["answer_id"].as_str().unwrap()).await;
        assert_eq!(answer["content"], model.text());
    }
    assert_eq!(model.answers(), QUESTIONS, "each answer was written once");
    let followed = retrieved(&worker.address, "followed").await;
    let queued = retrieved(&worker.address, "advanced").await;
    assert_eq!(followed + queued, QUESTIONS);
    assert!(followed > 0, "none followed at once");
    assert!(queued > 0, "one slot was enough for {followed}");
}
