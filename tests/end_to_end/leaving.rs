//! Processes that are told to stop while clients are busy: a worker ends or hands back what
//! it runs, a front sends its sockets to another one, and every client gets its whole text.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::installation::{Backends, Installation};
use crate::model::Model;
use crate::program::{Process, Program, long_report};
use crate::restarts::{Progress, accepted};
use crate::resume::Watching;

/// Clients that ask, each in a conversation of its own.
const CLIENTS: usize = 8;
/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// The code of a socket whose server goes away.
const GOING_AWAY: u16 = 1001;
/// How long a front stays, as the installation of the tests says.
const LEAVE: Duration = Duration::from_secs(1);

/// A question, its answer, and what was told of it.
struct Asked {
    conversation: String,
    job: String,
    answer: String,
    watching: Watching,
}

/// Asks one question in a new conversation; fronts that do not answer are passed over.
async fn ask(client: &Client, fronts: &[&str], watched_at: &[&str], key: &str) -> Asked {
    let made = accepted(client, fronts, "/api/conversations", &json!({}), Some(key)).await;
    let conversation = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({"content": "What was the market value of bond 17 in 2025?"});
    let asked = accepted(client, fronts, &path, &body, Some(&format!("{key}-asked"))).await;
    let job = asked["job_id"].as_str().unwrap().to_owned();
    let watching = Watching::of(watched_at, &job);
    let answer = asked["answer_id"].as_str().unwrap().to_owned();
    Asked { conversation, job, answer, watching }
}

fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

/// Asks until all was done, and watches each answer to its end.
async fn ask_on(fronts: [String; 2], number: usize, progress: Arc<Progress>) -> Vec<Asked> {
    let client = client();
    let at = |first: usize| [fronts[first % 2].as_str(), fronts[(first + 1) % 2].as_str()];
    let mut all = Vec::new();
    for question in 0.. {
        let key = format!("{number}-{question}");
        let mut asked = ask(&client, &at(number), &at(number / 2), &key).await;
        asked.watching.until_the_end(PATIENCE).await;
        all.push(asked);
        progress.answered.fetch_add(1, Ordering::Relaxed);
        if progress.done.load(Ordering::Relaxed) {
            break;
        }
    }
    all
}

/// Puts a document there that questions are about.
async fn fill(program: &Program) {
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
}

