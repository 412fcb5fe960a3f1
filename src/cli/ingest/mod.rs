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
use quaestor_core::ids::{BatchId, CollectionId, DocumentId};
use quaestor_core::model::{Batch, BatchState};
use serde_json::json;

use super::args::IngestArguments;
use super::batches::ShownBatch;
use super::client::{Progress, ToSend};
use super::{Client, ClientError, Ended, Terminal, client, plain, reasons};
use progress::Bars;
use watch::Seen;

pub use summary::Ingested;
pub use walk::{Found, walk};

/// Files on their way at once: enough to fill the line, few enough for the server's
/// memory and quota.
const IN_FLIGHT: usize = 4;
/// Small files go together in one request: so many, and so many bytes of them.
const FILES_TOGETHER: usize = 100;
const BYTES_TOGETHER: u64 = 4 << 20;
/// With more documents on their way nobody waits for the next one of them, and looking often
/// would use the server's quota up.
const FEW: usize = 50;
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

/// Uploads the files as one batch and, unless told not to, waits until each is ready or
/// failed.
///
/// A file that fails is counted and told, and the others go on; only what concerns them
/// all (no server, no right to upload) is an error.
pub async fn ingest_files(
    client: &Client,
    collection: CollectionId,
    files: &[Found],
    waiting: Waiting,
) -> Result<Ingested, ClientError> {
    let body = json!({ "name": batch_name(files), "total": files.len() });
    let batch: Batch = client.post("/api/batches", &body, "beginning a batch").await?;
    let bytes = files.iter().map(|file| file.size_bytes).sum();
    let bars = Bars::new(bytes, files.len() as u64);
    let state = Mutex::new(State { uploads_left: files.len(), ..State::default() });
    let upload = Upload { client, collection, batch: batch.id, bars: &bars, state: &state };
    let uploads = async {
        let mut running = stream::iter(together(files))
            .map(|files| upload.send(files))
            .buffer_unordered(IN_FLIGHT);
        while let Some(outcome) = running.next().await {
            outcome?;
        }
        // Files that were refused are missing from it: it would wait for them for ever.
        let path = format!("/api/batches/{}/close", batch.id);
        client.post_again::<Batch>(&path, &json!({}), "closing the batch").await.map(drop)
    };
    let outcome = match waiting {
        Waiting::No => uploads.await,
        Waiting::UntilSearchable => {
            let watching = watch_all(&upload);
            futures::future::try_join(uploads, watching).await.map(|_| ())
        }
    };
    bars.finish();
    outcome?;
    let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.done.accepted = state.pending.len();
    state.done.batch = Some(batch.id);
    if waiting == Waiting::UntilSearchable {
        state.done.sum = shown(client, batch.id).await?.summary;
    }
    Ok(state.done)
}

/// What the batch is called: by its first file and how many others there are.
fn batch_name(files: &[Found]) -> String {
    let first: String = files.first().map_or("", |file| &file.name).chars().take(100).collect();
    let name = plain(&first);
    match files.len() {
        0 | 1 => name,
        more => format!("{name} and {} more", more - 1),
    }
}

/// Files as they are sent: small ones together, since a request costs more than such a file.
fn together(files: &[Found]) -> Vec<&[Found]> {
    let mut groups = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        if at > from && (at - from >= FILES_TOGETHER || bytes + file.size_bytes > BYTES_TOGETHER) {
            groups.push(&files[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += file.size_bytes;
    }
    if from < files.len() {
        groups.push(&files[from..]);
    }
    groups
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An upload that runs.
struct Upload<'a> {
    client: &'a Client,
    collection: CollectionId,
    batch: BatchId,
    bars: &'a Bars,
    state: &'a Mutex<State>,
}

impl Upload<'_> {
    /// Sends files together. Where they are refused together, each is sent alone: one that
    /// the server does not take is no reason against the others.
    async fn send(&self, files: &[Found]) -> Result<(), ClientError> {
        match self.request(files).await {
            Err(error) if files.len() > 1 && !concerns_all(&error) => {
                for file in files {
                    let one = std::slice::from_ref(file);
                    if let Err(error) = self.request(one).await {
                        self.refused(file, error)?;
                    }
                }
                Ok(())
            }
            Err(error) => match files.first() {
                Some(file) => self.refused(file, error),
                None => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    async fn request(&self, files: &[Found]) -> Result<(), ClientError> {
        if let Some(first) = files.first() {
            self.bars.tell(format!("uploading {}", plain(&first.name)));
        }
        let told = self.bars.clone();
        let progress: Progress = Arc::new(move |bytes| told.sent(bytes));
        let send: Vec<ToSend<'_>> =
            files.iter().map(|file| ToSend { path: &file.path, filename: &file.name }).collect();
        let accepted =
            self.client.upload(self.collection, Some(self.batch), &send, &progress).await?;
        let mut state = lock(self.state);
        state.uploads_left -= files.len();
        for (file, accepted) in files.iter().zip(accepted.items) {
            if accepted.status == "duplicate" {
                state.done.duplicates.push(file.name.clone());
                self.bars.file_done();
                continue;
            }
            let fresh = || Pending { names: Vec::new(), status: "queued".to_owned() };
            let pending = state.pending.entry(accepted.document_id).or_insert_with(fresh);
            pending.names.push(file.name.clone());
        }
        Ok(())
    }

    /// Notes a file that did not come to the server.
    fn refused(&self, file: &Found, error: ClientError) -> Result<(), ClientError> {
        if concerns_all(&error) {
            return Err(error);
        }
        let reason = match error {
            ClientError::Refused { title, detail, .. } => format!("{title}: {detail}"),
            error => reasons(&error),
        };
        let mut state = lock(self.state);
        state.uploads_left -= 1;
        state.done.failed.push((file.name.clone(), reason));
        self.bars.file_done();
        Ok(())
    }
}

/// Whether the other files would fare no better.
fn concerns_all(error: &ClientError) -> bool {
    let codes = ["batch_closed", "over_budget"];
    match error {
        ClientError::Unreachable { .. }
        | ClientError::NoKey { .. }
        | ClientError::WrongKey { .. }
        | ClientError::NotFound { .. } => true,
        ClientError::Refused { status, code, .. } => *status == 403 || codes.contains(&&**code),
        _ => false,
    }
}

/// The batch as it stands.
async fn shown(client: &Client, batch: BatchId) -> Result<ShownBatch, ClientError> {
    client.get(&format!("/api/batches/{batch}"), "the batch").await
}

async fn watch_all(
    Upload { client, collection, batch, bars, state }: &Upload<'_>,
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
        let seen = watch::round(client, *collection, &pending).await?;
        let now = client.clock().now();
        let (moved, news) = take_in(&mut lock(state), seen, bars);
        let whole = shown(client, *batch).await?.batch;
        bars.counts(progress::of_batch(&whole));
        if let Some(news) = news {
            bars.tell(news);
        }
        if moved || uploading || whole.state == BatchState::Paused {
            last_move = now;
        }
        if (now - last_move).to_std().is_ok_and(|still| still > STANDSTILL) {
            give_up(&mut lock(state));
            return Ok(());
        }
        pause = match moved {
            true if pending.len() <= FEW => watch::FIRST_PAUSE * 2,
            true => watch::LONGEST_PAUSE,
            false => (pause * 2).min(watch::LONGEST_PAUSE),
        };
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
