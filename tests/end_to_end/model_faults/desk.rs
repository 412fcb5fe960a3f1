//! A desk that asks a model which does what a script says, and holds the answers, the events
//! and the bill against the model's own log.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use quaestor_model_server::{Answer, Call, Ended, ModelServer, Operation, Reply};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, PgConnection, Row};

use crate::installation::{Backends, Installation, KEY};
use crate::program::{Program, long_report};

/// An installation with one document, whose model is `server`.
pub(super) struct Desk {
    /// Ends before what it stands on is removed.
    pub(super) program: Program,
    pub(super) installation: Installation,
    pub(super) server: ModelServer,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) job: Value,
    pub(super) message: Value,
    pub(super) events: Vec<Value>,
}

/// A request to a provider, as the installation has written it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charged {
    pub(super) request_id: Option<String>,
    pub(super) outcome: String,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    pub(super) estimated: bool,
}

/// Settings by which faults show in seconds.
const QUICK: [(&str, &str); 9] = [
    ("QUAESTOR_MODELS__RETRY__PAUSE_MS", "20"),
    ("QUAESTOR_MODELS__TIMEOUTS__FIRST_PIECE_S", "2"),
    ("QUAESTOR_MODELS__TIMEOUTS__NEXT_PIECE_S", "2"),
    ("QUAESTOR_MODELS__TIMEOUTS__CONNECT_S", "1"),
    ("QUAESTOR_MODELS__BREAKER__OPEN_S", "2"),
    ("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "8"),
    ("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "10000"),
    ("QUAESTOR_SERVER__QUOTAS__REQUESTS_BURST", "100000"),
    ("QUAESTOR_SERVER__QUOTAS__REQUESTS_PER_MINUTE", "100000"),
];

impl Desk {
    pub(super) async fn open(backends: Backends) -> Self {
        Self::open_with(backends, &[]).await
    }

    pub(super) async fn open_with(backends: Backends, more: &[(&str, &str)]) -> Self {
        let server = ModelServer::start().await;
        let installation = Installation::new(backends).await;
        let base_url = server.openai_url();
        let mut environment = vec![
            ("QUAESTOR_CHAT", "openai:scripted"),
            ("OPENAI_BASE_URL", base_url.as_str()),
            ("OPENAI_API_KEY", "sk-none"),
        ];
        environment.extend(QUICK);
        environment.extend(more.iter().copied());
        let program = installation.start(&environment);
        let collection = program.make_collection("reports").await;
        let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
        program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
        Self { program, installation, server }
    }

    /// Accepts a question and does not wait for its answer: the job and the answer.
    pub(super) async fn accept(&self) -> (String, String, String) {
        let conversation = self.program.make_conversation().await;
        let path = format!("/api/conversations/{conversation}/messages");
        let question = json!({"content": "What was the market value of bond 2?"});
        let asked = self.program.post(&path, question).await;
        let text = |name: &str| asked[name].as_str().unwrap().to_owned();
        (conversation, text("job_id"), text("answer_id"))
    }

    pub(super) async fn ask(&self) -> Asked {
        let accepted = self.accept().await;
        self.ended(&accepted).await
    }

    /// Waits for the end of a question.
    pub(super) async fn ended(&self, accepted: &(String, String, String)) -> Asked {
        let (conversation, job, answer) = accepted;
        let ended = self.program.wait_for_job(job).await;
        let message = self.program.answer(conversation, answer).await;
        Asked { job: ended, message, events: self.events(job).await }
    }

    /// Every event of a job that has ended, from its log.
    async fn events(&self, job: &str) -> Vec<Value> {
        let url = format!("{}/api/jobs/{job}/events", self.program.address);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let response = client.get(url).bearer_auth(KEY).send().await.unwrap();
        let response = response.error_for_status().unwrap();
        let (mut bytes, mut text) = (response.bytes_stream(), String::new());
        loop {
            let events: Vec<Value> = text
                .split("\n\n")
                .filter_map(|frame| {
                    let data = frame.lines().find_map(|line| line.strip_prefix("data:"))?;
                    serde_json::from_str(data.trim()).ok()
                })
                .collect();
            let ended =
                events.iter().any(|event| matches!(kind(event), "done" | "failed" | "cancelled"));
            if ended {
                return events;
            }
            let piece = bytes.next().await.expect("the log ends with the job's end").unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// What was written down for chats.
    pub(super) async fn bill(&self) -> Vec<Charged> {
        const SQL: &str = "SELECT request_id, outcome, input_tokens, output_tokens, estimated
                           FROM model_usage WHERE operation = 'chat' ORDER BY created_at, request_id";
        match self.installation.backends {
            Backends::Embedded => {
                let file = self.installation.folder().join("quaestor.db");
                let url = format!("sqlite:{}?mode=ro", file.display());
                let mut database = SqliteConnection::connect(&url).await.unwrap();
                let rows = sqlx::query(SQL).fetch_all(&mut database).await.unwrap();
                rows.iter()
                    .map(|row| Charged {
                        request_id: row.get(0),
                        outcome: row.get(1),
                        input_tokens: row.get(2),
                        output_tokens: row.get(3),
                        estimated: row.get(4),
                    })
                    .collect()
            }
            Backends::Distributed => {
                let url = self.installation.setting("QUAESTOR_DATABASE_URL");
                let mut database = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query(SQL).fetch_all(&mut database).await.unwrap();
                rows.iter()
                    .map(|row| Charged {
                        request_id: row.get(0),
                        outcome: row.get(1),
                        input_tokens: row.get(2),
                        output_tokens: row.get(3),
                        estimated: row.get(4),
                    })
                    .collect()
            }
        }
    }

    /// The model's calls, once each has ended.
    pub(super) async fn calls(&self) -> Vec<Call> {
        let chats = |calls: &[Call]| {
            calls
                .iter()
                .filter(|call| call.operation == Operation::Chat)
                .cloned()
                .collect::<Vec<_>>()
        };
        let all = |calls: &[Call]| chats(calls).iter().all(|call| call.ended != Ended::Running);
        chats(&self.server.wait_for(all).await)
    }

    /// One row for each call, and as many tokens as the server told for those that it told
    /// any for.
    pub(super) async fn check_bill(&self) {
        let (rows, calls) = (self.bill().await, self.calls().await);
        assert_eq!(rows.len(), calls.len(), "{rows:#?}\n{calls:#?}");
        let by_id: BTreeMap<&str, &Charged> =
            rows.iter().filter_map(|row| Some((row.request_id.as_deref()?, row))).collect();
        for call in &calls {
            let told = call.status != 0 && by_id.contains_key(call.request_id.as_str());
            if !told {
                // Its head never came: the row cannot name it, and it has cost nothing.
                assert!(rows.iter().any(|row| row.request_id.is_none()), "{call:?}: {rows:#?}");
                continue;
            }
            let row = by_id[call.request_id.as_str()];
            if row.outcome == "done" && call.usage_sent {
                let counted = (row.input_tokens, row.output_tokens);
                assert_eq!(
                    counted,
                    (call.input_tokens.cast_signed(), call.output_tokens.cast_signed())
                );
                assert!(!row.estimated);
            }
        }
    }
}

impl Asked {
    pub(super) fn state(&self) -> &str {
        self.job["state"].as_str().unwrap()
    }

    pub(super) fn content(&self) -> &str {
        self.message["content"].as_str().unwrap()
    }

    /// The code of the problem it ended with.
    pub(super) fn problem(&self) -> &str {
        self.message["error"]["code"].as_str().unwrap_or("")
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(kind).collect()
    }

    /// The text as a watcher has it at the end: what was told since the last restart.
    pub(super) fn told(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            match kind(event) {
                "restarted" => text.clear(),
                "token" => text.push_str(body(event)["text"].as_str().unwrap()),
                _ => {}
            }
        }
        text
    }

    /// The reasons for which it waited.
    pub(super) fn waits(&self) -> Vec<&str> {
        let waits = self.events.iter().filter(|event| kind(event) == "waiting");
        waits.map(|event| body(event)["reason"].as_str().unwrap()).collect()
    }

    /// It was answered, wholly, and everybody was told the same.
    pub(super) fn is_whole(&self, text: &str) {
        assert_eq!(self.state(), "done", "{self:#?}");
        assert_eq!(self.content(), text);
        assert_eq!(self.told(), text, "{:#?}", self.events);
        let ends = self.kinds().into_iter().filter(|kind| *kind == "done").count();
        assert_eq!(ends, 1);
    }
}

fn body(event: &Value) -> &Value {
    if event["event"].is_object() { &event["event"] } else { event }
}

fn kind(event: &Value) -> &str {
    body(event)["kind"].as_str().unwrap_or("")
}

/// An answer of so many words, which cites.
pub(super) fn words(count: usize) -> Answer {
    Answer::words(count)
}

pub(super) fn good() -> Reply {
    Reply::answer(words(12))
}
