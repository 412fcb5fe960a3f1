//! What is done by the clock is done once, whatever dies meanwhile; it is seen and steered over
//! HTTP and on the command line.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::tamper;
use crate::installation::{Backends, Installation, on_both};
use crate::program::Program;

on_both!(
    what_was_missed_is_made_up_for_once_or_not_at_all,
    a_schedule_is_seen_and_steered,
    a_backup_is_made_by_its_schedule,
    a_killed_worker_loses_no_run_and_repeats_none,
);

/// A run that a dead worker had is taken over soon.
pub(crate) const SOON: [(&str, &str); 2] =
    [("QUAESTOR_WORKERS__LEASE_S", "3"), ("QUAESTOR_WORKERS__HEARTBEAT_S", "1")];

const CHECK: &str = "/api/admin/schedules/check";

/// A moment of some minutes ago.
const PASSED: &str = "UPDATE schedules SET next_at = next_at - 172800000000 WHERE name = 'check'";

/// How often is looked, below what a key may ask of these routes.
const PACE: Duration = Duration::from_millis(300);

/// Asks, and again where it was too often. Returns the status and the answer.
pub(crate) async fn call(
    program: &Program,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    for _ in 0..200 {
        let response = program.send(method.clone(), path, body.clone()).await.unwrap();
        let status = response.status().as_u16();
        if status != 429 {
            return (status, response.json().await.unwrap_or(Value::Null));
        }
        tokio::time::sleep(PACE).await;
    }
    panic!("{path} was refused for a minute");
}

