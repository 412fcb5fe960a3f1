//! `quaestor dead`: what was given up, and another life for it.

use std::collections::BTreeMap;

use anyhow::bail;
use quaestor_core::clock::Time;
use quaestor_core::model::Page;
use quaestor_core::ports::store::{
    DeadGroup, DeadLetter, DeadMessage, DiscardReport, Discarded, DiscardedLetter, ReplayReport,
    Replayed, ReplayedJob,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{DeadAction, DeadSelection};
use super::client::Client;
use super::{Connection, Ended, Style, Terminal, client, plain};

const REPLAY: &str = "/api/admin/dead/replay";
const DISCARD: &str = "/api/admin/dead/discard";
/// Letters that one request may name.
const AT_ONCE: usize = 200;
/// More requests than any installation needs.
const MOST_LOOKS: usize = 100_000;

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: DeadAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    match action {
        DeadAction::List { selection, group: true, .. } => {
            groups(&client, &selection, terminal).await
        }
        DeadAction::List { selection, limit, .. } => {
            list(&client, &selection, limit as usize, terminal).await
        }
        DeadAction::Show { id } => {
            let path = format!("/api/admin/dead/{id}");
            let letter: DeadLetter = client.get(&path, &format!("dead letter {id}")).await?;
            show(&letter, terminal)?;
            Ok(Ended::Well)
        }
        DeadAction::Replay { ids, all, selection, rate } => {
            one_or_the_other(&ids, all, &selection)?;
            if ids.is_empty() {
                replay_all(&client, &selection, rate, terminal).await
            } else {
                replay(&client, &ids, rate, terminal).await
            }
        }
        DeadAction::Discard { ids, all, selection } => {
            one_or_the_other(&ids, all, &selection)?;
            if ids.is_empty() {
                discard_all(&client, &selection, terminal).await
            } else {
                discard(&client, &ids, terminal).await
            }
        }
    }
}

/// What is to be changed is named, or asked for as a whole: never all by mistake.
fn one_or_the_other(ids: &[Uuid], all: bool, selection: &DeadSelection) -> anyhow::Result<()> {
    let filtered =
        selection.code.is_some() || selection.kind.is_some() || selection.since.is_some();
    match (ids.is_empty(), all, filtered) {
        (true, true, _) | (false, false, false) => Ok(()),
        (true, false, _) => bail!(
            "name the dead letters by their ids (`quaestor dead list`), or say --all, with --code, \
             --kind or --since for some of them"
        ),
        (false, ..) => bail!("either ids, or --all with --code, --kind and --since: not both"),
    }
}

/// A path with what is selected after its `?`.
fn selected(path: &str, selection: &DeadSelection) -> String {
    let kind = selection.kind.map(|kind| kind.to_string());
    let since = selection.since.map(|since| since.to_rfc3339());
    let pairs = [("code", &selection.code), ("kind", &kind), ("since", &since)];
    let named = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    // A base is needed for its encoding alone.
    let query = reqwest::Url::parse_with_params("http://localhost", named)
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default();
    format!("{path}?{query}").trim_end_matches('?').to_owned()
}

/// What is selected, as the fields of a body.
fn wanted(selection: &DeadSelection) -> Value {
    let mut body = json!({});
    set(&mut body, "code", selection.code.clone().map(Value::from));
    set(&mut body, "kind", selection.kind.map(|kind| kind.as_str().into()));
    set(&mut body, "since", selection.since.map(|since| since.to_rfc3339().into()));
    body
}

fn set(body: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(name.to_owned(), value);
    }
}

async fn groups(
    client: &Client,
    selection: &DeadSelection,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let path = selected("/api/admin/dead/groups", selection);
    let groups: Page<DeadGroup> = client.get(&path, "the groups of dead letters").await?;
    if groups.items.is_empty() {
        terminal.note("there are no dead letters")?;
        return Ok(Ended::Well);
    }
    let head =
        format!("{:>6}  {:<24}  {:<10}  {:<16}  {:<16}", "count", "code", "kind", "first", "last");
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for group in groups.items {
        terminal.line(&format!(
            "{:>6}  {:<24}  {:<10}  {:<16}  {:<16}",
            group.count,
            plain(&group.code),
            group.kind.as_str(),
            minute(group.first_at),
            minute(group.last_at),
        ))?;
        terminal.paragraph("        ", &plain(&group.example))?;
    }
    Ok(Ended::Well)
}

