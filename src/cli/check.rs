//! `quaestor check`: do rows, passages, vectors and files agree?

use std::time::Duration;

use anyhow::bail;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::model::{CHECK, CheckReport, RunState};
use serde_json::json;

use super::args::CheckArguments;
use super::client::Client;
use super::schedules::{Run, Schedule, path_of, took};
use super::{Ended, Style, Terminal, client, plain, size};

/// How often is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A check that takes longer is left to itself.
const LOOKS: u32 = 24 * 3_600;
/// So many examples of a kind are shown.
const SHOWN: usize = 5;

/// Runs a check and shows what it found, or shows what the last one found.
pub(super) async fn run(arguments: CheckArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let client = client(&arguments.connection)?;
    let run = if arguments.last {
        let runs: Vec<Run> = client.list(&path_of(CHECK, "runs"), 200, "the checks").await?;
        let Some(run) = runs.into_iter().find(|run| run.run.state == RunState::Done) else {
            bail!("no check has ended yet; `quaestor check` runs one");
        };
        run
    } else {
        ended(&client, arguments.repair, terminal).await?
    };
    let error = run.run.error.unwrap_or_default();
    let Some(report) = run.run.report else {
        bail!("the check {}: {}", run.run.state, plain(&error));
    };
    let report: CheckReport = serde_json::from_value(report)?;
    if arguments.json {
        terminal.line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        show(&report, terminal)?;
    }
    Ok(if report.total() == 0 { Ended::Well } else { Ended::Badly })
}

/// Begins a check, or waits with whoever did, and gives it once it has ended.
async fn ended(client: &Client, repair: bool, terminal: &Terminal) -> anyhow::Result<Run> {
    let as_it_is: Schedule = client.get(&path_of(CHECK, ""), "the check").await?;
    let mut run = match as_it_is.current {
        Some(_) if repair => {
            bail!("a check is under way that was not asked to mend: wait for its end")
        }
        Some(run) => {
            terminal.note("a check is under way: this is what it finds")?;
            run
        }
        None => client.post_once(&path_of(CHECK, "run"), &json!({"repair": repair}), CHECK).await?,
    };
    let path = path_of(CHECK, &format!("runs/{}", run.run.id));
    for _ in 0..LOOKS {
        if run.run.state.has_ended() {
            return Ok(run);
        }
        SystemClock.sleep(LOOK_EVERY).await;
        run = client.get(&path, "the check").await?;
    }
    bail!("the check has not ended in a day: `quaestor check --last` shows what it finds")
}

fn show(report: &CheckReport, terminal: &Terminal) -> anyhow::Result<()> {
    let checked = &report.checked;
    let line = |name: &str, value: String| terminal.line(&format!("{name:<10}{value}"));
    line("versions", format!("{} in {} workspaces", checked.versions, checked.workspaces))?;
    line("passages", checked.passages.to_string())?;
    line("vectors", checked.vectors.to_string())?;
    let read = format!("{} of them read ({})", checked.files_read, size(checked.bytes_read));
    line("files", format!("{} and {} exports, {read}", checked.files, checked.exports))?;
    line("work", took(report.work_s))?;
    if report.repaired_documents > 0 {
        line("mended", format!("{} documents are given vectors", report.repaired_documents))?;
    }
    if report.findings.is_empty() {
        terminal.line(&terminal.paint(Style::Green, "everything agrees"))?;
    }
    for finding in &report.findings {
        let head = format!("{} of {}", finding.count, finding.kind);
        terminal.line(&terminal.paint(Style::Red, &head))?;
        for example in finding.examples.iter().take(SHOWN) {
            let told = format!("{}: {}", plain(&example.subject), plain(&example.detail));
            terminal.paragraph("  ", &told)?;
        }
        terminal.paragraph("  ", &format!("To mend it: {}", plain(&finding.remedy)))?;
    }
    Ok(())
}
