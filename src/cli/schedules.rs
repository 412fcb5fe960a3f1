//! `quaestor schedules`: what is done by the clock, when, and how did it go?

use quaestor_core::clock::Time;
use quaestor_core::model::{CHECK, CheckReport, Page, RunState, ScheduleRun, Timing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::args::SchedulesAction;
use super::client::Client;
use super::{Connection, Ended, Style, Terminal, client, plain};

const PATH: &str = "/api/admin/schedules";

/// A run, as the server shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    #[serde(flatten)]
    pub(super) run: ScheduleRun,
    took_s: Option<f64>,
}

/// A schedule, as the server shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Schedule {
    name: String,
    #[serde(flatten)]
    timing: Timing,
    configured: Timing,
    enabled: bool,
    paused_at: Option<Time>,
    next_at: Option<Time>,
    pub(super) current: Option<Run>,
    pub(super) last: Option<Run>,
}

/// The path of a schedule, or of something of it.
pub(super) fn path_of(name: &str, rest: &str) -> String {
    // A base is needed for its encoding alone.
    let mut url = reqwest::Url::parse("http://localhost").ok();
    if let Some(mut parts) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        parts.push(name);
    }
    let name = url.map(|url| url.path().to_owned()).unwrap_or_default();
    if rest.is_empty() { format!("{PATH}{name}") } else { format!("{PATH}{name}/{rest}") }
}

fn called(name: &str) -> String {
    format!("schedule `{}`", plain(name))
}

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: Option<SchedulesAction>,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    match action.unwrap_or(SchedulesAction::List { json: false }) {
        SchedulesAction::List { json } => {
            let listed: Page<Schedule> = client.get(PATH, "the schedules").await?;
            if json {
                terminal.line(&serde_json::to_string_pretty(&listed.items)?)?;
            } else {
                list(&listed.items, terminal)?;
            }
        }
        SchedulesAction::Runs { name, limit, json } => {
            let path = path_of(&name, "runs");
            let runs: Vec<Run> = client.list(&path, limit as usize, &called(&name)).await?;
            if json {
                terminal.line(&serde_json::to_string_pretty(&runs)?)?;
            } else {
                list_runs(&runs, terminal)?;
            }
        }
        SchedulesAction::Pause { name } => steer(&client, &name, "pause", terminal).await?,
        SchedulesAction::Resume { name } => steer(&client, &name, "resume", terminal).await?,
        SchedulesAction::Reset { name } => steer(&client, &name, "reset", terminal).await?,
        SchedulesAction::Run { name } => {
            let path = path_of(&name, "run");
            let run: Run = client.post_once(&path, &json!({}), &called(&name)).await?;
            terminal.line(&format!("run       {}", run.run.id))?;
            terminal.note(&format!(
                "a worker takes it within seconds: `quaestor schedules runs {}` shows how it goes",
                plain(&name)
            ))?;
        }
        SchedulesAction::Set { name, cron, zone, missed } => {
            let mut body = json!({});
            for (field, value) in [("cron", cron), ("zone", zone), ("missed", missed)] {
                if let Some(value) = value {
                    body[field] = Value::from(value);
                }
            }
            let schedule: Schedule =
                client.patch(&path_of(&name, ""), &body, &called(&name)).await?;
            show(&schedule, terminal)?;
        }
    }
    Ok(Ended::Well)
}

async fn steer(client: &Client, name: &str, verb: &str, terminal: &Terminal) -> anyhow::Result<()> {
    let path = path_of(name, verb);
    let schedule: Schedule = client.post_again(&path, &json!({}), &called(name)).await?;
    show(&schedule, terminal)
}

/// When it is next due, or why it is not.
fn next(schedule: &Schedule) -> String {
    match (schedule.enabled, schedule.paused_at, schedule.next_at) {
        (false, ..) => "switched off".to_owned(),
        (_, Some(_), _) => "paused".to_owned(),
        (.., Some(at)) => minute(at),
        (.., None) => "-".to_owned(),
    }
}