/// Holds what was told of a question to what is stored, and gives the job's attempts.
async fn check(program: &Program, asked: &Asked, text: &str) -> u64 {
    let job = program.wait_for_job(&asked.job).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(asked.watching.told(), Some(text), "{job}");
    let answer = program.answer(&asked.conversation, &asked.answer).await;
    assert_eq!(answer["content"], text, "{job}");
    job["attempt"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_and_then_a_front_leave_and_every_client_gets_its_whole_text() {
    let model = Model::start(60, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    // Only an orderly end is as fast as this test wants it.
    environment.extend([("QUAESTOR_WORKERS__DRAIN_S", "60"), ("QUAESTOR_WORKERS__LEASE_S", "60")]);
    let mut leaving_front = installation.process("front", &environment);
    let front = installation.process("front", &environment);
    let mut leaving_worker = installation.process("worker", &environment);
    let _workers: Vec<Process> =
        (0..2).map(|_| installation.process("worker", &environment)).collect();
    let addresses = [leaving_front.address.clone(), front.address.clone()];
    let program = Program::of(vec![front]);
    fill(&program).await;

    let progress = Arc::new(Progress::default());
    let tasks = TaskTracker::new();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| tasks.spawn(ask_on(addresses.clone(), number, progress.clone())))
        .collect();
    progress.wait_for(2 * CLIENTS).await;

    let told_at = Instant::now();
    leaving_worker.terminate();
    let why = leaving_worker.unready().await;
    assert!(told_at.elapsed() < Duration::from_secs(1), "not ready after {:?}", told_at.elapsed());
    assert!(why.contains("it was told to stop"), "{why}");
    assert_eq!(leaving_worker.ended().await, Some(0));
    // It would never be idle, did it go on taking work.
    assert!(told_at.elapsed() < Duration::from_secs(15), "it took {:?}", told_at.elapsed());
    progress.wait_for(2 * CLIENTS).await;

    let told_at = Instant::now();
    leaving_front.terminate();
    let why = leaving_front.unready().await;
    assert!(why.contains("it was told to stop"), "{why}");
    let health = reqwest::get(format!("{}/health", leaving_front.address)).await.unwrap();
    assert_eq!(health.status(), 200, "it serves while it leaves");
    assert_eq!(leaving_front.ended().await, Some(0));
    let took = told_at.elapsed();
    assert!(took >= LEAVE && took < LEAVE + Duration::from_secs(10), "it took {took:?}");
    progress.wait_for(2 * CLIENTS).await;

    progress.done.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for asked in asking {
        all.extend(asked.await.unwrap());
    }
    let mut sent_away = 0;
    for asked in &all {
        let attempts = check(&program, asked, &model.text()).await;
        assert_eq!(attempts, 2, "both steps of job {} were run once", asked.job);
        assert_eq!(asked.watching.restarts, 0);
        assert!(asked.watching.closed.iter().all(|code| *code == GOING_AWAY));
        sent_away += asked.watching.closed.len();
    }
    assert!(sent_away > 0, "no socket was open on the front that left");
    assert_eq!(model.answers(), all.len(), "each answer was written once");
    let listed = program.get("/api/jobs?kind=chat&limit=200").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), all.len().min(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_longer_than_the_grace_is_handed_back_and_ends_elsewhere() {
    let model = Model::start(300, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    // Were the jobs not handed back, nobody could take them for a minute.
    environment.extend([("QUAESTOR_WORKERS__DRAIN_S", "1"), ("QUAESTOR_WORKERS__LEASE_S", "60")]);
    let program = Program::of(vec![installation.process("front", &environment)]);
    let mut leaving = installation.process("worker", &environment);
    fill(&program).await;
    let (client, front) = (client(), program.address.clone());
    let tasks = TaskTracker::new();
    let mut watching = Vec::new();
    for number in 0..4 {
        let mut asked = ask(&client, &[&front], &[&front], &format!("{number}")).await;
        watching.push(tasks.spawn(async move {
            asked.watching.until_the_end(PATIENCE).await;
            asked
        }));
    }
    model.wait_for(4, 80).await;
    let _staying = installation.process("worker", &environment);
    let told_at = Instant::now();
    leaving.terminate();
    assert_eq!(leaving.ended().await, Some(0));
    assert!(told_at.elapsed() < Duration::from_secs(6), "it took {:?}", told_at.elapsed());
    for asked in watching {
        let asked = asked.await.unwrap();
        assert_eq!(check(&program, &asked, &model.text()).await, 3);
        assert_eq!(asked.watching.restarts, 1);
    }
    assert_eq!(model.answers(), 8);
    assert!(told_at.elapsed() < Duration::from_secs(30), "it took {:?}", told_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_the_job_is_taken_up() {
    let model = Model::start(300, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_WORKERS__DRAIN_S", "60"));
    let program = Program::of(vec![installation.process("front", &environment)]);
    let mut killed = installation.process("worker", &environment);
    fill(&program).await;
    let front = program.address.clone();
    let mut asked = ask(&client(), &[&front], &[&front], "only").await;
    model.wait_for(1, 20).await;
    killed.terminate();
    killed.unready().await;
    let told_at = Instant::now();
    killed.terminate();
    assert_eq!(killed.ended().await, Some(1));
    assert!(told_at.elapsed() < Duration::from_secs(2), "it took {:?}", told_at.elapsed());
    let _other = installation.process("worker", &environment);
    asked.watching.until_the_end(PATIENCE).await;
    assert_eq!(check(&program, &asked, &model.text()).await, 3);
    assert_eq!(asked.watching.restarts, 1);
}
