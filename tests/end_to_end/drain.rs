//! Every kind of process is told to stop while it is busy: streams move to another front and
//! miss nothing, requests that are under way end or are answered, and a second signal is
//! obeyed at once.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::model::Model;
use crate::program::{Process, Program, long_report};
use crate::restarts::accepted;
use crate::resume::Watching;
use crate::servers::Servers;

/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);
/// Questions, each watched by so many sockets and event streams.
const QUESTIONS: usize = 20;
const SOCKETS: usize = 8;
const STREAMS: usize = 2;
/// What a process may take beyond the time of its drain.
const LAST: Duration = Duration::from_secs(5);

on_both!(
    requests_under_way_end_or_are_answered,
    a_second_signal_ends_what_takes_requests_at_once,
    a_parse_child_ends_with_its_process,
);

/// What takes requests.
fn taker(backends: Backends) -> &'static str {
    match backends {
        Backends::Embedded => "serve",
        Backends::Distributed => "front",
    }
}

fn client() -> Client {
    Client::builder().timeout(PATIENCE).build().unwrap()
}

async fn fill(program: &Program) {
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(10)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
}

/// Has an installation hold a document, by processes that are gone afterwards.
async fn filled(installation: &Installation, environment: &[(&str, &str)]) {
    fill(&installation.start(environment)).await;
}

/// Asks a question in a conversation of its own; gives conversation, job and answer.
async fn ask(front: &str, key: &str) -> (String, String, String) {
    let client = client();
    let made = accepted(&client, &[front], "/api/conversations", &json!({}), Some(key)).await;
    let conversation = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({"content": "What was the market value of bond 7 in 2025?"});
    let asked = accepted(&client, &[front], &path, &body, Some(&format!("{key}-asked"))).await;
    let text = |field: &str| asked[field].as_str().unwrap().to_owned();
    (conversation, text("job_id"), text("answer_id"))
}

/// A job as server-sent events, as a browser's `EventSource` takes them.
struct EventStream {
    fronts: [String; 2],
    job: String,
    last: Option<String>,
    text: String,
    /// Streams that ended whole before the job did, and such as broke.
    moved: usize,
    broken: usize,
}

impl EventStream {
    fn of(fronts: [String; 2], job: &str) -> Self {
        let (job, text) = (job.to_owned(), String::new());
        Self { fronts, job, last: None, text, moved: 0, broken: 0 }
    }

    async fn until_the_end(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.one_stream().await {
            assert!(Instant::now() < until, "job {} does not end", self.job);
            self.fronts.swap(0, 1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// True when the end was told.
    async fn one_stream(&mut self) -> bool {
        let url = format!("{}/api/jobs/{}/events", self.fronts[0], self.job);
        let mut request = client().get(url).bearer_auth(KEY);
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let Ok(mut response) = request.send().await else { return false };
        let mut unread = String::new();
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => unread.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(None) => {
                    self.moved += 1;
                    return false;
                }
                Err(_) => {
                    self.broken += 1;
                    return false;
                }
            }
            while let Some((block, rest)) = unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                unread = rest;
                if self.take(&block) {
                    return true;
                }
            }
        }
    }

