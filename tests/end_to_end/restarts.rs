//! The servers are restarted one after another under two fronts and three workers that
//! are busy: nothing is lost, nothing happens twice, and every socket ends with the whole
//! text.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::installation::{Installation, KEY};
use crate::program::{Process, Program, long_report};
use crate::resume::Watching;
use crate::servers::Servers;

/// Clients that ask, each in a conversation of its own.
const CLIENTS: usize = 8;
/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client was promised.
struct Promised {
    conversation: String,
    job: String,
    answer: String,
    /// What its socket told, if nothing was missing in it.
    told: Option<String>,
}

/// How far the clients are.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) answered: AtomicUsize,
    /// Whether all was done that they are to live through.
    pub(crate) done: AtomicBool,
}

impl Progress {
    /// Returns when so many more questions were answered.
    pub(crate) async fn wait_for(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        let until = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < until, "no more answers came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Asks until the servers were all restarted, and watches each answer on the other front.
async fn ask_on(fronts: [String; 2], number: usize, progress: Arc<Progress>) -> Vec<Promised> {
    let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (asked_at, watched_at) = (&fronts[number % 2], fronts[(number + 1) % 2].as_str());
    let asked_at = [asked_at.as_str()];
    let made = accepted(&client, &asked_at, "/api/conversations", &json!({}), None).await;
    let conversation = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/conversations/{conversation}/messages");
    let mut promised = Vec::new();
    for question in 0.. {
        let bond = (number * 7 + question) % 40;
        let body = json!({"content": format!("What was the market value of bond {bond} in 2025?")});
        let key = format!("{number}-{question}");
        let asked = accepted(&client, &asked_at, &path, &body, Some(&key)).await;
        let job = asked["job_id"].as_str().unwrap().to_owned();
        let mut watching = Watching::of(&[watched_at], &job);
        watching.until_the_end(PATIENCE).await;
        promised.push(Promised {
            conversation: conversation.clone(),
            job,
            answer: asked["answer_id"].as_str().unwrap().to_owned(),
            told: watching.told().map(str::to_owned),
        });
        progress.answered.fetch_add(1, Ordering::Relaxed);
        if progress.done.load(Ordering::Relaxed) {
            break;
        }
    }
    promised
}

/// Sends a request until one of the fronts accepts it, always under the same key: an
/// answer that was lost on the way must not become a second question.
pub(crate) async fn accepted(
    client: &Client,
    fronts: &[&str],
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> Value {
    let until = Instant::now() + PATIENCE;
    for front in fronts.iter().cycle() {
        let url = format!("{front}{path}");
        let mut request = client.post(&url).bearer_auth(KEY).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let said = match request.send().await {
            Ok(response) if response.status().is_success() => match response.json().await {
                Ok(accepted) => return accepted,
                Err(error) => error.to_string(),
            },
            Ok(response) if response.status().is_server_error() => response.status().to_string(),
            Ok(response) => panic!("{url}: {} {:?}", response.status(), response.text().await),
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < until, "{url} was not accepted: {said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there is no front")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_servers_lose_nothing_and_repeat_nothing() {
    let servers = Servers::own();
    let installation = Installation::on(servers.clone()).await;
    let fronts: Vec<Process> = (0..2).map(|_| installation.process("front", &[])).collect();
    let _workers: Vec<Process> = (0..3).map(|_| installation.process("worker", &[])).collect();
    let addresses = [fronts[0].address.clone(), fronts[1].address.clone()];
    let program = Program::of(fronts);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;

    let progress = Arc::new(Progress::default());
    let tasks = TaskTracker::new();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| tasks.spawn(ask_on(addresses.clone(), number, progress.clone())))
        .collect();
    for server in ["rabbitmq", "redis", "postgres"] {
        let servers = servers.clone();
        tokio::task::spawn_blocking(move || servers.restart(server)).await.unwrap();
        progress.wait_for(2 * CLIENTS).await;
    }
    progress.done.store(true, Ordering::Relaxed);
    let mut promised = Vec::new();
    for asked in asking {
        promised.extend(asked.await.unwrap());
    }

    assert!(promised.len() >= 6 * CLIENTS, "too little was asked: {}", promised.len());
    let jobs: BTreeSet<&str> = promised.iter().map(|promise| promise.job.as_str()).collect();
    assert_eq!(jobs.len(), promised.len(), "a question was accepted twice");
    let mut whole = 0;
    for promise in &promised {
        let job = program.wait_for_job(&promise.job).await;
        assert_eq!(job["state"], "done", "{job}");
        let answer = program.answer(&promise.conversation, &promise.answer).await;
        assert_eq!(answer["state"], "done", "{answer}");
        if let Some(told) = &promise.told {
            assert_eq!(told, answer["content"].as_str().unwrap());
            whole += 1;
        }
    }
    assert!(whole * 2 > promised.len(), "only {whole} of {} streams were whole", promised.len());
    let listed = program.get("/api/jobs?kind=chat&limit=200").await;
    let listed = listed["items"].as_array().unwrap();
    assert!(listed.len() >= promised.len().min(200), "{} jobs are listed", listed.len());
    for job in listed {
        assert_eq!(job["state"], "done", "{job}");
    }
}
