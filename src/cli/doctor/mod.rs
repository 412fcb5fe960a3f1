//! `quaestor doctor`: what is wrong with the installation, and what mends it?

mod backups;
mod local;
mod services;
mod stuck;

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::model::Collection;

use super::client::Health;
use super::{
    Client, ClientError, ConfigFile, Connection, Ended, Style, Terminal, client, plain, settings,
};

/// How long a check may take: a server that hangs must not hold up the rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
struct Finding {
    verdict: Verdict,
    subject: &'static str,
    told: String,
}

fn ok(subject: &'static str, told: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Ok, subject, told: told.into() }
}

fn warn(subject: &'static str, told: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Warn, subject, told: told.into() }
}

fn fail(subject: &'static str, told: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Fail, subject, told: told.into() }
}

/// Looks at the configuration, this machine, the servers behind and the server; each finding is one line.
pub(super) async fn run(
    connection: &Connection,
    file: &ConfigFile,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let mut findings = Vec::new();
    let servers = async {
        let mut found = Vec::new();
        match settings(file) {
            Ok(settings) => {
                local::look(&settings, &mut found);
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                let mut kept = Vec::new();
                // At the same time: a server that hangs holds both up.
                tokio::join!(
                    services::look(&settings.config, &mut found),
                    backups::look(&settings.config, &clock, &mut kept),
                );
                found.extend(kept);
            }
            Err(error) => found.push(fail("configuration", super::sentence(&error))),
        }
        found
    };
    let server = async {
        match client(connection) {
            Ok(client) => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                bounded("server", &clock, remote(&client)).await
            }
            Err(error) => vec![fail("server", super::sentence(&error))],
        }
    };
    let (servers, server) = tokio::join!(servers, server);
    findings.extend(servers);
    findings.extend(server);
    let mut ended = Ended::Well;
    for finding in &findings {
        let (style, word) = match finding.verdict {
            Verdict::Ok => (Style::Green, "ok  "),
            Verdict::Warn => (Style::Yellow, "warn"),
            Verdict::Fail => (Style::Red, "fail"),
        };
        if finding.verdict == Verdict::Fail {
            ended = Ended::Badly;
        }
        let told = plain(&finding.told);
        terminal.line(&format!(
            "{} {:<14} {told}",
            terminal.paint(style, word),
            finding.subject
        ))?;
    }
    Ok(ended)
}

/// What a check finds within the time for it.
async fn bounded(
    subject: &'static str,
    clock: &Arc<dyn Clock>,
    check: impl Future<Output = anyhow::Result<Vec<Finding>>>,
) -> Vec<Finding> {
    tokio::select! {
        found = check => found.unwrap_or_else(|error| vec![fail(subject, super::sentence(&error))]),
        () = clock.sleep(PATIENCE) => vec![fail(
            subject,
            format!(
                "no answer within {} s: it hangs, or something on the way drops what is sent",
                PATIENCE.as_secs()
            ),
        )],
    }
}

async fn remote(client: &Client) -> anyhow::Result<Vec<Finding>> {
    let health: Health = client.get("/health", "the server's health").await?;
    let mut findings = Vec::new();
    let ours = env!("CARGO_PKG_VERSION");
    let hours = health.uptime_s / 3_600.0;
    let told = format!("{}, version {}, up {hours:.1} h", client.server(), health.version);
    findings.push(if health.version == ours {
        ok("server", told)
    } else {
        warn("server", format!("{told}; this program is {ours}: use the same version"))
    });
    if !is_well(&health.status) {
        findings.push(warn("server", format!("it says of itself: {}", health.status)));
    }
    for (name, check) in &health.checks {
        if !is_well(&check.status) {
            let detail = check.detail.as_ref().map(ToString::to_string).unwrap_or_default();
            findings.push(warn("server", format!("{name} is {}: {detail}", check.status)));
        }
    }
    let collections: Result<Vec<Collection>, ClientError> =
        client.list("/api/collections", usize::MAX, "the list of collections").await;
    match collections {
        Err(error) => findings.push(fail("key", error.to_string())),
        Ok(collections) => {
            findings.push(ok("key", format!("good; it sees {} collections", collections.len())));
            let without = collections.iter().filter(|c| c.embedding_model.is_none());
            let names: Vec<&str> = without.map(|collection| collection.name.as_str()).collect();
            if !names.is_empty() {
                let told =
                    format!("searched by words alone, without vectors: {}", names.join(", "));
                findings.push(warn("collections", told));
            }
            findings.extend(stuck::look(client).await);
        }
    }
    Ok(findings)
}

/// Whether a health body calls it good, or nobody asked for it.
fn is_well(status: &str) -> bool {
    matches!(status, "ok" | "unknown")
}
