//! One workspace's many questions do not hold up another's one.

#![expect(clippy::print_stdout, reason = "how long they took is a figure of the project")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::ports::store::Store;
use quaestor_faults::place::make_workspace;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::model::Model;
use crate::program::long_report;

/// Questions of the workspace that asks much.
const MANY: usize = 1_000;
/// Questions of the other, one after the other.
const FEW: usize = 12;

on_both!(a_thousand_questions_of_one_workspace_do_not_hold_up_another);

/// How long an answer was waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    time: Duration,
    /// How many answers the model began meanwhile, this one among them.
    answers: usize,
}

/// Whoever asks with a key.
struct Asker {
    client: Client,
    address: String,
    key: String,
}

impl Asker {
    fn new(address: &str, key: &str) -> Self {
        // A connection that nobody uses is closed by the server, and may be just then.
        let client = Client::builder().timeout(Duration::from_secs(120));
        let client = client.pool_idle_timeout(Duration::from_secs(5)).build().unwrap();
        Self { client, address: address.to_owned(), key: key.to_owned() }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.address));
        let request = request.bearer_auth(&self.key);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn conversation(&self) -> String {
        let made = self.send(Method::POST, "/api/conversations", Some(json!({}))).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn document(&self) {
        let collection = json!({"name": "reports"});
        let made = self.send(Method::POST, "/api/collections", Some(collection)).await;
        let bytes = long_report(4).into_bytes();
        let form = reqwest::multipart::Form::new()
            .text("collection_id", made["id"].as_str().unwrap().to_owned())
            .part("file", reqwest::multipart::Part::bytes(bytes).file_name("halden.md"));
        let url = format!("{}/api/documents", self.address);
        let sent = self.client.post(url).bearer_auth(&self.key).multipart(form).send().await;
        let accepted: Value = sent.unwrap().json().await.unwrap();
        self.ended(accepted["items"][0]["job_id"].as_str().unwrap()).await;
    }

    /// Asks, and gives the job.
    async fn ask(&self, conversation: &str) -> String {
        let path = format!("/api/conversations/{conversation}/messages");
        let question = json!({"content": "What was the market value of bond 2?"});
        let asked = self.send(Method::POST, &path, Some(question)).await;
        asked["job_id"].as_str().unwrap().to_owned()
    }

    async fn ended(&self, job: &str) -> Value {
        loop {
            let seen = self.send(Method::GET, &format!("/api/jobs/{job}"), None).await;
            if ["done", "failed", "cancelled", "dead"].contains(&seen["state"].as_str().unwrap()) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How long answers take that are asked for one after the other, the shortest first.
    async fn waits(&self, questions: usize, model: &Model) -> Vec<Wait> {
        let conversation = self.conversation().await;
        let mut waits = Vec::new();
        for _ in 0..questions {
            let (asked_at, before) = (Instant::now(), model.answers());
            let job = self.ask(&conversation).await;
            let ended = self.ended(&job).await;
            assert_eq!(ended["state"], "done", "{ended}");
            waits.push(Wait { time: asked_at.elapsed(), answers: model.answers() - before });
        }
        waits.sort();
        waits
    }

    async fn jobs(&self, state: &str) -> Vec<Value> {
        let path = format!("/api/jobs?kind=chat&limit=200&state={state}");
        let page = self.send(Method::GET, &path, None).await;
        page["items"].as_array().unwrap().clone()
    }
}

/// Makes one more workspace, behind the program's back: it has no way to.
async fn second_workspace(installation: &Installation) -> String {
    installation.run(&["migrate"]);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Arc<dyn Store> = match installation.backends {
        Backends::Embedded => {
            let file = std::path::Path::new(installation.setting("QUAESTOR_DATA_DIR"));
            let url = format!("sqlite:{}", file.join("quaestor.db").display());
            Arc::new(SqliteStore::open(&url, SqliteOptions::default()).await.unwrap())
        }
        Backends::Distributed => {
            let options = PgOptions::new(installation.setting("QUAESTOR_DATABASE_URL").to_owned());
            Arc::new(PgStore::connect(options, clock.clone()).await.unwrap())
        }
    };
    make_workspace(&*store, "second").await.unwrap().token().to_owned()
}

async fn a_thousand_questions_of_one_workspace_do_not_hold_up_another(backends: Backends) {
    let model = Model::start(20, Duration::from_millis(50)).await;
    let installation = Installation::new(backends).await;
    let key = second_workspace(&installation).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "100000"));
    environment.push(("QUAESTOR_SERVER__QUOTAS__ASKS_PER_MINUTE", "100000"));
    environment.push(("QUAESTOR_JOBS__CHAT_DEADLINE_S", "600"));
    // Fixed: with more slots, more of the others' answers are begun in the same time.
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE", "4"));
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "8"));
    let program = installation.start(&environment);
    let (busy, other) = (Asker::new(&program.address, KEY), Asker::new(&program.address, &key));
    busy.document().await;
    other.document().await;

    let alone = other.waits(FEW, &model).await;
    let conversation = busy.conversation().await;
    let asked_at = Instant::now();
    let asked = stream::iter(0..MANY).map(|_| busy.ask(&conversation)).buffer_unordered(16);
    let asked: Vec<String> = asked.collect().await;
    let asked_in = asked_at.elapsed();
    let beside = other.waits(FEW, &model).await;
    let overtaken = beside.iter().map(|wait| wait.answers).max().unwrap_or_default();
    let (alone, beside) = (alone[FEW - 1].time, beside[FEW - 1].time);
    println!(
        "{backends:?}: the slowest of {FEW} answers took {alone:?} alone and {beside:?} beside \
         {MANY} questions of another workspace, which were asked in {asked_in:?}; {overtaken} \
         answers were begun meanwhile"
    );
    // Counted, since times beside other tests say little: who stood behind them would see a
    // thousand answers, who has a place of its own sees what the others' slots do meanwhile.
    assert!(overtaken <= MANY / 10, "{overtaken} answers were begun while one was waited for");

    let waiting = busy.jobs("waiting").await;
    assert!(!waiting.is_empty(), "the test was over too late");
    assert!(waiting.iter().all(|job| job["reason"] == "workspace_busy"), "{waiting:?}");
    // Whose passages are found has been at work once, and may wait for the model.
    let tries = |job: &Value| u64::from(job["step"] == "chat.generate");
    let more: Vec<&Value> =
        waiting.iter().filter(|job| job["attempt"].as_u64() != Some(tries(job))).collect();
    assert!(more.is_empty(), "waiting is no try: {more:?}");
    for state in ["failed", "dead", "cancelled"] {
        assert!(busy.jobs(state).await.is_empty(), "{state}");
    }
    // Nobody is left idle: those who wait are answered, the first first, at the slots' pace.
    let before = model.answers();
    let counted_at = Instant::now();
    let last = &asked[before.clamp(60, MANY - 1)];
    busy.ended(last).await;
    let rate = (model.answers() - before) as f64 / counted_at.elapsed().as_secs_f64();
    println!("{backends:?}: {rate:.1} answers a second, of at most 14");
}
