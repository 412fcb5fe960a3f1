//! Slots follow the queues, one process says what is wanted, and `quaestor scaler` has as many
//! worker processes as that takes: none is killed, whoever dies is replaced, and no job notices.

use std::time::{Duration, Instant};

use quaestor_core::clock::Time;
use reqwest::Client;
use serde_json::json;

use crate::drain::{children, runs};
use crate::installation::{Backends, Installation, KEY, on_both};
use crate::model::Model;
use crate::program::{Process, Program, long_report};

/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

on_both!(slots_grow_with_their_queue_and_shrink_when_it_is_empty);

/// The value of a metric with such a label; none where it is not shown, or is no number.
async fn seen(address: &str, name: &str, label: &str) -> Option<f64> {
    let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let answer = client.get(format!("{address}/metrics")).bearer_auth(KEY).send().await.ok()?;
    let text = answer.text().await.ok()?;
    let of_it = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(label);
    let value: f64 = text.lines().find(of_it)?.rsplit(' ').next()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Waits until a metric is as it should be.
async fn until_seen(address: &str, name: &str, label: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let value = seen(address, name, label).await;
        if let Some(value) = value.filter(|value| wanted(*value)) {
            return value;
        }
        assert!(Instant::now() < until, "{name} {label} is {value:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until something is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "it never came to be: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Something to answer from.
async fn filled(program: &Program) {
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
}

/// Asks so many questions at once. Gives their jobs.
async fn ask(program: &Program, number: usize) -> Vec<String> {
    let asking = (0..number).map(|_| async {
        let conversation = program.make_conversation().await;
        let path = format!("/api/conversations/{conversation}/messages");
        let question = json!({"content": "What was the market value of bond 2?"});
        program.post(&path, question).await["job_id"].as_str().unwrap().to_owned()
    });
    futures::future::join_all(asking).await
}

/// Waits for the jobs, none of which was interrupted: a step each, claimed once each.
async fn all_done_at_the_first_try(program: &Program, jobs: &[String]) {
    for job in jobs {
        let job = program.wait_for_job(job).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("done"), &json!(2)), "{job}");
    }
}

async fn slots_grow_with_their_queue_and_shrink_when_it_is_empty(backends: Backends) {
    let model = Model::start(10, Duration::from_millis(50)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.extend([
        ("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "2"),
        ("QUAESTOR_WORKERS__SLOTS_MAX__CHAT_GENERATE", "9"),
        ("QUAESTOR_WORKERS__SLOTS__DOCUMENTS_INGEST", "1"),
        ("QUAESTOR_WORKERS__SCALE_IN_AFTER_S", "2"),
    ]);
    let worker = match backends {
        Backends::Embedded => None,
        Backends::Distributed => Some(installation.process("worker", &environment)),
    };
    let taker = if worker.is_some() { "front" } else { "serve" };
    let program = Program::of(vec![installation.process(taker, &environment)]);
    let address = worker.as_ref().map_or(program.address(), |worker| &worker.address).to_owned();
    filled(&program).await;
    let (slots, step) = ("quaestor_step_slots", "step=\"chat.generate\"");
    assert_eq!(until_seen(&address, slots, step, |_| true).await, 2.0);
    let jobs = ask(&program, 60).await;
    until_seen(&address, slots, step, |slots| slots == 9.0).await;
    let fixed = seen(&address, slots, "step=\"documents.ingest\"").await;
    assert_eq!(fixed, Some(1.0), "a number that is named alone is fixed");
    all_done_at_the_first_try(&program, &jobs).await;
    assert_eq!(model.answers(), jobs.len(), "each answer was written once");
    until_seen(&address, slots, step, |slots| slots == 2.0).await;
    // What was given up is given again.
    all_done_at_the_first_try(&program, &ask(&program, 8).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_room_calls_the_questions_that_another_had_wait() {
    let model = Model::start(10, Duration::from_millis(50)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let few = [
        ("QUAESTOR_WORKERS__SLOTS__CHAT_RETRIEVE", "1"),
        ("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "1"),
    ];
    let with =
        |more: &[(&'static str, &'static str)]| [model.environment().as_slice(), more].concat();
    let front = with(&[("QUAESTOR_SERVER__QUOTAS__ASKS_BURST", "1000")]);
    let program = Program::of(vec![installation.process("front", &front)]);
    let _full = installation.process("worker", &with(&few));
    filled(&program).await;
    let jobs = ask(&program, 200).await;
    // When each would come by itself.
    let mut due = Vec::new();
    let limit = Instant::now() + PATIENCE;
    while due.len() < 60 {
        assert!(Instant::now() < limit, "{} wait", due.len());
        due.clear();
        for job in &jobs {
            let seen = program.get(&format!("/api/jobs/{job}")).await;
            if let Some(until) = seen["until"].as_str() {
                due.push((job, until.parse::<Time>().unwrap()));
            }
        }
    }
    let _idle = installation.process("worker", &with(&[]));
    let mut called = 0;
    for (job, due) in &due {
        let ended = program.wait_for_job(job).await;
        assert_eq!(ended["state"], "done", "{ended}");
        called +=
            usize::from(ended["finished_at"].as_str().unwrap().parse::<Time>().unwrap() < *due);
    }
    assert!(called > due.len() / 2, "{called} of {} were called", due.len());
}

/// Which of the processes say what is wanted.
async fn tellers(processes: &[Process]) -> Vec<usize> {
    let mut tellers = Vec::new();
    for (place, process) in processes.iter().enumerate() {
        let queue = "queue=\"chat.generate\"";
        if seen(&process.address, "quaestor_desired_workers", queue).await.is_some() {
            tellers.push(place);
        }
    }
    tellers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_says_what_is_wanted_and_another_when_it_dies() {
    let installation = Installation::new(Backends::Distributed).await;
    let mut processes = vec![
        installation.process("front", &[]),
        installation.process("worker", &[]),
        installation.process("worker", &[]),
    ];
    let began = Instant::now();
    while processes.len() > 1 {
        let found = tellers(&processes).await;
        assert!(found.len() <= 1, "{found:?} say it together");
        if let Some(teller) = found.first() {
            // SIGKILL: its lease has to end by itself.
            processes.remove(*teller);
        }
        assert!(began.elapsed() < PATIENCE, "nobody says what is wanted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_seen(
        &processes[0].address,
        "quaestor_desired_workers",
        "queue=\"chat.generate\"",
        |_| true,
    )
    .await;
    processes[0].terminate();
    assert_eq!(processes[0].ended().await, Some(0));
}

/// A front, a scaler, and what they are told.
struct Scaled<'a> {
    installation: &'a Installation,
    environment: Vec<(&'a str, &'a str)>,
    program: Program,
    scaler: Process,
}

const CHAT: &str = "kind=\"chat\"";

impl<'a> Scaled<'a> {
    /// Of questions up to three processes, each with so few slots that a burst takes them all.
    async fn start(installation: &'a Installation, model: &'a Model) -> Self {
        let mut environment = model.environment().to_vec();
        environment.extend([
            ("QUAESTOR_WORKERS__SLOTS__CHAT_GENERATE", "2"),
            ("QUAESTOR_SCALER__MAX__CHAT", "3"),
            ("QUAESTOR_SCALER__MIN__DOCUMENTS", "1"),
            ("QUAESTOR_WORKERS__SCALE_IN_AFTER_S", "2"),
            ("QUAESTOR_WORKERS__DRAIN_S", "60"),
        ]);
        let program = Program::of(vec![installation.process("front", &environment)]);
        let scaler = installation.process("scaler", &environment);
        filled(&program).await;
        Self { installation, environment, program, scaler }
    }

    /// Waits until there are so many processes for questions that do not leave.
    async fn has(&self, number: f64) {
        let working = |value: f64| value == number;
        let (address, label) = (&self.scaler.address, "kind=\"chat\",state=\"working\"");
        until_seen(address, "quaestor_scaler_processes", label, working).await;
    }

    async fn leaving(&self) -> f64 {
        let label = "kind=\"chat\",state=\"leaving\"";
        seen(&self.scaler.address, "quaestor_scaler_processes", label).await.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scaler_has_as_many_processes_as_it_takes_and_interrupts_nothing() {
    // So long that what was wanted for their coming is over before they have ended.
    let model = Model::start(600, Duration::from_millis(50)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let mut scaled = Scaled::start(&installation, &model).await;
    scaled.has(1.0).await;
    let jobs = ask(&scaled.program, 8).await;
    scaled.has(3.0).await;
    let limit = Instant::now() + PATIENCE;
    while scaled.leaving().await == 0.0 {
        assert!(Instant::now() < limit, "no process leaves: {}", scaled.scaler.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let states = |job: &'_ str| {
        let path = format!("/api/jobs/{job}");
        let program = &scaled.program;
        async move { program.get(&path).await["state"].as_str().unwrap().to_owned() }
    };
    let states = futures::future::join_all(jobs.iter().map(|job| states(job))).await;
    assert!(states.iter().any(|state| state == "running"), "{states:?} while a process leaves");
    all_done_at_the_first_try(&scaled.program, &jobs).await;
    assert_eq!(model.answers(), jobs.len(), "each answer was written once");
    until("the idlest has left", || scaled.scaler.log().contains("has left")).await;
    let log = scaled.scaler.log();
    assert!(log.contains("is the idlest and is told to leave"), "{log}");
    assert!(!log.contains("has died"), "{log}");
    let pids = children(scaled.scaler.pid());
    scaled.scaler.terminate();
    assert_eq!(scaled.scaler.ended().await, Some(0));
    assert!(!pids.is_empty() && !pids.into_iter().any(runs), "it ends after its processes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_is_replaced_and_its_questions_are_answered() {
    let model = Model::start(20, Duration::from_millis(50)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let scaled = Scaled::start(&installation, &model).await;
    scaled.has(1.0).await;
    let jobs = ask(&scaled.program, 4).await;
    model.wait_for(1, 2).await;
    let before = children(scaled.scaler.pid());
    for pid in &before {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    until("other processes", || {
        let now = children(scaled.scaler.pid());
        now.len() >= before.len() && !now.iter().any(|pid| before.contains(pid))
    })
    .await;
    for job in &jobs {
        assert_eq!(scaled.program.wait_for_job(job).await["state"], "done");
    }
    let crashes = seen(&scaled.scaler.address, "quaestor_scaler_crashes_total", CHAT).await;
    assert!(crashes.is_some_and(|crashes| crashes >= 1.0), "{crashes:?}");
    assert!(
        scaled.scaler.log().contains("for chat has died (signal: 9"),
        "{}",
        scaled.scaler.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scaler_that_is_killed_leaves_processes_that_end_what_they_do() {
    let model = Model::start(600, Duration::from_millis(50)).await;
    let installation = Installation::new(Backends::Distributed).await;
    let scaled = Scaled::start(&installation, &model).await;
    scaled.has(1.0).await;
    let jobs = ask(&scaled.program, 8).await;
    scaled.has(3.0).await;
    // In the middle of a scale-in, with answers half written.
    let give_up = Instant::now() + PATIENCE;
    while scaled.leaving().await == 0.0 {
        assert!(Instant::now() < give_up, "no process leaves: {}", scaled.scaler.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked_meanwhile = ask(&scaled.program, 1).await;
    let Scaled { installation, environment, program, scaler } = scaled;
    let orphans = children(scaler.pid());
    assert!(!orphans.is_empty());
    // SIGKILL.
    drop(scaler);
    let next = installation.process("scaler", &environment);
    until("the processes without a scaler leave", || !orphans.iter().any(|pid| runs(*pid))).await;
    all_done_at_the_first_try(&program, &jobs).await;
    for job in &asked_meanwhile {
        assert_eq!(program.wait_for_job(job).await["state"], "done");
    }
    assert!(!children(next.pid()).is_empty());
}

#[tokio::test]
async fn what_cannot_be_scaled_is_refused_before_anything_starts() {
    let installation = Installation::new(Backends::Embedded).await;
    for (name, value, key) in [
        ("QUAESTOR_SCALER__MAX__CHAT", "0", "scaler.max.chat"),
        ("QUAESTOR_WORKERS__WAIT_S__CHAT_GENERATE", "0", "workers.wait_s.chat_generate"),
        ("QUAESTOR_SCALER__MAX__PIGEONS", "1", "QUAESTOR_SCALER__MAX__PIGEONS"),
    ] {
        let said = installation.refusal(&["scaler"], &[(name, value)]);
        assert!(said.contains(key), "{said}");
    }
    let said = installation.refusal(
        &["serve"],
        &[
            ("QUAESTOR_WORKERS__SLOTS__EXPORTS_WRITE", "3"),
            ("QUAESTOR_WORKERS__SLOTS_MAX__EXPORTS_WRITE", "2"),
        ],
    );
    assert!(said.contains("workers.slots_max.exports_write"), "{said}");
    let said = installation.refusal(&["scaler"], &[]);
    assert!(said.contains("quaestor scaler") && said.contains("data.database_url"), "{said}");
}
