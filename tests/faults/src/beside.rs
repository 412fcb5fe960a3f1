//! What goes on beside questions and single files: batches, exports and reindexings, one after
//! the other in each workspace by turns. Each is followed to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, PATIENCE, text_of};
use crate::ledger::Ledger;
use crate::workload::report;

/// The settings that it needs.
pub const SETTINGS: &[(&str, &str)] = &[("QUAESTOR_EMBED_ALSO", "openai:second=8")];
/// The two models that collections change over to by turns.
const MODELS: [&str; 2] = ["openai:second", "openai:vectors"];
/// Files of a batch.
const FILES: usize = 4;
/// How often what takes long is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A workspace's client with a collection, and what marks its files.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) collection: String,
    pub(crate) canary: String,
}

/// Goes on until there was enough.
pub(crate) async fn goes_on(
    desks: Vec<Desk>,
    ledger: Arc<Ledger>,
    sections: usize,
    enough: CancellationToken,
) {
    for number in 0_usize.. {
        if enough.is_cancelled() {
            return;
        }
        let desk = &desks[number % desks.len()];
        let model = MODELS[number / desks.len() % MODELS.len()];
        let round = async {
            desk.batch(number, sections).await.context("a batch")?;
            desk.export(number, "csv").await.context("an export")?;
            desk.export(number, "json").await.context("an export")?;
            desk.reindex(number, model).await.context("a reindexing")
        };
        if let Err(error) = round.await {
            ledger.book().surprises.push(format!("round {number} beside: {error:#}"));
        }
    }
}

impl Desk {
    /// A batch whose first files come while it is paused; every file comes to its end.
    async fn batch(&self, number: usize, sections: usize) -> anyhow::Result<()> {
        let (client, name) = (&self.client, format!("batch-{number}"));
        let body = json!({"name": name, "total": FILES});
        let batch = client.send(Method::POST, "/api/batches", Some(&body), Some(&name)).await?;
        let path = format!("/api/batches/{}", text_of(&batch, "id")?);
        let batch = text_of(&batch, "id")?;
        client.send(Method::POST, &format!("{path}/pause"), Some(&json!({})), None).await?;
        for file in 0..FILES {
            let name = format!("{name}-{file}.md");
            let text = report(&self.canary, &name, sections);
            client.upload_to(Some(&batch), &self.collection, &name, &text, sections).await?;
        }
        // Workers come to them meanwhile, and put them aside.
        tokio::time::sleep(5 * LOOK).await;
        client.send(Method::POST, &format!("{path}/resume"), Some(&json!({})), None).await?;
        let ended = self.until(&path, |batch| batch["state"] == "done").await?;
        ensure!(ended["done"] == json!(FILES), "its files did not all end well: {ended}");
        Ok(())
    }

    /// An export of the collection's tables, which is fetched: whole, or failed.
    async fn export(&self, number: usize, format: &str) -> anyhow::Result<()> {
        let (client, key) = (&self.client, format!("export-{number}-{format}"));
        let body = json!({"collection_id": self.collection, "format": format});
        let made = client.send(Method::POST, "/api/exports", Some(&body), Some(&key)).await?;
        client.takes_part_in(&text_of(&made, "job_id")?);
        client.ended(&text_of(&made, "job_id")?).await?;
        let path = format!("/api/exports/{}", text_of(&made, "export_id")?);
        let export = client.send(Method::GET, &path, None, None).await?;
        if export["state"] == "done" {
            let size = client.fetch(&text_of(&export, "url")?).await?;
            ensure!(export["size_bytes"] == json!(size), "{size} bytes came of {export}");
        }
        Ok(())
    }

    /// Vectors of another model, which are searched in the end.
    async fn reindex(&self, number: usize, model: &str) -> anyhow::Result<()> {
        let (client, key) = (&self.client, format!("reindex-{number}"));
        let path = format!("/api/collections/{}/reindex", self.collection);
        let body = json!({"embedding_model": model});
        let begun = client.send(Method::POST, &path, Some(&body), Some(&key)).await?;
        client.takes_part_in(&text_of(&begun, "job_id")?);
        let ended = client.ended(&text_of(&begun, "job_id")?).await?;
        ensure!(ended["state"] == "done", "it ended badly: {ended}");
        let path = format!("/api/collections/{}/generations", self.collection);
        let all = client.send(Method::GET, &path, None, None).await?;
        let all = all["items"].as_array().cloned().unwrap_or_default();
        let searched = all.iter().find(|one| one["state"] == "current");
        let searched = searched.map(|one| &one["model"]);
        ensure!(searched == Some(&json!(model)), "{searched:?} is searched, and not {model}");
        Ok(())
    }

    async fn until(&self, path: &str, what: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.client.send(Method::GET, path, None, None).await?;
            if what(&seen) {
                return Ok(seen);
            }
            ensure!(Instant::now() < until, "it does not end: {seen}");
            tokio::time::sleep(LOOK).await;
        }
    }
}