async fn get(program: &Program, path: &str) -> Value {
    let (status, answer) = call(program, Method::GET, path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Begins a run, as soon as a worker offers it.
pub(crate) async fn begin(program: &Program, schedule: &str, body: Value) {
    let path = format!("/api/admin/schedules/{schedule}/run");
    for _ in 0..200 {
        if call(program, Method::POST, &path, Some(body.clone())).await.0 == 202 {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
    panic!("no run of {schedule} could be begun\n{}", program.log());
}

pub(crate) async fn runs(program: &Program, schedule: &str) -> Vec<Value> {
    let runs = get(program, &format!("/api/admin/schedules/{schedule}/runs")).await;
    runs["items"].as_array().unwrap().clone()
}

/// Waits until a schedule has so many runs and none that has not ended.
pub(crate) async fn ended(program: &Program, schedule: &str, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let runs = runs(program, schedule).await;
        let open = |run: &Value| run["state"] == "queued" || run["state"] == "running";
        if runs.len() >= count && !runs.iter().any(open) {
            return runs;
        }
        tokio::time::sleep(PACE).await;
    }
    panic!("{schedule} has not ended: {:?}\n{}", runs(program, schedule).await, program.log());
}

/// Waits until a worker has written down which schedules there are.
async fn offered(program: &Program) {
    for _ in 0..200 {
        let listed = get(program, "/api/admin/schedules").await;
        if !listed["items"].as_array().unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
    panic!("no worker offers a schedule\n{}", program.log());
}

async fn what_was_missed_is_made_up_for_once_or_not_at_all(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&SOON);
    // One more worker that looks.
    let other = (backends == Backends::Distributed).then(|| installation.process("worker", &SOON));
    offered(&program).await;
    let shown = get(&program, CHECK).await;
    assert_eq!((&shown["cron"], &shown["zone"]), (&"30 4 * * *".into(), &"UTC".into()), "{shown}");
    // Until a worker has written down the next moment, there is none to be moved.
    for _ in 0..200 {
        tamper(&installation, PASSED).await;
        if !runs(&program, "check").await.is_empty() {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    let first = ended(&program, "check", 1).await;
    assert_eq!(first[0]["state"], "done", "{first:?}");
    assert!(first[0]["due_at"].is_string() && first[0]["took_s"].is_number(), "{first:?}");
    // The last moment that passed, and none for those before it.
    let dues: Vec<&Value> = first.iter().map(|run| &run["due_at"]).collect();
    let mut once = dues.clone();
    once.dedup();
    assert_eq!(dues, once);

    let skipping = json!({"missed": "skip"});
    assert_eq!(call(&program, Method::PATCH, CHECK, Some(skipping)).await.0, 200);
    let before = runs(&program, "check").await.len();
    let moved = "UPDATE schedules SET next_at = next_at - 216000000000 WHERE name = 'check'";
    for _ in 0..200 {
        // A moment that has a run makes no second one: an hour's distance to it.
        tamper(&installation, "UPDATE schedule_runs SET due_at = due_at - 1").await;
        tamper(&installation, moved).await;
        if runs(&program, "check").await.len() > before {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    let all = ended(&program, "check", before + 1).await;
    assert_eq!(all[0]["state"], "missed", "{all:?}");
    drop(other);
}

async fn a_schedule_is_seen_and_steered(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&SOON);
    offered(&program).await;
    for (body, field, says) in [
        (json!({"cron": "61 * * * *"}), "cron", "five fields"),
        (json!({"cron": "0 0 30 2 *"}), "cron", "never comes"),
        (json!({"cron": ""}), "cron", ""),
        (json!({"zone": "Europe/Zuerich"}), "zone", "IANA"),
        (json!({"missed": "always"}), "missed", "run_once"),
        (json!({"when": "now"}), "when", ""),
    ] {
        let (status, problem) = call(&program, Method::PATCH, CHECK, Some(body.clone())).await;
        assert_eq!((status, &problem["field"]), (422, &field.into()), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    let (status, _) =
        call(&program, Method::PATCH, "/api/admin/schedules/none", Some(json!({}))).await;
    assert_eq!(status, 404);

    let server = program.address().to_owned();
    let connection =
        [("QUAESTOR_SERVER", server.as_str()), ("QUAESTOR_API_KEY", crate::installation::KEY)];
    let cli = |arguments: &[&str]| installation.run_with(arguments, &connection);
    let said =
        cli(&["schedules", "set", "check", "--cron", "0 2 * * 7", "--zone", "Europe/Zurich"]);
    assert!(said.contains("0 2 * * 7") && said.contains("Europe/Zurich"), "{said}");
    // What an operator has set outlives the process that wrote down the configuration.
    drop(program);
    let program = installation.start(&SOON);
    let server = program.address().to_owned();
    let connection =
        [("QUAESTOR_SERVER", server.as_str()), ("QUAESTOR_API_KEY", crate::installation::KEY)];
    let cli = |arguments: &[&str]| installation.run_with(arguments, &connection);
    let shown = get(&program, CHECK).await;
    assert_eq!(
        (&shown["cron"], &shown["configured"]["cron"]),
        (&"0 2 * * 7".into(), &"30 4 * * *".into())
    );
    assert!(cli(&["schedules", "pause", "check"]).contains("paused"));
    let paused = get(&program, CHECK).await;
    assert!(paused["paused_at"].is_string() && paused["next_at"].is_null(), "{paused}");
    // Run now all the same, and once at a time.
    assert!(cli(&["schedules", "run", "check"]).contains("run "));
    let runs = ended(&program, "check", 1).await;
    assert_eq!((&runs[0]["state"], &runs[0]["due_at"]), (&"done".into(), &Value::Null), "{runs:?}");
    let path = format!("{CHECK}/runs/{}", runs[0]["id"].as_str().unwrap());
    assert_eq!(get(&program, &path).await["report"]["findings"], json!([]));
    assert!(cli(&["schedules", "resume", "check"]).contains("next"));
    assert!(cli(&["schedules", "reset", "check"]).contains("30 4 * * *"));
    let listed = cli(&["schedules"]);
    assert!(listed.contains("check") && listed.contains("done"), "{listed}");
    assert!(cli(&["schedules", "runs", "check"]).contains("asked for"));
    let audit = get(&program, "/api/admin/audit").await;
    let actions: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["action"].as_str())
        .collect();
    for action in
        ["schedule.set", "schedule.pause", "schedule.run", "schedule.resume", "schedule.reset"]
    {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    let metrics = program.send(Method::GET, "/metrics", None).await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("quaestor_schedule_lateness_seconds{schedule=\"check\"} 0"),
        "{metrics}"
    );
    assert!(metrics.contains("quaestor_check_findings{kind=\"file_missing\"} 0"), "{metrics}");
}

async fn a_backup_is_made_by_its_schedule(backends: Backends) {
    let place = tempfile::tempdir().unwrap();
    let url = format!("file:{}", place.path().join("bundles").display());
    let environment = [
        SOON[0],
        SOON[1],
        ("QUAESTOR_BACKUP_URL", url.as_str()),
        ("QUAESTOR_BACKUP__ENCRYPTION", "none"),
        ("QUAESTOR_SCHEDULES__BACKUP__ZONE", "America/New_York"),
    ];
    let installation = Installation::new(backends).await;
    let program = installation.start(&environment);
    begin(&program, "backup", json!({})).await;
    let runs = ended(&program, "backup", 1).await;
    assert_eq!(runs[0]["state"], "done", "{runs:?}");
    let name = runs[0]["report"]["name"].as_str().unwrap();
    assert!(
        std::fs::read_dir(place.path().join("bundles"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains(name) })
    );
    let shown = get(&program, "/api/admin/schedules/backup").await;
    assert_eq!(shown["zone"], "America/New_York");
}

async fn a_killed_worker_loses_no_run_and_repeats_none(backends: Backends) {
    for point in ["schedule.after_fire", "schedule.after_claim"] {
        let installation = Installation::new(backends).await;
        let program = installation.start(&SOON);
        offered(&program).await;
        drop(program);
        tamper(
            &installation,
            "UPDATE schedules SET next_at = 1800000000000000 WHERE name = 'check'",
        )
        .await;
        tamper(&installation, "UPDATE schedules SET next_at = next_at - 800000000000000").await;
        let plan = format!("{point}=kill");
        let mut program =
            installation.start(&[SOON[0], SOON[1], ("QUAESTOR_FAIL_AT", plan.as_str())]);
        assert!(program.death().await, "the program did not come to {point}\n{}", program.log());
        drop(program);
        let program = installation.start(&SOON);
        let runs = ended(&program, "check", 1).await;
        assert_eq!(runs.len(), 1, "{point}: {runs:?}");
        assert_eq!(runs[0]["state"], "done", "{point}: {runs:?}");
    }
}
