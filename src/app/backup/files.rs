//! Is the file of every document there? A sample, for `quaestor doctor`.

use std::sync::Arc;

use anyhow::Context as _;
use quaestor_core::clock::Clock;
use quaestor_core::ports::objects::ObjectKey;
use quaestor_core::ports::store::{Most, Table};

use super::super::World;
use super::save::Beside;
use crate::config::{Config, DatabaseChoice};

/// How many rows are read at once.
const PAGE: u32 = 100;
/// How many workspaces are looked into.
const WORKSPACES: u32 = 100;

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// How many files.
    pub(crate) files: u64,
    /// Documents whose file is gone.
    pub(crate) missing: Vec<String>,
}

/// Looks whether files are there, at most `limit`. None where there is no installation yet.
pub(crate) async fn missing_files(
    config: &Config,
    clock: Arc<dyn Clock>,
    limit: u64,
) -> anyhow::Result<Option<Looked>> {
    if let DatabaseChoice::Sqlite(file) = config.data.database().map_err(anyhow::Error::msg)?
        && !file.is_file()
    {
        return Ok(None);
    }
    let world = World { clock, ..World::of_process() };
    let source = Beside::open(config, &world).await?;
    let looked = look(&source, limit).await;
    source.close().await;
    looked.map(Some)
}

async fn look(source: &Beside, limit: u64) -> anyhow::Result<Looked> {
    let mut looked = Looked::default();
    let most = Most { records: PAGE, bytes: 1 << 20 };
    let workspaces = source.store.workspaces_after(None, WORKSPACES).await;
    for workspace in workspaces.context("listing workspaces")? {
        let mut after = None;
        loop {
            let page = source.store.read_records(workspace, Table::Versions, after, most).await;
            let page = page.context("reading documents")?;
            for record in &page.records {
                // Nobody misses the file of a document that could not be used.
                if record.text("status") == Some("failed") {
                    continue;
                }
                if looked.files >= limit {
                    return Ok(looked);
                }
                looked.files += 1;
                let key = record.text("object_key").unwrap_or_default();
                let there = match ObjectKey::parse(key) {
                    Ok(key) => source.objects.size(&key).await.context("looking for a file")?,
                    Err(_) => None,
                };
                if there.is_none() {
                    let known = source.store.known_objects(workspace, &[key.to_owned()]).await;
                    if !known.context("looking for a document")?.is_empty() {
                        let document = record.id("document_id").unwrap_or_default();
                        looked.missing.push(document.to_string());
                    }
                }
            }
            match page.next {
                None => break,
                next => after = next,
            }
        }
    }
    Ok(looked)
}
