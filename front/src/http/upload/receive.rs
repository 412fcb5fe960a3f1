//! The parts of an upload, one after another into the object store. At no time is more
//! of a file in memory than a few pieces.

use std::collections::VecDeque;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::StreamExt;
use quaestor_core::ids::{BatchId, CollectionId};
use quaestor_core::model::Caller;
use quaestor_core::ports::objects::{ObjectError, ObjectKey, Stored};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::name::display_name;
use crate::app::App;
use crate::http::batches::takes_files;
use crate::http::collections;
use crate::input::parse_id;
use crate::problem::{ApiError, Code};

/// Pieces between the connection and the object store.
const PIECES_IN_FLIGHT: usize = 2;
/// Files of one request that the object store writes at the same time.
const PUTS_AT_ONCE: usize = 8;
/// What is read of a request that was refused, so that its client, still sending, gets
/// to read why. A reset connection would take the answer with it.
const DRAIN_BYTES: usize = 8 << 20;

type PieceError = Box<dyn std::error::Error + Send + Sync>;

/// A file that stands in the object store and is not accepted yet.
#[derive(Debug)]
pub(super) struct ReceivedFile {
    pub(super) filename: String,
    pub(super) media_type: String,
    pub(super) key: ObjectKey,
    pub(super) stored: Stored,
}

/// The files of a request, and where they go.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) collection_id: CollectionId,
    /// The batch that was begun before, where they come to one.
    pub(super) batch_id: Option<BatchId>,
    pub(super) files: Vec<ReceivedFile>,
}

/// A file that is on its way into the object store.
struct Putting {
    filename: String,
    media_type: String,
    key: ObjectKey,
    put: JoinHandle<Result<Stored, ObjectError>>,
}

