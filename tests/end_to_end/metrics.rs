//! What a running program tells in numbers is the table, all of it and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use quaestor_core::metrics::{ALL, Kind, Metric, Shown};
use quaestor_model_server::ModelServer;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http};

use crate::installation::{Backends, Installation, KEY, on_both};
use crate::program::{Process, Program, long_report};

on_both!(the_table_is_what_is_scraped);

/// A line of what was scraped: the metric of the table, its labels and its value.
struct Line {
    metric: &'static Metric,
    labels: BTreeMap<String, String>,
    value: f64,
}

async fn scrape(address: &str) -> String {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let answer = client.get(format!("{address}/metrics")).bearer_auth(KEY).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

/// The entry of a name, as a histogram's lines have it too.
fn entry(name: &str) -> Option<&'static Metric> {
    ALL.iter().copied().find(|metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|ending| name.strip_suffix(ending) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => metric.name == name,
    })
}

/// Reads what was scraped, and holds every line of it to the table.
fn read(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            let metric = ALL.iter().find(|metric| metric.name == name).expect(name);
            assert_eq!(help, metric.help);
            helped.insert(name);
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            typed.insert(name, kind);
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (series, ""),
        };
        let metric = entry(name).unwrap_or_else(|| panic!("{line}: it is not in the table"));
        assert!(helped.contains(metric.name), "{line}: nothing tells what it is");
        assert_eq!(typed[metric.name], metric.kind.as_str(), "{line}");
        let mut read = BTreeMap::new();
        for label in labels.split("\",").filter(|label| !label.is_empty()) {
            let (label, text) = label.split_once("=\"").unwrap();
            read.insert(label.to_owned(), text.trim_end_matches('"').to_owned());
        }
        read.remove("le");
        let named: BTreeSet<&str> = read.keys().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(named, wanted, "{line}");
        for label in metric.labels {
            let value = &read[label.name];
            assert!(label.bound.holds(value), "{line}: {} is not {:?}", label.name, label.bound);
        }
        lines.push(Line { metric, labels: read, value: value.parse().unwrap() });
    }
    lines
}

/// Asks over a WebSocket and waits for the end of the answer.
async fn ask_by_socket(program: &Program, conversation: &str) {
    let url = format!("{}/ws", program.address.replace("http:", "ws:"));
    let mut request = url.into_client_request().unwrap();
    let bearer = http::HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    let mut socket = connect_async(request).await.unwrap().0;
    let ask = json!({"type": "ask", "request_id": "r", "conversation_id": conversation,
                     "content": "What was the market value of bond 2?"});
    socket.send(Message::text(ask.to_string())).await.unwrap();
    loop {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if ["done", "failed"].contains(&frame["event"]["kind"].as_str().unwrap_or("")) {
            assert_eq!(frame["event"]["kind"], "done", "{frame}");
            return;
        }
    }
}

async fn the_table_is_what_is_scraped(backends: Backends) {
    let models = ModelServer::start().await;
    let base_url = models.openai_url();
    let environment = [
        ("QUAESTOR_CHAT", "openai:scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", "sk-none"),
    ];
    let installation = Installation::new(backends).await;
    let processes: Vec<Process> = match backends {
        Backends::Embedded => vec![installation.process("serve", &environment)],
        Backends::Distributed => vec![
            installation.process("front", &environment),
            installation.process("worker", &environment),
        ],
    };
    let addresses: Vec<String> = processes.iter().map(|process| process.address.clone()).collect();
    let program = Program::of(processes);

    // What a process shows before it has done anything is what alerts are made of.
    for address in &addresses {
        let lines = read(&scrape(address).await);
        for metric in ALL.iter().filter(|metric| metric.shown == Shown::Always) {
            let there = lines.iter().any(|line| line.metric.name == metric.name);
            assert!(there, "{} is not there at once", metric.name);
        }
        let counted = |line: &&Line| line.metric.kind == Kind::Counter && line.value > 0.0;
        let busy = lines.iter().filter(counted).map(|line| line.metric.name);
        assert!(busy.filter(|name| name.contains("_jobs_")).count() == 0);
    }

    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    program.post("/api/search", json!({"query": "market value of bond 3"})).await;
    let conversation = program.make_conversation().await;
    ask_by_socket(&program, &conversation).await;
    let refused = program.send(reqwest::Method::GET, "/api/jobs/no-id-at-all", None).await.unwrap();
    assert_eq!(refused.status().as_u16() / 100, 4);
    // Sweeps run every five seconds.
    let mut swept = false;
    for _ in 0..300 {
        swept = scrape(&addresses[0]).await.contains("quaestor_sweep_last_run_timestamp_seconds{");
        if swept {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(swept, "no sweep was told");

    let mut shown = BTreeSet::new();
    let mut total: BTreeMap<String, f64> = BTreeMap::new();
    for (number, address) in addresses.iter().enumerate() {
        let text = scrape(address).await;
        for line in read(&text) {
            shown.insert(line.metric.name);
            if line.metric.kind == Kind::Counter {
                let labels: Vec<&str> = line.labels.values().map(String::as_str).collect();
                *total.entry(format!("{} {}", line.metric.name, labels.join(" "))).or_default() +=
                    line.value;
            }
        }
        let file = installation.folder().join(format!("scraped-{number}"));
        std::fs::write(&file, &text).unwrap();
        promtool(&file);
    }
    let expected = |shown: Shown| match shown {
        Shown::Always | Shown::AtWork => true,
        Shown::Distributed => backends == Backends::Distributed,
        Shown::Rarely => false,
    };
    for metric in ALL.iter().filter(|metric| expected(metric.shown)) {
        assert!(shown.contains(metric.name), "{} is not shown", metric.name);
    }
    let counted = |name: &str| total.get(name).copied().unwrap_or_default();
    assert_eq!(counted("quaestor_jobs_accepted_total chat"), 1.0);
    assert_eq!(counted("quaestor_jobs_accepted_total documents"), 1.0);
    assert_eq!(counted("quaestor_documents_ingested_total "), 1.0);
    assert!(counted("quaestor_pages_ingested_total ") >= 1.0);
    assert_eq!(counted("quaestor_steps_total done chat.generate"), 1.0);
    assert_eq!(counted("quaestor_model_calls_total openai:scripted chat done openai"), 1.0);
    assert!(counted("quaestor_socket_frames_total sent") > 3.0);
}

/// What was scraped, by the eyes of Prometheus' own tool. Where it cannot be had, the script
/// says so and ends well.
fn promtool(scraped: &std::path::Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check-metrics.sh");
    let output = Command::new(script).arg(scraped).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}
