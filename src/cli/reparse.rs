//! `quaestor reparse`: read documents again that an older parser has read.

use quaestor_core::ids::BatchId;
use quaestor_core::model::Collection;
use quaestor_core::ports::store::ToReadAgain;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::ReparseArguments;
use super::{Ended, Terminal, client, plain, size};

#[derive(Debug, Deserialize)]
struct Accepted {
    batch_id: Option<BatchId>,
    documents: u64,
    remaining: u64,
}

/// Queues documents to be read again, or says how many there are.
pub(super) async fn run(arguments: ReparseArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let client = client(&arguments.connection)?;
    let collections: Vec<Collection> = match &arguments.collection {
        Some(name) => {
            let name = plain(name);
            let Some(collection) = client.collection(&name).await? else {
                anyhow::bail!("there is no collection `{name}`");
            };
            vec![collection]
        }
        None => client.list("/api/collections", usize::MAX, "the list of collections").await?,
    };
    let mut body = json!({});
    if arguments.all {
        body["documents"] = Value::from("all");
    }
    if let Some(rate) = arguments.per_minute {
        body["documents_per_minute"] = Value::from(rate);
    }
    for collection in collections {
        let name = plain(&collection.name);
        let doing = format!("collection `{name}`");
        let path = format!("/api/collections/{}/reparse", collection.id);
        let found: ToReadAgain = client.post(&format!("{path}/estimate"), &body, &doing).await?;
        terminal.note(&format!(
            "{name}: {} of {} documents are to be read again ({}, {} passages)",
            found.stale,
            found.documents,
            size(found.size_bytes),
            found.passages
        ))?;
        if arguments.estimate {
            continue;
        }
        loop {
            let accepted: Accepted = client.post_once(&path, &body, &doing).await?;
            if let Some(batch) = accepted.batch_id {
                terminal.line(&format!("{batch}  {} documents of {name}", accepted.documents))?;
            }
            // All that are wanted were queued by a request that leaves none.
            if accepted.remaining == 0 || accepted.documents == 0 {
                break;
            }
        }
    }
    Ok(Ended::Well)
}
