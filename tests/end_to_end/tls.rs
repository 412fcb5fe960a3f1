//! TLS to every server behind: with an authority of one's own all is well, and what can be
//! wrong with a certificate is one clear sentence each.

use std::net::SocketAddr;
use std::path::Path;

use tokio::task::JoinSet;

use crate::doctor::Report;
use crate::installation::{Backends, Installation};
use crate::program::{Program, long_report};
use crate::tls_servers::Authority;

/// The servers' settings, their TLS schemes, and what the doctor calls them.
const SERVERS: [(&str, &str, &str); 5] = [
    ("QUAESTOR_DATABASE_URL", "postgres", "database"),
    ("QUAESTOR_QUEUE_URL", "amqps", "queue"),
    ("QUAESTOR_QUEUE_MANAGEMENT_URL", "https", "topology"),
    ("QUAESTOR_EVENTS_URL", "rediss", "events"),
    ("AWS_ENDPOINT_URL_S3", "https", "objects"),
];

/// The parts of a URL: login with its `@`, host and port, and the rest.
fn parts(url: &str) -> (String, SocketAddr, String) {
    let (_, rest) = url.split_once("://").unwrap();
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (format!("{login}@"), rest),
        None => (String::new(), rest),
    };
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, String::new()),
    };
    (login, host.parse().unwrap(), path)
}

/// The setting's URL by TLS at another port of `localhost`.
fn by_tls(scheme: &str, url: &str, port: u16) -> String {
    let (login, _, path) = parts(url);
    let mode = if scheme == "postgres" { "?sslmode=verify-full" } else { "" };
    format!("{scheme}://{login}localhost:{port}{path}{mode}")
}

/// The settings by TLS, through listeners that present this name.
async fn settings(
    installation: &Installation,
    authority: &Authority,
    name: &str,
    tasks: &mut JoinSet<()>,
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (setting, scheme, _) in SERVERS {
        let url = installation.setting(setting);
        let port = authority.front(name, parts(url).1, tasks).await;
        all.push((setting, by_tls(scheme, url, port)));
    }
    all
}

fn with_authority<'a>(
    settings: &'a [(&'static str, String)],
    trusted: &'a Path,
) -> Vec<(&'static str, &'a str)> {
    let mut all: Vec<_> = settings.iter().map(|(name, url)| (*name, url.as_str())).collect();
    all.push(("SSL_CERT_FILE", trusted.to_str().unwrap()));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_is_reached_by_tls_and_a_wrong_certificate_is_told() {
    let installation = Installation::new(Backends::Distributed).await;
    let (authority, unknown) = (Authority::new("ours"), Authority::new("unknown"));
    let trusted = installation.folder().join("authority.pem");
    authority.write(&trusted);
    let mut tasks = JoinSet::new();

    let good = settings(&installation, &authority, "localhost", &mut tasks).await;
    let environment = with_authority(&good, &trusted);
    let program = Program::of(vec![
        installation.process("front", &environment),
        installation.process("worker", &environment),
    ]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let conversation = program.make_conversation().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let question = serde_json::json!({"content": "What was the market value of bond 17 in 2025?"});
    let asked = program.post(&path, question).await;
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");

    let server = program.address.clone();
    let doctor = |environment: &[(&str, &str)]| Report::of(&installation, &server, environment);
    let report = doctor(&environment);
    assert!(report.well, "{}", report.said);

    let cases = [
        (settings(&installation, &unknown, "localhost", &mut tasks).await, "SSL_CERT_FILE"),
        (
            settings(&installation, &authority, "elsewhere.example", &mut tasks).await,
            "another host",
        ),
    ];
    for (settings, told) in &cases {
        let report = doctor(&with_authority(settings, &trusted));
        assert!(!report.well);
        for (_, _, subject) in SERVERS {
            report.has("fail", subject, told);
        }
    }

    // Ports that speak no TLS.
    let plain: Vec<_> = SERVERS
        .iter()
        .map(|(setting, scheme, _)| {
            let url = installation.setting(setting);
            (*setting, by_tls(scheme, url, parts(url).1.port()))
        })
        .collect();
    let report = doctor(&with_authority(&plain, &trusted));
    assert!(!report.well);
    for (_, _, subject) in SERVERS {
        report.has("fail", subject, "TLS");
    }
}