async fn list(
    client: &Client,
    selection: &DeadSelection,
    limit: usize,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let path = selected("/api/admin/dead", selection);
    let letters: Vec<DeadLetter> = client.list(&path, limit, "the list of dead letters").await?;
    if letters.is_empty() {
        terminal.note("there are no dead letters")?;
        return Ok(Ended::Well);
    }
    let head = format!(
        "{:<36}  {:<10}  {:<16}  {:<22}  {:>8}  {:<16}",
        "id", "kind", "step", "code", "attempts", "died"
    );
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for letter in letters {
        terminal.line(&format!(
            "{:<36}  {:<10}  {:<16}  {:<22}  {:>8}  {:<16}",
            letter.id.to_string(),
            letter.kind.as_str(),
            plain(letter.step.as_deref().unwrap_or("-")),
            plain(&letter.code),
            letter.attempts,
            minute(letter.died_at),
        ))?;
    }
    Ok(Ended::Well)
}

fn minute(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

fn show(letter: &DeadLetter, terminal: &Terminal) -> anyhow::Result<()> {
    let field = |name: &str, value: &str| terminal.line(&format!("{name:<12}{}", plain(value)));
    field(if letter.message.is_some() { "message" } else { "job" }, &letter.id.to_string())?;
    terminal.line(&format!(
        "{:<12}{}",
        "error",
        terminal.paint(Style::Red, &plain(&letter.code))
    ))?;
    terminal.paragraph("            ", &plain(&letter.detail))?;
    for cause in &letter.causes {
        terminal.paragraph("              ", &format!("because: {}", plain(cause)))?;
    }
    field("kind", letter.kind.as_str())?;
    field("step", letter.step.as_deref().unwrap_or("-"))?;
    field("attempts", &letter.attempts.to_string())?;
    if let Some(worker) = letter.worker_id {
        field("worker", &worker.to_string())?;
    }
    field("first error", &letter.first_failed_at.to_rfc3339())?;
    field("died", &letter.died_at.to_rfc3339())?;
    if let Some(trace) = &letter.trace_id {
        field("trace", trace)?;
    }
    if let Some(payload) = &letter.payload {
        field("payload", &payload.to_string())?;
    }
    if let Some(message) = &letter.message {
        show_message(message, terminal)?;
        terminal.note(&format!("remove it with `quaestor dead discard {}`", letter.id))?;
    } else {
        terminal.note(&format!(
            "try it again with `quaestor dead replay {0}`, or end it for good with \
             `quaestor dead discard {0}`",
            letter.id
        ))?;
    }
    Ok(())
}

fn show_message(message: &DeadMessage, terminal: &Terminal) -> anyhow::Result<()> {
    let field = |name: &str, value: &str| terminal.line(&format!("{name:<12}{}", plain(value)));
    field("queue", &message.queue)?;
    field("given up", &message.reason)?;
    field("size", &super::size(message.size_bytes))?;
    field("sha256", &message.sha256)?;
    for (name, value) in &message.headers {
        field("header", &format!("{name}: {value}"))?;
    }
    match &message.body {
        None => terminal.note("its body is not shown: it may belong to another workspace")?,
        Some(body) => {
            field("body", &message.encoding)?;
            terminal.paragraph("  ", &plain(body))?;
        }
    }
    Ok(())
}

/// What a request is about, for the sentence where one of it is missing.
fn named(ids: &[Uuid]) -> String {
    match ids {
        [id] => format!("dead letter {id}"),
        _ => "dead letter for one of these ids".to_owned(),
    }
}

async fn replay(
    client: &Client,
    ids: &[Uuid],
    rate: Option<u32>,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let mut told = Told::default();
    let mut begin_at: Option<Time> = None;
    for some in ids.chunks(AT_ONCE) {
        let mut body = json!({ "ids": some });
        set(&mut body, "rate_per_minute", rate.map(Value::from));
        set(&mut body, "begin_at", begin_at.map(|at| at.to_rfc3339().into()));
        let report: ReplayReport = client.post(REPLAY, &body, &named(some)).await?;
        begin_at = report.next_begin_at.or(begin_at);
        told.add(&report, terminal, true)?;
    }
    told.end(terminal)
}

async fn replay_all(
    client: &Client,
    selection: &DeadSelection,
    rate: Option<u32>,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let mut told = Told::default();
    let mut begin_at: Option<Time> = None;
    for _ in 0..MOST_LOOKS {
        let mut body = wanted(selection);
        set(&mut body, "rate_per_minute", rate.map(Value::from));
        set(&mut body, "begin_at", begin_at.map(|at| at.to_rfc3339().into()));
        let report: ReplayReport = client.post(REPLAY, &body, "replaying dead letters").await?;
        begin_at = report.next_begin_at.or(begin_at);
        told.add(&report, terminal, false)?;
        // What is left and was not replayed will not be the next time either.
        if report.remaining == 0 || report.replayed == 0 {
            break;
        }
    }
    told.end(terminal)
}

/// What was told of a replay so far.
#[derive(Default)]
struct Told {
    replayed: u64,
    last_due_at: Option<Time>,
    /// Those that were left alone, by why.
    left: BTreeMap<String, u64>,
}

impl Told {
    fn add(
        &mut self,
        report: &ReplayReport,
        terminal: &Terminal,
        each: bool,
    ) -> anyhow::Result<()> {
        self.replayed += report.replayed;
        for ReplayedJob { id, outcome, .. } in &report.items {
            let why = match outcome {
                Replayed::Replayed { due_at, .. } => {
                    self.last_due_at = self.last_due_at.max(Some(*due_at));
                    if each {
                        let word = terminal.paint(Style::Green, "replayed");
                        terminal.line(&format!("{id}  {word}"))?;
                    }
                    continue;
                }
                Replayed::NotDead { state } => format!("not dead, but {state}"),
                Replayed::SubjectGone => "its document or conversation was deleted".to_owned(),
                Replayed::NoJob => "a message that cannot be read".to_owned(),
            };
            if each {
                let word = terminal.paint(Style::Yellow, "left alone");
                terminal.line(&format!("{id}  {word}: {why}"))?;
            }
            *self.left.entry(why).or_default() += 1;
        }
        Ok(())
    }

    fn end(&self, terminal: &Terminal) -> anyhow::Result<Ended> {
        let mut told = format!("{} replayed", self.replayed);
        for (why, count) in &self.left {
            told.push_str(&format!(", {count} left alone ({why})"));
        }
        if let Some(due) = self.last_due_at.filter(|_| self.replayed > 1) {
            told.push_str(&format!("; the last begins at {}", due.format("%H:%M:%S UTC")));
        }
        terminal.note(&told)?;
        Ok(Ended::Well)
    }
}

async fn discard(client: &Client, ids: &[Uuid], terminal: &Terminal) -> anyhow::Result<Ended> {
    for some in ids.chunks(AT_ONCE) {
        let body = json!({ "ids": some });
        let report: DiscardReport = client.post_once(DISCARD, &body, &named(some)).await?;
        for DiscardedLetter { id, outcome } in report.items {
            match outcome {
                Discarded::Discarded => terminal.line(&format!("{id}  discarded"))?,
                Discarded::NotDead { state } => {
                    terminal.line(&format!("{id}  left alone: not dead, but {state}"))?;
                }
            }
        }
    }
    Ok(Ended::Well)
}

async fn discard_all(
    client: &Client,
    selection: &DeadSelection,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let mut discarded = 0;
    for _ in 0..MOST_LOOKS {
        let report: DiscardReport =
            client.post_once(DISCARD, &wanted(selection), "discarding dead letters").await?;
        discarded += report.discarded;
        if report.remaining == 0 || report.discarded == 0 {
            break;
        }
    }
    terminal.note(&format!("{discarded} discarded"))?;
    Ok(Ended::Well)
}