fn minute(at: Time) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long something took, to the eye.
pub(super) fn took(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

fn outcome(run: &Run, terminal: &Terminal) -> String {
    let style = match run.run.state {
        RunState::Done => Style::Green,
        RunState::Failed => Style::Red,
        _ => Style::Yellow,
    };
    let state = terminal.paint(style, run.run.state.as_str());
    let found = found(run).filter(|found| *found > 0).map(|found| format!(", {found} findings"));
    let took = run.took_s.map(|s| format!(" in {}", took(s))).unwrap_or_default();
    format!("{state}{took}{}", found.unwrap_or_default())
}

/// What a check has found.
fn found(run: &Run) -> Option<u64> {
    let report = run.run.report.clone().filter(|_| run.run.task == CHECK)?;
    serde_json::from_value::<CheckReport>(report).ok().map(|report| report.total())
}

fn list(schedules: &[Schedule], terminal: &Terminal) -> anyhow::Result<()> {
    if schedules.is_empty() {
        terminal.note("there are no schedules: a worker writes them down when it starts")?;
        return Ok(());
    }
    let head = format!(
        "{:<12}  {:<16}  {:<18}  {:<8}  {:<20}  {:<20}  {}",
        "name", "cron", "zone", "missed", "next", "last", "outcome"
    );
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for schedule in schedules {
        let Timing { cron, zone, missed } = &schedule.timing;
        let last = schedule.current.as_ref().or(schedule.last.as_ref());
        let at = last.map(|run| minute(run.run.began_at.unwrap_or(run.run.queued_at)));
        let row = format!(
            "{:<12}  {:<16}  {:<18}  {:<8}  {:<20}  {:<20}  {}",
            plain(&schedule.name),
            plain(cron),
            plain(zone),
            missed.as_str(),
            next(schedule),
            at.unwrap_or_else(|| "-".to_owned()),
            last.map(|run| outcome(run, terminal)).unwrap_or_default(),
        );
        terminal.line(row.trim_end())?;
        if let Some(error) = last.and_then(|run| run.run.error.as_deref()) {
            terminal.note(&format!("{}: {}", plain(&schedule.name), plain(error)))?;
        }
    }
    Ok(())
}

fn list_runs(runs: &[Run], terminal: &Terminal) -> anyhow::Result<()> {
    let head = format!("{:<36}  {:<20}  {:<20}  {}", "id", "due", "begun", "outcome");
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for run in runs {
        let due = run.run.due_at.map_or_else(|| "asked for".to_owned(), minute);
        let begun = run.run.began_at.map_or_else(|| "-".to_owned(), minute);
        let id = run.run.id.to_string();
        let row = format!("{id:<36}  {due:<20}  {begun:<20}  {}", outcome(run, terminal));
        terminal.line(row.trim_end())?;
        if let Some(error) = &run.run.error {
            terminal.paragraph("  ", &plain(error))?;
        }
    }
    Ok(())
}

fn show(schedule: &Schedule, terminal: &Terminal) -> anyhow::Result<()> {
    let Timing { cron, zone, missed } = &schedule.timing;
    terminal.line(&format!("name      {}", plain(&schedule.name)))?;
    terminal.line(&format!("cron      {}", plain(cron)))?;
    terminal.line(&format!("zone      {}", plain(zone)))?;
    terminal.line(&format!("missed    {missed}"))?;
    terminal.line(&format!("next      {}", next(schedule)))?;
    if schedule.timing != schedule.configured {
        let Timing { cron, zone, missed } = &schedule.configured;
        terminal.note(&format!(
            "the configuration says {} ({}, {missed}); `quaestor schedules reset {}` goes back to \
             it",
            plain(cron),
            plain(zone),
            plain(&schedule.name)
        ))?;
    }
    Ok(())
}
