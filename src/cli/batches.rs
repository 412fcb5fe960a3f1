//! `quaestor batches`: how far are the files of an upload, and who steers them?

use quaestor_core::ids::BatchId;
use quaestor_core::model::{Batch, BatchItem, BatchState, BatchSummary, JobState};
use serde::Deserialize;
use serde_json::json;

use super::args::BatchesAction;
use super::{Client, Connection, Ended, Style, Terminal, client, plain, size};

/// More files than a batch is listed with.
const MOST_FILES: usize = 1_000_000;

/// A batch, with what became of it once its last file has ended.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ShownBatch {
    #[serde(flatten)]
    pub(super) batch: Batch,
    #[serde(default)]
    pub(super) summary: Option<BatchSummary>,
}

/// A batch whose failed files were tried again.
#[derive(Debug, Deserialize)]
struct Retried {
    #[serde(flatten)]
    batch: Batch,
    retried: u64,
    remaining: u64,
}

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: BatchesAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    match action {
        BatchesAction::List { limit } => {
            let all: Vec<Batch> =
                client.list("/api/batches", limit as usize, "the list of batches").await?;
            list(&all, terminal)?;
        }
        BatchesAction::Show { id, files, state } => {
            let path = format!("/api/batches/{id}");
            let shown: ShownBatch = client.get(&path, &format!("batch {id}")).await?;
            show(&shown.batch, terminal)?;
            if let Some(summary) = &shown.summary {
                summed_up(summary, terminal)?;
            }
            if files || state.is_some() {
                list_files(&client, id, state, terminal).await?;
            }
        }
        BatchesAction::Pause { id } => steer(&client, id, "pause", terminal).await?,
        BatchesAction::Resume { id } => steer(&client, id, "resume", terminal).await?,
        BatchesAction::Cancel { id } => steer(&client, id, "cancel", terminal).await?,
        BatchesAction::RetryFailed { id } => {
            let path = format!("/api/batches/{id}/retry-failed");
            let what = format!("batch {id}");
            let answer: Retried = client.post_again(&path, &json!({}), &what).await?;
            show(&answer.batch, terminal)?;
            terminal.line(&format!("retried   {}", answer.retried))?;
            if answer.remaining > 0 {
                terminal.note(&format!("{} more have failed: retry again", answer.remaining))?;
            }
        }
    }
    Ok(Ended::Well)
}

async fn steer(
    client: &Client,
    id: BatchId,
    verb: &str,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let path = format!("/api/batches/{id}/{verb}");
    let batch: Batch = client.post_again(&path, &json!({}), &format!("batch {id}")).await?;
    show(&batch, terminal)
}

fn list(batches: &[Batch], terminal: &Terminal) -> anyhow::Result<()> {
    let head = format!(
        "{:<36}  {:<10}  {:>7}  {:>7}  {:>7}  {:<16}  {}",
        "id", "state", "total", "done", "failed", "begun", "name"
    );
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for batch in batches {
        let row = format!(
            "{:<36}  {}  {:>7}  {:>7}  {:>7}  {:<16}  {}",
            batch.id.to_string(),
            terminal.paint(style(batch), &format!("{:<10}", batch.state.as_str())),
            batch.total,
            batch.done,
            batch.failed,
            batch.created_at.format("%Y-%m-%d %H:%M").to_string(),
            plain(batch.name.as_deref().unwrap_or_default()),
        );
        terminal.line(row.trim_end())?;
    }
    Ok(())
}

fn show(batch: &Batch, terminal: &Terminal) -> anyhow::Result<()> {
    terminal.line(&format!("batch     {}", batch.id))?;
    if let Some(name) = &batch.name {
        terminal.line(&format!("name      {}", plain(name)))?;
    }
    let state = terminal.paint(style(batch), batch.state.as_str());
    terminal.line(&format!("state     {state}"))?;
    let mut files = format!("{} of {} done", batch.done, batch.total);
    for (count, what) in [
        (batch.duplicates, "of them there already"),
        (batch.failed, "failed"),
        (batch.cancelled, "cancelled"),
        (batch.running, "running"),
    ] {
        if count > 0 {
            files.push_str(&format!(", {count} {what}"));
        }
    }
    terminal.line(&format!("files     {files}"))?;
    if let Some(rate) = batch.rate {
        terminal.line(&format!("rate      {}", speed(rate)))?;
    }
    if let Some(left) = batch.eta_s.filter(|left| *left > 0) {
        terminal.line(&format!("left      {}", seconds(left)))?;
    }
    terminal.line(&format!("begun     {}", batch.created_at.to_rfc3339()))?;
    if let Some(finished) = batch.finished_at {
        terminal.line(&format!("ended     {}", finished.to_rfc3339()))?;
    }
    Ok(())
}

async fn list_files(
    client: &Client,
    id: BatchId,
    state: Option<JobState>,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let only = state.map(|state| format!("?state={state}")).unwrap_or_default();
    let path = format!("/api/batches/{id}/items{only}");
    let items: Vec<BatchItem> = client.list(&path, MOST_FILES, &format!("batch {id}")).await?;
    for item in items {
        let name = plain(item.filename.as_deref().unwrap_or("(deleted)"));
        let mut line = format!("{:<9}  {name}", item.state.as_str());
        if let Some(reason) = item.reason {
            line.push_str(&format!("  ({})", plain(&reason)));
        }
        terminal.line(&line)?;
        if let Some(problem) = item.problem {
            terminal.paragraph("           ", &plain(&problem.to_string()))?;
        }
    }
    Ok(())
}

/// What became of a whole batch, in a few lines.
pub(super) fn summed_up(sum: &BatchSummary, terminal: &Terminal) -> std::io::Result<()> {
    let files = sum.ready + sum.duplicates + sum.failed + sum.cancelled;
    let mut line = format!("{files} files, {}, {} pages", size(sum.size_bytes), sum.pages);
    line.push_str(&format!(", {} passages in {:.1} s", sum.passages, sum.seconds));
    if sum.cancelled > 0 {
        line.push_str(&format!("; {} cancelled", sum.cancelled));
    }
    terminal.line(&terminal.paint(Style::Dim, &format!("{:<11} {line}", "batch")))?;
    for problem in &sum.problems {
        let example = problem.example.filename.as_deref().unwrap_or("a deleted document");
        let line = format!(
            "{:<11} {:>6}  {}: {}, such as {}",
            "",
            problem.count,
            plain(&problem.code),
            plain(&problem.title),
            plain(example)
        );
        terminal.line(&terminal.paint(Style::Dim, &line))?;
    }
    Ok(())
}

fn style(batch: &Batch) -> Style {
    match batch.state {
        BatchState::Done if batch.failed == 0 => Style::Green,
        BatchState::Done => Style::Red,
        BatchState::Paused | BatchState::Cancelling | BatchState::Cancelled => Style::Yellow,
        BatchState::Running | BatchState::Open => Style::Dim,
    }
}

/// Files in a second, for people.
pub(super) fn speed(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0} files/s") } else { format!("{rate:.1} files/s") }
}

/// A time for people: `1 h 2 m`, `1 m 17 s`, `9 s`.
pub(super) fn seconds(all: u64) -> String {
    match all {
        0..60 => format!("{all} s"),
        60..3_600 => format!("{} m {} s", all / 60, all % 60),
        _ => format!("{} h {} m", all / 3_600, all % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_for_people() {
        assert_eq!([9, 77, 3_720].map(seconds), ["9 s", "1 m 17 s", "1 h 2 m"]);
        assert_eq!([0.25, 120.4].map(speed), ["0.2 files/s", "120 files/s"]);
    }
}
