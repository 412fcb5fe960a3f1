//! `quaestor reindex`: which vectors is a collection searched by?

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quaestor_core::events::Event;
use quaestor_core::ids::CollectionId;
use quaestor_core::model::{Chunking, GenerationState, Job, Reason};
use quaestor_core::ports::store::{GenerationStatus, ReindexAccepted};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::ReindexAction;
use super::client::{Client, Heard};
use super::{Connection, Ended, Style, Terminal, client, plain};

/// What the server says a reindexing would take.
#[derive(Debug, Deserialize)]
struct Estimate {
    embedding_model: String,
    dimensions: u32,
    documents: u64,
    passages: u64,
    chunking: Chunking,
    tokens: u64,
    cost_micros: u64,
    seconds: Option<u64>,
}

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: ReindexAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let client = client(connection)?;
    let (name, rest) = match &action {
        ReindexAction::Start { collection, .. } => (collection, "reindex"),
        ReindexAction::Status { collection } => (collection, "generations"),
        ReindexAction::Pause { collection } => (collection, "reindex/pause"),
        ReindexAction::Resume { collection } => (collection, "reindex/resume"),
        ReindexAction::Cancel { collection } => (collection, "reindex/cancel"),
        ReindexAction::Rollback { collection } => (collection, "reindex/rollback"),
        ReindexAction::DropFormer { collection } => (collection, "reindex/former"),
    };
    let name = plain(name);
    let Some(collection) = client.collection(&name).await? else {
        anyhow::bail!("there is no collection `{name}`");
    };
    let path = path_of(collection.id, rest);
    let doing = format!("collection `{name}`");
    match action {
        ReindexAction::Start {
            model,
            chunk_chars,
            chunk_max_chars,
            per_minute,
            estimate,
            no_wait,
            ..
        } => {
            let mut body = json!({});
            if let Some(model) = model {
                body["embedding_model"] = Value::from(model);
            }
            if let Some(target) = chunk_chars {
                body["chunking"] = json!({ "target_chars": target });
                if let Some(max) = chunk_max_chars {
                    body["chunking"]["max_chars"] = Value::from(max);
                }
            }
            if let Some(rate) = per_minute {
                body["passages_per_minute"] = Value::from(rate);
            }
            let estimated: Estimate =
                client.post(&path_of(collection.id, "reindex/estimate"), &body, &doing).await?;
            terminal.note(&sentence(&estimated))?;
            if estimate {
                return Ok(Ended::Well);
            }
            let accepted: ReindexAccepted = client.post_once(&path, &body, &doing).await?;
            if no_wait {
                terminal.line(&accepted.job_id.to_string())?;
                return Ok(Ended::Well);
            }
            return wait(&client, &accepted, estimated.passages, terminal).await;
        }
        ReindexAction::Status { .. } => {
            let all: Vec<GenerationStatus> = client.list(&path, usize::MAX, &doing).await?;
            show(&all, terminal)?;
        }
        ReindexAction::Pause { .. }
        | ReindexAction::Resume { .. }
        | ReindexAction::Cancel { .. } => {
            let job: Job = client.post_once(&path, &json!({}), &doing).await?;
            terminal.line(&format!("job {} is {}", job.id, job.state))?;
        }
        ReindexAction::Rollback { .. } => {
            let accepted: ReindexAccepted = client.post_once(&path, &json!({}), &doing).await?;
            terminal.line(&format!(
                "the former generation of `{name}` is searched again; job {} makes what it lacks",
                accepted.job_id
            ))?;
        }
        ReindexAction::DropFormer { .. } => {
            client.delete(&path, &doing).await?;
            terminal.line(&format!("the former vectors of `{name}` are dropped"))?;
        }
    }
    Ok(Ended::Well)
}

fn path_of(collection: CollectionId, rest: &str) -> String {
    format!("/api/collections/{collection}/{rest}")
}

fn sentence(of: &Estimate) -> String {
    let time = match of.seconds {
        Some(seconds) => {
            format!("about {}", indicatif::HumanDuration(Duration::from_secs(seconds)))
        }
        None => "a time that is not known before it has begun".to_owned(),
    };
    let cost = match of.cost_micros {
        0 => "no cost that is known".to_owned(),
        micros => format!(
            "{}.{:04} of the currency of `models.prices`",
            micros / 1_000_000,
            micros % 1_000_000 / 100
        ),
    };
    format!(
        "{} passages of about {} characters, of {} documents ({} tokens), with {} ({} numbers): \
         {cost}, {time}",
        of.passages,
        of.chunking.target_chars,
        of.documents,
        of.tokens,
        plain(&of.embedding_model),
        of.dimensions
    )
}

fn show(all: &[GenerationStatus], terminal: &Terminal) -> anyhow::Result<()> {
    let head = format!(
        "{:<9}  {:<40}  {:>11}  {:>10}  {:>17}  job",
        "state", "model", "numbers", "characters", "passages"
    );
    terminal.line(&terminal.paint(Style::Bold, &head))?;
    for one in all {
        let style = match one.generation.state {
            GenerationState::Current => Style::Green,
            _ => Style::Yellow,
        };
        let state = terminal.paint(style, &format!("{:<9}", one.generation.state.as_str()));
        let passages = format!("{} of {}", one.passages, one.total);
        let job = one.job_id.map_or_else(|| "-".to_owned(), |job| job.to_string());
        let reading = match one.documents_to_read {
            0 => String::new(),
            left => format!("  {left} documents to read"),
        };
        let paused = if one.paused_at.is_some() { "  paused" } else { "" };
        terminal.line(&format!(
            "{state}  {:<40}  {:>11}  {:>10}  {passages:>17}  {job}{reading}{paused}",
            plain(&one.generation.model),
            one.generation.dimensions,
            one.chunking.target_chars,
        ))?;
    }
    Ok(())
}

/// Shows how far it is until it has ended. Breaking off does not end the job.
async fn wait(
    client: &Client,
    accepted: &ReindexAccepted,
    passages: u64,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    terminal
        .note(&format!("job {}; it goes on where this command is broken off", accepted.job_id))?;
    let template = "  [{bar:32}] {pos:>10} of {len} {prefix}  {per_sec}, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let target = ProgressDrawTarget::stderr_with_hz(4);
    let bar = ProgressBar::with_draw_target(Some(passages), target).with_style(style);
    let mut ended = Ended::Well;
    let follow = client.follow(accepted.job_id);
    let followed = follow
        .until_end::<anyhow::Error>(|heard| {
            let Heard::Event(_, event) = heard else { return Ok(()) };
            match *event {
                // Documents first, where they are read; pages are told of each on the way.
                Event::Progress { unit, .. } if unit == "pages" => {}
                Event::Progress { done, total, unit } => {
                    bar.set_prefix(unit);
                    bar.set_length(total);
                    bar.set_position(done);
                    bar.set_message("");
                }
                Event::Waiting { reason, .. } => bar.set_message(Reason::told(&reason)),
                Event::Failed { problem } => {
                    ended = Ended::Badly;
                    bar.suspend(|| terminal.note(&plain(&problem.detail)))?;
                }
                Event::Cancelled => ended = Ended::Badly,
                _ => {}
            }
            Ok(())
        })
        .await;
    bar.finish_and_clear();
    followed?;
    match ended {
        Ended::Well => terminal.line("the collection is searched by its new index generation")?,
        Ended::Badly => terminal.line("the collection is searched as before")?,
    }
    Ok(ended)
}