    fn take(&mut self, block: &str) -> bool {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        if let Some(id) = field("id: ") {
            assert_ne!(self.last.as_deref(), Some(id), "an event is told twice");
            self.last = Some(id.to_owned());
        }
        let Some(data) = field("data: ") else { return false };
        let event: Value = serde_json::from_str(data).unwrap();
        if event["kind"] == "token" {
            self.text.push_str(event["text"].as_str().unwrap());
        }
        ["done", "failed", "cancelled"].contains(&event["kind"].as_str().unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_move_to_another_front_when_theirs_leaves() {
    let model = Model::start(200, Duration::from_millis(25)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "20"));
    let mut leaving = installation.process("front", &environment);
    let staying = installation.process("front", &environment);
    let _worker = installation.process("worker", &environment);
    let fronts = [leaving.address.clone(), staying.address.clone()];
    let program = Program::of(vec![staying]);
    fill(&program).await;

    let tasks = TaskTracker::new();
    let (mut sockets, mut streams) = (Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for number in 0..QUESTIONS {
        let one = ask(&fronts[1], &format!("{number}")).await;
        for _ in 0..SOCKETS {
            let mut watching = Watching::of(&[&fronts[0], &fronts[1]], &one.1);
            sockets.push(tasks.spawn(async move {
                watching.until_the_end(PATIENCE).await;
                watching
            }));
        }
        for _ in 0..STREAMS {
            let mut stream = EventStream::of(fronts.clone(), &one.1);
            streams.push(tasks.spawn(async move {
                stream.until_the_end().await;
                stream
            }));
        }
        asked.push(one);
    }
    model.wait_for(QUESTIONS, 40 * QUESTIONS as u64).await;
    let told_at = Instant::now();
    leaving.terminate();
    leaving.unready().await;
    assert!(told_at.elapsed() < Duration::from_secs(1), "not ready at once");
    assert_eq!(leaving.ended().await, Some(0));
    assert!(told_at.elapsed() < Duration::from_secs(1) + LAST, "{:?}", told_at.elapsed());

    for watching in sockets {
        let watching = watching.await.unwrap();
        assert_eq!(watching.closed, [1001], "each socket is told where to go on");
        assert_eq!(watching.told(), Some(&*model.text()));
    }
    for stream in streams {
        let stream = stream.await.unwrap();
        assert_eq!((stream.moved, stream.broken), (1, 0), "each stream ends whole");
        assert_eq!(stream.text, model.text());
    }
    for (conversation, job, answer) in &asked {
        assert_eq!(program.wait_for_job(job).await["state"], "done");
        assert_eq!(program.answer(conversation, answer).await["content"], model.text());
    }
    assert_eq!(model.answers(), QUESTIONS);
}

/// Sends a request over a connection of its own. None where nobody listens any more.
async fn one_request(address: &str) -> Option<std::io::Result<String>> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let whole = async {
        connection.write_all(request).await?;
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    Some(whole.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_connects_to_a_front_that_leaves_gets_a_whole_answer() {
    let installation = Installation::new(Backends::Distributed).await;
    let mut leaving = installation.process("front", &[]);
    let address = leaving.address.trim_start_matches("http://").to_owned();
    let tasks = TaskTracker::new();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            tasks.spawn(async move {
                let mut answers = Vec::new();
                while let Some(answer) = one_request(&address).await {
                    answers.push(answer);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                answers
            })
        })
        .collect();
    leaving.terminate();
    assert_eq!(leaving.ended().await, Some(0));
    let mut answered = 0;
    for client in clients {
        for answer in client.await.unwrap() {
            let answer = answer.expect("no connection is reset");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answered += 1;
        }
    }
    assert!(answered > 8, "{answered}");
}

/// An upload over a connection of its own, the body of which is sent piece by piece.
struct Upload {
    connection: TcpStream,
    rest: Vec<u8>,
}

impl Upload {
    async fn begin(address: &str, collection: &str, text: &str) -> Self {
        let body = format!(
            "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{}.txt\"\r\n\r\n\
             {text}\r\n--b--\r\n",
            text.len()
        );
        let head = format!(
            "POST /api/documents?collection_id={collection} HTTP/1.1\r\nhost: x\r\n\
             authorization: Bearer {KEY}\r\ncontent-type: multipart/form-data; boundary=b\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let address = address.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let (begun, rest) = body.as_bytes().split_at(body.len() / 2);
        connection.write_all(begun).await.unwrap();
        Self { connection, rest: rest.to_vec() }
    }

    async fn finish(mut self) -> String {
        self.connection.write_all(&self.rest).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

async fn requests_under_way_end_or_are_answered(backends: Backends) {
    let installation = Installation::new(backends).await;
    let drain = Duration::from_secs(3);
    let environment = [("QUAESTOR_WORKERS__DRAIN_S", "3"), ("QUAESTOR_SERVER__LEAVE_S", "1")];
    let worker = match backends {
        Backends::Embedded => None,
        Backends::Distributed => Some(installation.process("worker", &environment)),
    };
    let mut leaving = installation.process(taker(backends), &environment);
    let (client, name) = (client(), json!({"name": "reports"}));
    let made = accepted(&client, &[&leaving.address], "/api/collections", &name, None).await;
    let collection = made["id"].as_str().unwrap().to_owned();
    let in_time = Upload::begin(&leaving.address, &collection, &"word ".repeat(50_000)).await;
    let mut too_late = Upload::begin(&leaving.address, &collection, &"other ".repeat(50_000)).await;
    let told_at = Instant::now();
    leaving.terminate();
    leaving.unready().await;
    let accepted = in_time.finish().await;
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    assert!(accepted.contains("connection: close"), "{accepted}");
    let refused = too_late.answer().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
    assert_eq!(leaving.ended().await, Some(0));
    let took = told_at.elapsed();
    assert!(took >= drain && took < drain + LAST, "it took {took:?}");

    let program = Program::of(vec![installation.process(taker(backends), &environment)]);
    let body = accepted.split("\r\n\r\n").nth(1).unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let job = program.wait_for_job(body["items"][0]["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    let listed = program.get("/api/documents").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    drop(worker);
}

async fn a_second_signal_ends_what_takes_requests_at_once(backends: Backends) {
    let model = Model::start(300, Duration::from_millis(10)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.extend([("QUAESTOR_WORKERS__DRAIN_S", "60"), ("QUAESTOR_SERVER__LEAVE_S", "60")]);
    filled(&installation, &environment).await;
    let mut killed = installation.process(taker(backends), &environment);
    let _worker = match backends {
        Backends::Embedded => None,
        Backends::Distributed => Some(installation.process("worker", &environment)),
    };
    let (conversation, job, answer) = ask(&killed.address, "only").await;
    model.wait_for(1, 20).await;
    killed.terminate();
    killed.unready().await;
    let told_at = Instant::now();
    killed.terminate();
    assert_eq!(killed.ended().await, Some(1));
    assert!(told_at.elapsed() < Duration::from_secs(2), "it took {:?}", told_at.elapsed());
    let program = Program::of(vec![installation.process(taker(backends), &environment)]);
    let ended = program.wait_for_job(&job).await;
    assert_eq!(ended["state"], "done", "{ended}");
    assert_eq!(program.answer(&conversation, &answer).await["content"], model.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_cannot_end_in_time_it_takes_up_when_it_starts_again() {
    let model = Model::start(300, Duration::from_millis(10)).await;
    let installation = Installation::new(Backends::Embedded).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_WORKERS__DRAIN_S", "1"));
    filled(&installation, &environment).await;
    let mut leaving = installation.process("serve", &environment);
    let mut asked = Vec::new();
    for number in 0..4 {
        asked.push(ask(&leaving.address, &format!("{number}")).await);
    }
    model.wait_for(4, 80).await;
    let told_at = Instant::now();
    leaving.terminate();
    assert_eq!(leaving.ended().await, Some(0));
    assert!(told_at.elapsed() < Duration::from_secs(1) + LAST, "{:?}", told_at.elapsed());
    let program = installation.start(&environment);
    for (conversation, job, answer) in &asked {
        let ended = program.wait_for_job(job).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("done"), &json!(3)), "{ended}");
        assert_eq!(program.answer(conversation, answer).await["content"], model.text());
    }
    assert_eq!(model.answers(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_say_nothing_do_not_hold_up_the_end() {
    let model = Model::start(600, Duration::from_millis(10)).await;
    let servers = Servers::own();
    let installation = Installation::on(servers.clone()).await;
    let mut environment = model.environment().to_vec();
    environment.push(("QUAESTOR_WORKERS__DRAIN_S", "2"));
    filled(&installation, &environment).await;
    let mut front = installation.process("front", &environment);
    let mut worker = installation.process("worker", &environment);
    ask(&front.address, "only").await;
    model.wait_for(1, 20).await;
    let all = ["postgres", "rabbitmq", "redis"];
    servers.pause(&all);
    let told_at = Instant::now();
    for process in [&front, &worker] {
        process.terminate();
    }
    for process in [&mut front, &mut worker] {
        assert_eq!(process.ended().await, Some(0));
    }
    let took = told_at.elapsed();
    servers.resume(&all);
    assert!(took < Duration::from_secs(2) + LAST, "it took {took:?}");
}

async fn a_parse_child_ends_with_its_process(backends: Backends) {
    let installation = Installation::new(backends).await;
    let worker = match backends {
        Backends::Embedded => None,
        Backends::Distributed => Some(installation.process("worker", &[])),
    };
    let front = installation.process(taker(backends), &[]);
    let address = front.address.clone();
    let program = Program::of(vec![front]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(20_000)).await.unwrap();
    let until = Instant::now() + PATIENCE;
    let parent = worker.as_ref().map_or_else(|| program.pid(), Process::pid);
    let child = loop {
        if let Some(child) = children(parent).first() {
            break *child;
        }
        assert!(Instant::now() < until, "no child parses {upload} of {address}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    // SIGKILL: nobody can end the child but the system.
    drop(worker);
    drop(program);
    let until = Instant::now() + Duration::from_secs(5);
    while runs(child) {
        assert!(Instant::now() < until, "the child goes on without its process");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The children of a process, whichever of its threads has started them.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let listed = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    listed.collect::<String>().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process is there and has not ended.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}
