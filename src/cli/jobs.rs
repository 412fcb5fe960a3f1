//! `quaestor jobs`: what was accepted, and where does it stand?

use quaestor_core::events::Event;
use quaestor_core::model::{Job, JobState, Reason};
use serde::Deserialize;
use serde_json::json;

use super::args::JobsAction;
use super::client::Heard;
use super::{Connection, Ended, Style, Terminal, client, plain};

/// A job with its place in its queue.
#[derive(Debug, Deserialize)]
struct ShownJob {
    #[serde(flatten)]
    job: Job,
    /// Servers of earlier versions do not tell it.
    #[serde(default)]
    position: Option<u64>,
    #[serde(default)]
    ahead: Option<u64>,
}

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: JobsAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    match action {
        JobsAction::List { state, kind, limit } => {
            let mut path = "/api/jobs".to_owned();
            if let Some(state) = state {
                path.push_str(&format!("?state={state}"));
            }
            if let Some(kind) = kind {
                let mark = if path.contains('?') { '&' } else { '?' };
                path.push_str(&format!("{mark}kind={}", kind.as_str()));
            }
            let jobs: Vec<Job> = client.list(&path, limit as usize, "the list of jobs").await?;
            let head = format!("{:<36}  {:<16}  {:<9}  {:<16}", "id", "step", "state", "accepted");
            terminal.line(&terminal.paint(Style::Bold, head.trim_end()))?;
            for job in jobs {
                let row = format!(
                    "{:<36}  {:<16}  {}  {:<16}  {}",
                    job.id.to_string(),
                    job.step.as_str(),
                    terminal.paint(style(job.state), &format!("{:<9}", job.state.as_str())),
                    job.created_at.format("%Y-%m-%d %H:%M").to_string(),
                    why(&job),
                );
                terminal.line(row.trim_end())?;
            }
        }
        JobsAction::Show { id } => {
            let job: ShownJob =
                client.get(&format!("/api/jobs/{id}"), &format!("job {id}")).await?;
            show(&job, terminal)?;
        }
        JobsAction::Cancel { id } => {
            let path = format!("/api/jobs/{id}/cancel");
            let job: ShownJob = client.post_once(&path, &json!({}), &format!("job {id}")).await?;
            show(&job, terminal)?;
        }
        JobsAction::Watch { id } => {
            let mut ended = Ended::Well;
            let follow = client.follow(id);
            follow
                .until_end::<anyhow::Error>(|heard| {
                    let (id, event) = match heard {
                        Heard::Event(id, event) => (id, *event),
                        Heard::Gap => {
                            terminal
                                .note("the job's events are gone; `jobs show` tells its state")?;
                            return Ok(());
                        }
                    };
                    if matches!(event, Event::Failed { .. } | Event::Cancelled) {
                        ended = Ended::Badly;
                    }
                    terminal.line(&format!("{id:<8} {}", told(&event)?))?;
                    Ok(())
                })
                .await?;
            return Ok(ended);
        }
    }
    Ok(Ended::Well)
}

fn show(shown: &ShownJob, terminal: &Terminal) -> anyhow::Result<()> {
    let ShownJob { job, position, ahead } = shown;
    let state = terminal.paint(style(job.state), job.state.as_str());
    terminal.line(&format!("job       {}", job.id))?;
    terminal.line(&format!("state     {state}"))?;
    if let Some(problem) = &job.problem {
        terminal.paragraph("          ", &plain(&problem.to_string()))?;
    }
    if let Some(reason) = &job.reason {
        let mut told = Reason::told(reason).to_owned();
        match (position, ahead) {
            (Some(1), _) => told.push_str("; it is the next"),
            (Some(place), Some(0)) => told.push_str(&format!("; it is number {place}")),
            (Some(place), Some(ahead)) => told
                .push_str(&format!("; it is number {place}, after {ahead} of its own workspace")),
            (Some(place), None) => told.push_str(&format!("; it is number {place}")),
            (None, _) => {}
        }
        if let Some(until) = job.until {
            told.push_str(&format!("; it is tried again at {}", until.format("%H:%M:%S UTC")));
        }
        terminal.line(&format!("reason    {}", plain(reason)))?;
        terminal.paragraph("          ", &told)?;
    }
    if let Some(error) = &job.last_error {
        let (code, at) = (plain(&error.code), error.at.format("%H:%M:%S UTC"));
        terminal.line(&format!("last try  {code} at {at}, attempt {}", error.attempt))?;
        terminal.paragraph("          ", &plain(&error.detail))?;
    }
    terminal.line(&format!("step      {}, attempt {}", job.step, job.attempt))?;
    terminal.line(&format!("works on  {}", job.subject_id))?;
    terminal.line(&format!("accepted  {}", job.created_at.to_rfc3339()))?;
    if let Some(finished) = job.finished_at {
        terminal.line(&format!("ended     {}", finished.to_rfc3339()))?;
    }
    if job.state == JobState::Dead {
        terminal
            .note(&format!("an administrator sees more with `quaestor dead show {}`", job.id))?;
    }
    Ok(())
}

/// Why the job waits or has failed, in a word; empty for the rest.
fn why(job: &Job) -> String {
    match (&job.problem, &job.reason) {
        // `jobs show` has the rest.
        (Some(problem), _) => plain(&problem.code),
        (None, Some(reason)) => {
            let until = job.until.map(|t| format!(" until {}", t.format("%H:%M:%S")));
            plain(&format!("{reason}{}", until.unwrap_or_default()))
        }
        (None, None) => String::new(),
    }
}

fn style(state: JobState) -> Style {
    match state {
        JobState::Done => Style::Green,
        JobState::Failed | JobState::Dead => Style::Red,
        JobState::Waiting | JobState::Cancelled => Style::Yellow,
        JobState::Queued | JobState::Running => Style::Dim,
    }
}

/// An event as the wire has it, on one line.
fn told(event: &Event) -> anyhow::Result<String> {
    let value = serde_json::to_value(event)?;
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let rest: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "kind")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(plain(&format!("{kind:<10} {}", rest.join(" "))).trim_end().to_owned())
}
