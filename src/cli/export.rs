//! `quaestor export`: answers or tables as a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quaestor_core::events::Event;
use quaestor_core::ids::{ExportId, JobId};
use quaestor_core::model::Collection;
use quaestor_core::problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::ExportArguments;
use super::client::Heard;
use super::terminal::plain;
use super::{Client, Ended, Style, Terminal, client};

#[derive(Debug, Deserialize)]
struct Accepted {
    export_id: ExportId,
    job_id: JobId,
}

/// What is used of an export.
#[derive(Debug, Deserialize)]
struct Export {
    state: String,
    filename: String,
    size_bytes: Option<u64>,
    sha256: Option<String>,
    url: Option<String>,
    problem: Option<Problem>,
}

/// Runs the command.
pub(super) async fn run(arguments: ExportArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let client = client(&arguments.connection)?;
    let mut body = selection(&client, &arguments).await?;
    body["format"] = json!(arguments.format.as_str());
    if let Some(template) = &arguments.template {
        body["template"] = json!(template);
    }
    let accepted: Accepted = client.post("/api/exports", &body, "the export").await?;
    client
        .follow(accepted.job_id)
        .until_end::<anyhow::Error>(|heard| {
            if let Heard::Event(_, event) = heard
                && let Event::Progress { done, total, unit } = *event
                && terminal.is_live()
            {
                let told = format!("{done} of {total} {}", plain(&unit));
                terminal.note(&terminal.paint(Style::Dim, &told))?;
            }
            Ok(())
        })
        .await?;
    let path = format!("/api/exports/{}", accepted.export_id);
    let export: Export = client.get(&path, "the export").await?;
    let Some(url) = export.url else {
        let why = match &export.problem {
            Some(problem) => plain(&problem.to_string()),
            None => format!("it is {}", plain(&export.state)),
        };
        terminal.line(&format!("{} {why}", terminal.paint(Style::Red, "no export:")))?;
        return Ok(Ended::Badly);
    };
    let to = match arguments.out {
        Some(out) => out,
        None => PathBuf::from(file_name(&export.filename)),
    };
    let sha256 = fetch(&client, &url, &to).await?;
    if export.sha256.as_ref().is_some_and(|expected| *expected != sha256) {
        bail!("what arrived in {} is not what the server has written", to.display());
    }
    let size = export.size_bytes.unwrap_or_default();
    terminal.line(&format!("{}  {size} bytes  sha256 {sha256}", to.display()))?;
    Ok(Ended::Well)
}

/// The field of the request that says what is exported.
async fn selection(client: &Client, arguments: &ExportArguments) -> anyhow::Result<Value> {
    if let Some(id) = arguments.conversation {
        return Ok(json!({ "conversation_id": id }));
    }
    if !arguments.answers.is_empty() {
        return Ok(json!({ "message_ids": arguments.answers }));
    }
    if !arguments.documents.is_empty() {
        return Ok(json!({ "document_ids": arguments.documents }));
    }
    let name = arguments.collection.as_deref().unwrap_or_default();
    let found: Option<Collection> = client.collection(name).await?;
    let found = found.with_context(|| format!("there is no collection named `{name}`"))?;
    Ok(json!({ "collection_id": found.id }))
}

/// Fetches the file beside its place, and moves it there when it is whole.
async fn fetch(client: &Client, url: &str, to: &Path) -> anyhow::Result<String> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let fetched = client.download(url, &part, |_| {}).await;
    let sha256 = match fetched {
        Ok(sha256) => sha256,
        Err(error) => {
            // What is left of it is of no use to anybody.
            let _ = tokio::fs::remove_file(&part).await;
            return Err(error.into());
        }
    };
    let moved = tokio::fs::rename(&part, to).await;
    moved.with_context(|| format!("moving the file to {}", to.display()))?;
    Ok(sha256)
}

/// The server's name for the file, without anything of a path in it.
fn file_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
        .collect();
    let plain = plain.trim_start_matches('.');
    if plain.is_empty() { "export".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_is_no_path() {
        assert_eq!(file_name("answers-2026.pdf"), "answers-2026.pdf");
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name(".."), "export");
    }
}