/// Takes the parts of one request. While the store writes a small file to its disk, the next
/// ones arrive: most of the time a small file takes is waiting for the disk.
pub(super) struct Receiver<'a> {
    app: &'a App,
    caller: Caller,
    collection_id: Option<CollectionId>,
    batch_id: Option<BatchId>,
    putting: VecDeque<Putting>,
    files: Vec<ReceivedFile>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        app: &'a App,
        caller: Caller,
        collection_id: Option<CollectionId>,
        batch_id: Option<BatchId>,
    ) -> Self {
        let (putting, files) = (VecDeque::new(), Vec::new());
        Self { app, caller, collection_id, batch_id, putting, files }
    }

    /// All files of the request. On an error, none stays behind.
    pub(super) async fn receive(mut self, mut multipart: Multipart) -> Result<Received, ApiError> {
        match self.parts(&mut multipart).await {
            Ok(collection_id) => {
                Ok(Received { collection_id, batch_id: self.batch_id, files: self.files })
            }
            Err(error) => {
                let mut keys: Vec<String> =
                    self.files.into_iter().map(|file| file.key.as_str().to_owned()).collect();
                for putting in self.putting {
                    // Whole or not: what it has come to is removed.
                    let _ = putting.put.await;
                    keys.push(putting.key.as_str().to_owned());
                }
                self.app.delete_objects(keys).await;
                drain(self.app, multipart).await;
                Err(error)
            }
        }
    }

    async fn parts(&mut self, multipart: &mut Multipart) -> Result<CollectionId, ApiError> {
        if let Some(id) = self.collection_id {
            collections::existing(self.app, self.caller.workspace_id, id).await?;
        }
        if let Some(id) = self.batch_id {
            takes_files(self.app, &self.caller, id).await?;
        }
        while let Some(field) = patient(self.app, multipart.next_field()).await? {
            match field.name() {
                Some("collection_id") => self.collection(field).await?,
                Some("batch_id") => self.batch(field).await?,
                Some("file") => self.file(field).await?,
                name => {
                    let name: String = name.unwrap_or_default().chars().take(100).collect();
                    let detail = format!("`{name}` is not a field of an upload");
                    return Err(ApiError::field(Code::UnknownField, name, detail));
                }
            }
        }
        self.settle(0).await?;
        let collection_id = self.collection_id.ok_or_else(|| needs_collection("is needed"))?;
        if self.files.is_empty() {
            let detail = "send at least one part named `file`, with a filename";
            return Err(ApiError::field(Code::MissingField, "file", detail));
        }
        Ok(collection_id)
    }

    async fn collection(&mut self, field: Field<'_>) -> Result<(), ApiError> {
        let id = CollectionId(self.id("collection_id", field).await?);
        match self.collection_id {
            Some(known) if known != id => {
                Err(ApiError::invalid("collection_id", "the same wherever it stands"))
            }
            Some(_) => Ok(()),
            None => {
                collections::existing(self.app, self.caller.workspace_id, id).await?;
                self.collection_id = Some(id);
                Ok(())
            }
        }
    }

    async fn batch(&mut self, field: Field<'_>) -> Result<(), ApiError> {
        let id = BatchId(self.id("batch_id", field).await?);
        match self.batch_id {
            Some(known) if known != id => {
                Err(ApiError::invalid("batch_id", "the same wherever it stands"))
            }
            Some(_) => Ok(()),
            None => {
                takes_files(self.app, &self.caller, id).await?;
                self.batch_id = Some(id);
                Ok(())
            }
        }
    }

    /// The id that a part holds.
    async fn id(&self, name: &str, mut field: Field<'_>) -> Result<Uuid, ApiError> {
        /// An id has 36; a client may add a line break.
        const MAX_BYTES: usize = 64;
        let wanted = || ApiError::invalid(name, "an id (a UUID)");
        let mut text = Vec::new();
        while let Some(piece) = patient(self.app, field.chunk()).await? {
            if text.len() + piece.len() > MAX_BYTES {
                return Err(wanted());
            }
            text.extend_from_slice(&piece);
        }
        let id = std::str::from_utf8(&text).ok().and_then(|text| parse_id(text.trim()));
        id.ok_or_else(wanted)
    }

    async fn file(&mut self, field: Field<'_>) -> Result<(), ApiError> {
        if self.collection_id.is_none() {
            return Err(needs_collection("stands before the first file, or in the query"));
        }
        let max = self.app.front.settings.max_files_per_upload;
        if self.files.len() + self.putting.len() >= max {
            return Err(ApiError::field(
                Code::TooLarge,
                "file",
                format!("an upload may have at most {max} files; send the others in another one"),
            ));
        }
        let Some(filename) = field.file_name().and_then(display_name) else {
            let detail = "a part named `file` needs a filename";
            return Err(ApiError::field(Code::MissingField, "file", detail));
        };
        let media_type = claimed_type(field.content_type());
        let key = ObjectKey::upload(self.caller.workspace_id, self.app.front.ids.next());
        let (pieces, arriving) = mpsc::channel::<Result<Bytes, PieceError>>(PIECES_IN_FLIGHT);
        let limit = self.app.front.settings.max_upload_bytes;
        let (objects, of_put) = (self.app.front.objects.clone(), key.clone());
        let put = self.app.tasks.spawn(async move {
            objects.put(&of_put, ReceiverStream::new(arriving).boxed(), limit).await
        });
        self.putting.push_back(Putting { filename, media_type, key, put });
        let whole = self.pump(field, pieces).await?;
        // Where the store has stopped to read, it says why.
        self.settle(if whole { PUTS_AT_ONCE } else { 0 }).await
    }

    /// Hands one part on to the object store, with both ends waiting for each other. False
    /// where the store reads no more of it.
    async fn pump(
        &self,
        mut field: Field<'_>,
        pieces: mpsc::Sender<Result<Bytes, PieceError>>,
    ) -> Result<bool, ApiError> {
        loop {
            let sent = match patient(self.app, field.chunk()).await {
                Ok(Some(piece)) => pieces.send(Ok(piece)).await,
                Ok(None) => return Ok(true),
                Err(error) => {
                    // The store hears that the file is not whole, and keeps nothing.
                    let broken: PieceError = error.detail.clone().into();
                    let _ = pieces.send(Err(broken)).await;
                    return Err(error);
                }
            };
            if sent.is_err() {
                return Ok(false);
            }
        }
    }

    /// Waits until at most so many files are on their way.
    async fn settle(&mut self, most: usize) -> Result<(), ApiError> {
        while self.putting.len() > most {
            let Some(putting) = self.putting.front_mut() else { break };
            let stored = match (&mut putting.put).await {
                Ok(stored) => stored.map_err(ApiError::from),
                Err(error) => Err(ApiError::internal(&error)),
            };
            let Some(Putting { filename, media_type, key, .. }) = self.putting.pop_front() else {
                break;
            };
            match stored {
                Ok(stored) => self.files.push(ReceivedFile { filename, media_type, key, stored }),
                Err(mut error) => {
                    if error.code == Code::TooLarge {
                        error.detail = format!("`{filename}`: {}", error.detail);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn needs_collection(what: &str) -> ApiError {
    ApiError::field(Code::MissingField, "collection_id", format!("`collection_id` {what}"))
}

/// The next piece, if it comes before the client counts as gone.
async fn patient<T>(
    app: &App,
    next: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, ApiError> {
    tokio::select! {
        next = next => next.map_err(|error| broken(&error)),
        () = app.stop.cut.cancelled() => Err(ApiError::leaving()),
        () = app.front.clock.sleep(app.front.settings.upload_idle) => {
            Err(ApiError::new(Code::RequestTimeout, "the upload sent nothing for too long"))
        }
    }
}

fn broken(error: &MultipartError) -> ApiError {
    let detail = match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            return ApiError::new(Code::TooLarge, "the upload is too large");
        }
        _ => "the multipart body breaks off or is malformed",
    };
    ApiError::new(Code::InvalidMultipart, detail)
}

/// What the client says the file is, where it says it in the form of a media type.
fn claimed_type(sent: Option<&str>) -> String {
    const UNKNOWN: &str = "application/octet-stream";
    const MAX_BYTES: usize = 127;
    let essence = sent.unwrap_or(UNKNOWN).split(';').next().unwrap_or(UNKNOWN).trim();
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match essence.split_once('/') {
        Some((kind, sub)) if essence.len() <= MAX_BYTES && token(kind) && token(sub) => {
            essence.to_ascii_lowercase()
        }
        _ => UNKNOWN.to_owned(),
    }
}

/// Reads on for a bounded while.
async fn drain(app: &App, mut multipart: Multipart) {
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Ok(Some(mut field)) = multipart.next_field().await {
            while let Ok(Some(piece)) = field.chunk().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = read => {}
        // The end of the connection reads on for another moment.
        () = app.stop.cut.cancelled() => {}
        () = app.front.clock.sleep(app.front.settings.body_timeout) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_type_is_a_type_or_unknown() {
        assert_eq!(claimed_type(Some("Text/HTML; charset=x")), "text/html");
        for odd in [None, Some(""), Some("pdf"), Some("a/b c"), Some("a/b\u{e9}")] {
            assert_eq!(claimed_type(odd), "application/octet-stream", "{odd:?}");
        }
    }
}
