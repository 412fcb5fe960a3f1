//! More is asked than can be answered: what is accepted is answered, what is too much is told
//! so at once and when to come again, and nothing is done that nobody waits for any more.

#![expect(clippy::print_stdout, reason = "how long refusals took is a figure of the project")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::model::Model;
use crate::program::{Program, long_report};

/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

on_both!(
    beyond_a_workspaces_limit_questions_are_refused_and_none_is_lost,
    while_the_oldest_question_waits_too_long_new_ones_are_refused,
    an_expired_question_is_not_run,
);

/// What came of a question.
struct Asked {
    status: u16,
    retry_after: Option<u64>,
    body: Value,
    took: Duration,
}

struct Asker {
    client: Client,
    address: String,
    conversation: String,
}

impl Asker {
    async fn of(program: &Program) -> Arc<Self> {
        let collection = program.make_collection("reports").await;
        let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
        program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
        Self::with_documents(program).await
    }

    /// Where the documents are there already.
    async fn with_documents(program: &Program) -> Arc<Self> {
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        let conversation = program.make_conversation().await;
        Arc::new(Self { client, address: program.address.clone(), conversation })
    }

    async fn ask(&self) -> Asked {
        let url = format!("{}/api/conversations/{}/messages", self.address, self.conversation);
        let question = json!({"content": "What was the market value of bond 2 in 2025?"});
        let asked_at = Instant::now();
        let response = self.client.post(url).bearer_auth(KEY).json(&question).send().await.unwrap();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
        let status = response.status().as_u16();
        let body = response.json().await.unwrap();
        Asked { status, retry_after, body, took: asked_at.elapsed() }
    }

    async fn ask_many(&self, questions: usize, at_once: usize) -> Vec<Asked> {
        stream::iter(0..questions).map(|_| self.ask()).buffer_unordered(at_once).collect().await
    }
}

/// Splits into the jobs of what was accepted and what was refused, all of it with this code.
fn sort(asked: Vec<Asked>, status: u16, code: &str) -> (Vec<String>, Vec<Asked>) {
    let (accepted, refused): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|asked| asked.status == 202);
    for asked in &refused {
        assert_eq!((asked.status, asked.body["code"].as_str()), (status, Some(code)));
        let wait = asked.retry_after.expect("when to come again");
        assert!((1..=30).contains(&wait), "{wait}");
    }
    let jobs = accepted.iter().map(|asked| asked.body["job_id"].as_str().unwrap().to_owned());
    (jobs.collect(), refused)
}

fn median(refused: &[Asked]) -> Duration {
    let mut took: Vec<Duration> = refused.iter().map(|asked| asked.took).collect();
    took.sort();
    took[took.len() / 2]
}

async fn ends(program: &Program, jobs: &[String]) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for job in jobs {
        let ended = program.wait_for_job(job).await;
        let code = ended["problem"]["code"].as_str().unwrap_or_default().to_owned();
        *ends.entry(format!("{} {code}", ended["state"].as_str().unwrap())).or_default() += 1;
    }
    ends
}

async fn beyond_a_workspaces_limit_questions_are_refused_and_none_is_lost(backends: Backends) {
    let model = Model::start(10, Duration::from_millis(50)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_JOBS__CHATS_PER_WORKSPACE", "40"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "100000"));
    let program = installation.start(&environment);
    let asker = Asker::of(&program).await;
    let (jobs, refused) = sort(asker.ask_many(200, 16).await, 429, "workspace_busy");
    println!(
        "{backends:?}: {} were accepted, {} refused in {:?} (median)",
        jobs.len(),
        refused.len(),
        median(&refused)
    );
    assert!(jobs.len() >= 40 && refused.len() > 50, "{} and {}", jobs.len(), refused.len());
    assert!(median(&refused) < Duration::from_millis(50), "{:?}", median(&refused));
    assert_eq!(ends(&program, &jobs).await, BTreeMap::from([("done ".to_owned(), jobs.len())]));
    assert_eq!(model.answers(), jobs.len());
    let listed = program.get("/api/jobs?kind=chat&limit=200").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), jobs.len(), "nothing else was accepted");
    assert_eq!(asker.ask().await.status, 202, "there is room again");
    let metrics = reqwest::get(format!("{}/metrics", program.address)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = format!(
        "quaestor_admissions_refused_total{{reason=\"workspace_questions\"}} {}",
        refused.len()
    );
    assert!(metrics.contains(&counted), "{counted} is not in the metrics");
}

