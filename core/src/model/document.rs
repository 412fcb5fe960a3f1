//! Documents and what is stored of their files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{CollectionId, DocumentId};
use crate::problem::Problem;

/// Where a document's newest version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    /// Accepted, not begun.
    Queued,
    /// Being parsed, or searchable by words with its vectors still to come.
    Processing,
    /// Searchable by all means that are configured.
    Ready,
    /// Not usable; `error` says why.
    Failed,
}

impl DocumentStatus {
    /// Every status there is.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Processing, Self::Ready, Self::Failed];

    /// The name in rows and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DocumentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DocumentStatus {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| format!("no document status is named {name:?}"))
    }
}

/// A document as clients see it: its newest version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its id, the same over all versions.
    pub id: DocumentId,
    /// The collection it belongs to.
    pub collection_id: CollectionId,
    /// The name it was uploaded under.
    pub filename: String,
    /// By content; what the upload claimed until it was parsed.
    pub media_type: String,
    /// The file's size.
    pub size_bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// Counts from 1; a new upload of the same name is a new version.
    pub version: u32,
    /// Where this version stands.
    pub status: DocumentStatus,
    /// Why it failed, or what is missing; else null.
    pub error: Option<Problem>,
    /// How many pages (sheets, slides) it has.
    pub pages: u32,
    /// How many passages it has.
    pub chunks: u32,
    /// When the document was first uploaded.
    pub created_at: Time,
}

/// The stored file of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The key in the object store, made of ids only.
    pub key: String,
    /// The file's size.
    pub size_bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// The media type, by content where parsed.
    pub media_type: String,
    /// The name it was uploaded under: for people, never a path.
    pub filename: String,
}
