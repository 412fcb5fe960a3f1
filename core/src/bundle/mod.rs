//! The format of a bundle: an installation as one stream of bytes.
//!
//! It is written and read from front to back, with one page of rows or one piece of a file
//! in memory at a time.
//!
//! ```text
//! bundle  = magic frame*
//! magic   = "quaestor bundle\n"                                          16 bytes
//! frame   = kind flags stored-length plain-length payload seal
//!           u8   u8    u32           u32          …       16 bytes       little endian
//! ```
//!
//! `flags` is 1 where the payload is deflated (RFC 1951), else 0. `seal` is the first half
//! of SHA-256 over the seal before (all 32 bytes; of the magic for the first frame), the
//! frame's first ten bytes and its payload. So each seal covers everything up to it: a bit
//! that was flipped, a frame that is missing, doubled or in another place shows at once.
//!
//! | kind | payload | when |
//! |---|---|---|
//! | 1 header | JSON [`Header`] | first |
//! | 2 table | JSON [`TableHead`]: name and columns | before a table's rows, in the order of writing |
//! | 3 rows | postcard: workspace, list of lists of [`Value`](crate::ports::store::Value) | a page |
//! | 4 file | postcard [`FileHead`]: key, size, SHA-256 | after all rows, for each version |
//! | 5 bytes | a piece of the file | |
//! | 6 file end | postcard [`FileEnd`] | |
//! | 7 trailer | JSON [`Trailer`]: counts and sums of all parts | last; nothing follows |
//!
//! Encryption is around all of it (age, <https://age-encryption.org/v1>), so the format
//! knows of none.
//!
//! The format's number is raised when a program of now could no longer read what one
//! writes then. A column that was added since is none such: a table says which columns it
//! has, and `rows` fills in what older bundles lack.

mod frame;
mod rows;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{DocumentId, WorkspaceId};

pub use frame::{Frame, FrameReader, FrameWriter, Kind};
pub use rows::{Columns, TableHead, pack, unpack};

/// What a bundle begins with.
pub const MAGIC: &[u8; 16] = b"quaestor bundle\n";
/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What a bundle is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format of what follows.
    pub format: u32,
    /// The version of the program that wrote it.
    pub product: String,
    /// The bundle's name.
    pub name: String,
    /// Of which store: `SQLite` or `PostgreSQL`.
    pub store: String,
    /// The moment whose state it has.
    pub created_at: Time,
}

/// A file that follows, as its version's row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The document.
    pub document: DocumentId,
    /// Its version.
    pub version: u32,
    /// The key it is stored under.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// The name it was uploaded under.
    pub filename: String,
    /// Whether the row says that it could not be used, so that nobody misses it.
    pub failed: bool,
}

/// How a file came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileEnd {
    /// It is whole, and is what its row says.
    Whole,
    /// Its document was deleted while the backup ran.
    Deleted,
    /// Nothing was stored under its key, though its document was there.
    Missing,
    /// It had another size or SHA-256 than its row says.
    Changed,
}

/// A part that is rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePart {
    /// The table.
    pub table: String,
    /// How many records.
    pub records: u64,
    /// The sum of the SHA-256 of its records, hexadecimal.
    pub sha256_sum: String,
}

/// The part that is files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesPart {
    /// How many are whole.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 over the key and the SHA-256 of each, in their order, hexadecimal.
    pub sha256: String,
    /// How many documents' files were gone because the documents were deleted meanwhile.
    pub deleted: u64,
    /// How many were not there, or not what their rows say.
    pub damaged: u64,
}

/// What a bundle comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// The tables.
    pub tables: Vec<TablePart>,
    /// The files.
    pub files: FilesPart,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is none.
    #[error("this is no bundle of Quaestor, or its beginning is damaged: take another one")]
    NoBundle,
    /// It is of a format that this program does not know.
    #[error(
        "the bundle has format {format} and was written by Quaestor {product}; this program reads \
         formats up to {FORMAT}: use version {product} or a later one"
    )]
    Newer {
        /// Its format.
        format: u32,
        /// Who wrote it.
        product: String,
    },
    /// A part of it is not what was written.
    #[error("the bundle is damaged at byte {at}: {what}; take another one")]
    Damaged {
        /// How many bytes of it are fine.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It ends before its trailer.
    #[error("the bundle breaks off after {at} bytes: its copy was cut short; take another one")]
    CutOff {
        /// How many bytes there are.
        at: u64,
    },
    /// A value could not be written down.
    #[error("could not write {what} into the bundle")]
    Write {
        /// What.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It could not be read on.
    #[error("could not read the bundle beyond byte {at}")]
    Read {
        /// How many bytes were read.
        at: u64,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