async fn while_the_oldest_question_waits_too_long_new_ones_are_refused(backends: Backends) {
    let model = Model::start(10, Duration::from_millis(50)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_JOBS__CHAT_WAIT_S", "2"));
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE", "2"));
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "2"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "100000"));
    let program = installation.start(&environment);
    let asker = Asker::of(&program).await;
    let (mut jobs, mut refused) = (Vec::new(), Vec::new());
    let began = Instant::now();
    // Several times what can be answered, until the gate has been shut for a while.
    while refused.len() < 20 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was refused");
        let (accepted, more) = sort(asker.ask_many(5, 5).await, 503, "overloaded");
        jobs.extend(accepted);
        refused.extend(more);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(jobs.len() >= 8, "it was shut too soon: {}", jobs.len());
    assert!(median(&refused) < Duration::from_millis(50), "{:?}", median(&refused));
    assert_eq!(ends(&program, &jobs).await, BTreeMap::from([("done ".to_owned(), jobs.len())]));
    println!("{backends:?}: {} were accepted and answered, then refused", jobs.len());
    let until = Instant::now() + Duration::from_secs(10);
    while asker.ask().await.status != 202 {
        assert!(Instant::now() < until, "it stays shut");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn an_expired_question_is_not_run(backends: Backends) {
    let model = Model::start(20, Duration::from_millis(50)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_JOBS__CHAT_DEADLINE_S", "3"));
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE", "1"));
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "1"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "100000"));
    let program = installation.start(&environment);
    let asker = Asker::of(&program).await;
    let (jobs, refused) = sort(asker.ask_many(40, 8).await, 503, "overloaded");
    assert!(refused.is_empty());
    let ends = ends(&program, &jobs).await;
    let done = ends.get("done ").copied().unwrap_or_default();
    let expired = ends.get("failed deadline_passed").copied().unwrap_or_default();
    assert_eq!(done + expired, jobs.len(), "{ends:?}");
    assert!(done >= 1 && expired >= 20, "{ends:?}");
    // Those that were being written when their time was over had been asked for.
    assert!(model.answers() <= done + 4, "{} for {done}", model.answers());
    let asked_at = Instant::now();
    let fresh = asker.ask().await;
    let job = program.wait_for_job(fresh.body["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    assert!(asked_at.elapsed() < Duration::from_secs(10), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn after_an_outage_of_all_workers_the_expired_are_dropped_and_the_fresh_answered() {
    let model = Model::start(2, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_JOBS__CHAT_DEADLINE_S", "20"));
    environment.push(("QUAESTOR_JOBS__CHATS_PER_WORKSPACE", "100000"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "100000"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE", "100000"));
    // A worker was here, and is gone.
    drop(Asker::of(&installation.start(&environment)).await);
    let program = Program::of(vec![installation.process("front", &environment)]);
    let asker = Asker::with_documents(&program).await;
    let (jobs, _) = sort(asker.ask_many(3_000, 32).await, 503, "overloaded");
    assert!(jobs.len() >= 1_000, "{}", jobs.len());
    // Without any worker each of them comes to its end.
    for job in [&jobs[0], &jobs[jobs.len() - 1]] {
        let ended = program.wait_for_job(job).await;
        assert_eq!(ended["problem"]["code"], "deadline_passed", "{ended}");
    }
    // Their messages are still there, before that of a new question.
    let _worker = installation.process("worker", &environment);
    let asked_at = Instant::now();
    let fresh = asker.ask().await;
    let job = program.wait_for_job(fresh.body["job_id"].as_str().unwrap()).await;
    let took = asked_at.elapsed();
    assert_eq!(job["state"], "done", "{job}");
    println!("behind {} expired questions a new one took {took:?}", jobs.len());
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(model.answers(), 1, "no model was asked for the expired");
}
