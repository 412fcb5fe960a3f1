//! `quaestor doctor` over a distributed installation: what is well, and a line for each
//! thing that is not, with what mends it and no secret.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::installation::{Backends, Installation};
use crate::program::Program;
use crate::servers::Servers;

/// A password that nobody has. It must not be shown.
const WRONG: &str = "c4nary-of-a-password";

/// What the doctor said, and whether all was well.
pub(crate) struct Report {
    pub(crate) well: bool,
    pub(crate) said: String,
}

impl Report {
    /// Runs it with these settings instead of the installation's.
    pub(crate) fn of(installation: &Installation, server: &str, instead: &[(&str, &str)]) -> Self {
        let mut command = installation.command(&["doctor", "--server", server]);
        let output = command.envs(instead.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let secret = installation.setting("AWS_SECRET_ACCESS_KEY");
        assert!(!said.contains(secret) && !said.contains(WRONG), "a secret is shown: {said}");
        Self { well: output.status.success(), said }
    }

    /// Whether a line about this begins with a word and says so.
    #[track_caller]
    pub(crate) fn has(&self, word: &str, subject: &str, told: &str) {
        let found = self.said.lines().any(|line| {
            line.starts_with(word)
                && line[word.len()..].trim_start().starts_with(subject)
                && line.contains(told)
        });
        assert!(found, "no `{word} {subject} … {told}` in:\n{}", self.said);
        assert!(self.well || self.said.contains("fail"), "{}", self.said);
    }
}

/// The URL with another password.
fn with_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, host) = rest.rsplit_once('@').unwrap();
    let (user, _) = login.split_once(':').unwrap();
    format!("{scheme}://{user}:{WRONG}@{host}")
}

#[tokio::test]
async fn a_healthy_installation_is_told_from_one_with_faults() {
    let installation = Installation::new(Backends::Distributed).await;
    // Nobody else's workers are on the noticeboard of this database.
    let (events, _) = installation.setting("QUAESTOR_EVENTS_URL").rsplit_once('/').unwrap();
    let events = format!("{events}/15");
    let front = installation.process("front", &[("QUAESTOR_EVENTS_URL", &events)]);
    let server = front.address.clone();
    let program = Program::of(vec![front]);
    let report = Report::of(&installation, &server, &[]);
    assert!(report.well, "{}", report.said);
    report.has("ok", "database", "with pgvector");
    report.has("ok", "queue", "RabbitMQ 4");
    report.has("ok", "topology", "as it should be");
    report.has("ok", "events", "Redis ");
    report.has("ok", "objects", "written, read and removed");

    let wrong = |name: &str| with_password(installation.setting(name));
    let (database, queue, management, events) = (
        wrong("QUAESTOR_DATABASE_URL"),
        wrong("QUAESTOR_QUEUE_URL"),
        wrong("QUAESTOR_QUEUE_MANAGEMENT_URL"),
        wrong("QUAESTOR_EVENTS_URL"),
    );
    let report = Report::of(
        &installation,
        &server,
        &[
            ("QUAESTOR_DATABASE_URL", &database),
            ("QUAESTOR_QUEUE_URL", &queue),
            ("QUAESTOR_QUEUE_MANAGEMENT_URL", &management),
            ("QUAESTOR_EVENTS_URL", &events),
            ("QUAESTOR_OBJECTS_URL", "s3://nobody-made-this"),
        ],
    );
    assert!(!report.well);
    report.has("fail", "database", "refuses the password");
    report.has("fail", "queue", "refuses the user or the password");
    report.has("fail", "topology", "refuses user");
    report.has("fail", "events", "refused the user or the password");
    report.has("fail", "objects", "there is no bucket nobody-made-this");

    // A policy that somebody has changed, and a question that nobody takes.
    let vhost = installation.setting("QUAESTOR_QUEUE_URL").rsplit_once('/').unwrap().1.to_owned();
    let base = installation.setting("QUAESTOR_QUEUE_MANAGEMENT_URL");
    let drifted = json!({"pattern": "^qs\\.", "apply-to": "queues", "priority": 10,
                         "definition": {"max-length": 7}});
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let put = client
        .put(format!("{}/api/policies/{vhost}/qs-work", base.trim_end_matches('/')))
        .json(&drifted);
    assert!(put.send().await.unwrap().status().is_success());
    let conversation = program.make_conversation().await;
    let asked = program
        .post(&format!("/api/conversations/{conversation}/messages"), json!({"content": "Why?"}))
        .await;
    let job = asked["job_id"].as_str().unwrap();
    let queued = program.get(&format!("/api/jobs/{job}")).await;
    assert_eq!((&queued["reason"], &queued["position"]), (&json!("no_worker"), &json!(1)));
    // The broker counts every few seconds, and work is stuck after a minute.
    let until = Instant::now() + Duration::from_secs(100);
    let report = loop {
        let report = Report::of(&installation, &server, &[]);
        let told = "jobs wait for chat.retrieve, and no worker takes them";
        if (report.said.contains("no worker takes them") && report.said.contains(told))
            || Instant::now() > until
        {
            break report;
        }
    };
    assert!(!report.well);
    report.has("fail", "topology", "policy qs-work: max-length is 7");
    report.has("fail", "topology", "`quaestor topology apply`");
    report.has("warn", "queue", "start `quaestor worker --queues chat.retrieve`");
    report.has("warn", "work", "start `quaestor worker --queues chat.retrieve`");
}

#[tokio::test]
async fn servers_that_hang_are_told_within_the_time_for_it() {
    let servers = Servers::own();
    let installation = Installation::on(servers.clone()).await;
    let front = installation.process("front", &[]);
    let events = installation.setting("QUAESTOR_EVENTS_URL");
    let redis = redis::Client::open(events).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    for (name, value) in [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(name).arg(value).exec_async(&mut redis).await.unwrap();
    }
    let report = Report::of(&installation, &front.address, &[]);
    assert!(!report.well);
    report.has("fail", "events", "set maxmemory-policy noeviction");

    let hanging = ["postgres", "rabbitmq", "redis"];
    servers.pause(&hanging);
    let begun = Instant::now();
    let report = Report::of(&installation, &front.address, &[]);
    let took = begun.elapsed();
    servers.resume(&hanging);
    assert!(!report.well);
    report.has("fail", "database", "in time");
    for subject in ["queue", "topology", "events"] {
        report.has("fail", subject, "");
    }
    assert!(took < Duration::from_secs(15), "it took {took:?}: {}", report.said);
}
