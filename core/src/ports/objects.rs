//! The port to stored files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::clock::Time;
use crate::ids::{DocumentId, ExportId, WorkspaceId};

/// Where a file is stored: made of ids only, so that no name from outside becomes a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key of one version of a document.
    #[must_use]
    pub fn document(workspace: WorkspaceId, document: DocumentId, version: u32) -> Self {
        Self(format!("{workspace}/documents/{document}/{version}"))
    }

    /// The key of an upload whose document is not known before its content is.
    #[must_use]
    pub fn upload(workspace: WorkspaceId, upload: uuid::Uuid) -> Self {
        Self(format!("{workspace}/uploads/{upload}"))
    }

    /// The key of an export, as one attempt writes it: an earlier one that still runs writes
    /// another file.
    #[must_use]
    pub fn export(workspace: WorkspaceId, export: ExportId, attempt: u32) -> Self {
        Self(format!("{workspace}/exports/{export}/{attempt}"))
    }

    /// A key as a row holds it. Refuses what no key can be.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let clean = !text.is_empty()
            && text.len() <= 256
            && text.split('/').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
        if clean { Ok(Self(text.to_owned())) } else { Err(ObjectError::BadKey) }
    }

    /// The workspace whose file it is, where the key is one that a row may name: of a
    /// document, of an upload or of an export. None of others, which a sweep leaves alone.
    #[must_use]
    pub fn workspace(&self) -> Option<WorkspaceId> {
        let (workspace, rest) = self.0.split_once('/')?;
        let kind = rest.split('/').next()?;
        if !["documents", "uploads", "exports"].contains(&kind) {
            return None;
        }
        workspace.parse().ok()
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file's size.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, hexadecimal, lower case.
    pub sha256: String,
}

/// A file in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
    /// When it was stored, by the storage's clock.
    pub stored_at: Time,
}

/// Some files of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// The files, by key.
    pub objects: Vec<ListedObject>,
    /// After which key the next page begins; none after the last one.
    pub next: Option<ObjectKey>,
}

/// Why a file could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Nothing is stored under the key.
    #[error("nothing is stored under {0}")]
    Missing(ObjectKey),
    /// The text is no object key.
    #[error("that is no object key")]
    BadKey,
    /// The file is larger than allowed; nothing was kept.
    #[error("the file is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit_bytes: u64,
    },
    /// What sends the bytes failed; nothing was kept.
    #[error("the upload broke off")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The storage failed.
    #[error("could not {action} {key}")]
    Io {
        /// `store`, `read`, `delete`.
        action: &'static str,
        /// The key, or what else was acted on.
        key: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The bytes of a file, piece by piece.
pub type ByteStream = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A file on this machine's disk for as long as this value lives.
#[derive(Debug)]
pub struct LocalCopy {
    path: PathBuf,
    /// Whether the file is removed with this value.
    temporary: bool,
}

impl LocalCopy {
    /// The store's own file: stays.
    #[must_use]
    pub fn permanent(path: PathBuf) -> Self {
        Self { path, temporary: false }
    }

    /// A fetched copy: removed when dropped.
    #[must_use]
    pub fn temporary(path: PathBuf) -> Self {
        Self { path, temporary: true }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        if self.temporary {
            // A copy that stays behind is swept with the scratch folder at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where uploads and exports are kept.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// Stores a stream, without ever holding more than a few pieces of it. Once this
    /// returns, the file survives a crash of the machine; before, and on any error,
    /// nothing stands under the key.
    async fn put(
        &self,
        key: &ObjectKey,
        bytes: ByteStream,
        limit_bytes: u64,
    ) -> Result<Stored, ObjectError>;

    /// The bytes of a file, from `offset`.
    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream, ObjectError>;

    /// The file on this machine's disk, for a parser that needs a path.
    async fn local_copy(&self, key: &ObjectKey) -> Result<LocalCopy, ObjectError>;

    /// Removes a file. One that is not there is no error: a delete may be repeated.
    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError>;

    /// A link that anybody may read the file by for so long, as a file of this name and media
    /// type that is saved and not shown; this one file, and to read it alone. None where the
    /// storage has no such links, and the program itself serves its files.
    async fn link(
        &self,
        key: &ObjectKey,
        lives: Duration,
        disposition: &str,
        media_type: &str,
    ) -> Result<Option<String>, ObjectError>;

    /// The size of a file; none where nothing is stored under the key.
    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, ObjectError>;

    /// Files in the order of their keys, after the given one, at most `limit`. What is
    /// stored or removed meanwhile may be in it or not; every other file is, once. What has
    /// no key is left out.
    async fn list(&self, after: Option<&ObjectKey>, limit: u32) -> Result<ObjectPage, ObjectError>;

    /// Removes what uploads have left that were never finished and began longer ago.
    /// Returns how many.
    async fn sweep(&self, older_than: Duration) -> Result<u64, ObjectError>;

    /// Whether the storage serves.
    async fn ping(&self) -> Result<(), ObjectError>;
}
