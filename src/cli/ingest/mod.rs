//! `quaestor ingest`: files and folders into a collection, and what became of each.

mod progress;
mod summary;
mod walk;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, DocumentId};

use super::args::IngestArguments;
use super::client::Progress;
use super::{Client, ClientError, Ended, Terminal, client, plain, reasons};
use progress::Bars;
use watch::Seen;

pub use summary::Ingested;
pub use walk::{Found, walk};

/// Files on their way at once: enough to fill the line, few enough for the server's
/// memory and quota.
const IN_FLIGHT: usize = 4;
/// Where no document moves for so long, nobody is working on them.
const STANDSTILL: Duration = Duration::from_mins(30);

/// Runs the command.
pub(super) async fn run(arguments: IngestArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let files = walk(&arguments.paths)?;
    anyhow::ensure!(
        !files.is_empty(),
        "there is no file to upload: the folders are empty, or all in them is hidden"
    );
    let client = client(&arguments.connection)?;
    let collection = client.collection_or_new(&arguments.collection).await?;
    let waiting = if arguments.no_wait { Waiting::No } else { Waiting::UntilSearchable };
    let ingested = ingest_files(&client, collection.id, &files, waiting).await?;
    ingested.print(terminal)?;
    Ok(if ingested.failed.is_empty() { Ended::Well } else { Ended::Badly })
}

/// Whether to stay until the documents are searchable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Return when all is uploaded.
    No,
    /// Return when every document is ready or failed.
    UntilSearchable,
}

/// What is known of an upload that runs. Never locked across an await.
#[derive(Debug, Default)]
struct State {
    done: Ingested,
    /// By document: the names it was uploaded under, and what was last seen.
    pending: BTreeMap<DocumentId, Pending>,
    uploads_left: usize,
}

#[derive(Debug)]
struct Pending {
    names: Vec<String>,
    status: String,
}

/// Uploads the files and, unless told not to, waits until each is ready or failed.
///
/// A file that fails is counted and told, and the others go on; only what concerns them
/// all (no server, no right to upload) is an error.
pub async fn ingest_files(
    client: &Client,
    collection: CollectionId,
    files: &[Found],
    waiting: Waiting,
) -> Result<Ingested, ClientError> {
    let bytes = files.iter().map(|file| file.size_bytes).sum();
    let bars = Bars::new(bytes, files.len() as u64);
    let state = Mutex::new(State { uploads_left: files.len(), ..State::default() });
    let uploads = async {
        let mut running = stream::iter(files)
            .map(|file| upload(client, collection, file, &bars, &state))
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = running.next().await {
            outcome?;
        }
        Ok(())
    };
    let outcome = match waiting {
        Waiting::No => uploads.await,
        Waiting::UntilSearchable => {
            let watching = watch_all(client, collection, &bars, &state);
            futures::future::try_join(uploads, watching).await.map(|_| ())
        }
    };
    bars.finish();
    outcome?;
    let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.done.accepted = state.pending.len();
    Ok(state.done)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn upload(
    client: &Client,
    collection: CollectionId,
    file: &Found,
    bars: &Bars,
    state: &Mutex<State>,
) -> Result<(), ClientError> {
    bars.tell(format!("uploading {}", plain(&file.name)));
    let told = bars.clone();
    let progress: Progress = Arc::new(move |bytes| told.sent(bytes));
    let outcome = client.upload(collection, &file.path, &file.name, &progress).await;
    let mut state = lock(state);
    state.uploads_left -= 1;
    match outcome {
        Ok(accepted) if accepted.status == "duplicate" => {
            state.done.duplicates.push(file.name.clone());
            bars.file_done();
        }
        Ok(accepted) => {
            let fresh = || Pending { names: Vec::new(), status: "queued".to_owned() };
            state
                .pending
                .entry(accepted.document_id)
                .or_insert_with(fresh)
                .names
                .push(file.name.clone());
        }
        // The others would fare no better.
        Err(
            error @ (ClientError::Unreachable { .. }
            | ClientError::NoKey { .. }
            | ClientError::WrongKey { .. }
            | ClientError::NotFound { .. }
            | ClientError::Refused { status: 403, .. }),
        ) => return Err(error),
        Err(ClientError::Refused { title, detail, .. }) => {
            state.done.failed.push((file.name.clone(), format!("{title}: {detail}")));
            bars.file_done();
        }
        Err(error) => {
            state.done.failed.push((file.name.clone(), reasons(&error)));
            bars.file_done();
        }
    }
    Ok(())
}

async fn watch_all(
    client: &Client,
    collection: CollectionId,
    bars: &Bars,
    state: &Mutex<State>,
) -> Result<(), ClientError> {
    let mut pause = watch::FIRST_PAUSE;
    let mut last_move: Time = client.clock().now();
    loop {
        let (pending, uploading) = {
            let state = lock(state);
            let pending: Vec<DocumentId> = state.pending.keys().copied().collect();
            (pending, state.uploads_left > 0)
        };
        if pending.is_empty() && !uploading {
            return Ok(());
        }
        let seen = watch::round(client, collection, &pending).await?;
        let now = client.clock().now();
        let (moved, news) = take_in(&mut lock(state), seen, bars);
        if let Some(news) = news {
            bars.tell(news);
        }
        if moved || uploading {
            last_move = now;
        }
        if (now - last_move).to_std().is_ok_and(|still| still > STANDSTILL) {
            give_up(&mut lock(state));
            return Ok(());
        }
        pause = if moved { watch::FIRST_PAUSE * 2 } else { (pause * 2).min(watch::LONGEST_PAUSE) };
        client.clock().sleep(pause).await;
    }
}

/// Notes what a round has seen: whether anything moved, and what to tell.
fn take_in(
    state: &mut State,
    seen: BTreeMap<DocumentId, Seen>,
    bars: &Bars,
) -> (bool, Option<String>) {
    let (mut moved, mut news) = (false, None);
    for (id, seen) in seen {
        let Some(pending) = state.pending.get_mut(&id) else { continue };
        let document = match seen {
            Seen::As(document) => document,
            Seen::Gone => {
                let names = std::mem::take(&mut pending.names);
                state.pending.remove(&id);
                for name in names {
                    state.done.failed.push((name, "it was deleted before it was ready".to_owned()));
                    bars.file_done();
                }
                moved = true;
                continue;
            }
        };
        if watch::is_terminal(document.status) {
            let names = std::mem::take(&mut pending.names);
            state.pending.remove(&id);
            for name in names {
                state.done.count(name, &document);
                bars.file_done();
            }
            moved = true;
        } else {
            let status = document.status.as_str();
            moved |= pending.status != status;
            status.clone_into(&mut pending.status);
            if news.is_none() && status == "processing" {
                news = Some(format!("processing {}", plain(&document.filename)));
            }
        }
    }
    (moved, news)
}

fn give_up(state: &mut State) {
    for pending in std::mem::take(&mut state.pending).into_values() {
        for name in pending.names {
            let minutes = STANDSTILL.as_secs() / 60;
            let reason = format!("still {} after {minutes} minutes without change", pending.status);
            state.done.failed.push((name, reason));
        }
    }
}
