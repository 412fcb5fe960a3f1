//! Backups: an installation as a bundle while it runs, and an installation out of a bundle.
//!
//! It knows the ports alone. Rows are read from one snapshot of the store; files are read
//! afterwards, since a file is never changed, only removed with its document. So a backup
//! is the state of one moment, less the documents that were deleted while it was made.

mod restore;
mod save;
mod spool;

pub use restore::{Opened, Restored, Target};
pub use save::{About, Saved, Source, back_up};
pub use spool::Scratch;

use std::time::Duration;

use crate::bundle::BundleError;
use crate::ports::bundles::SealError;
use crate::ports::objects::ObjectError;
use crate::ports::store::StoreError;

/// Files up to this size are read whole, several at once: a small one is mostly waiting.
const SMALL: u64 = 1 << 20;
/// So many small files are on their way at once.
const AT_ONCE: usize = 4;
/// Pieces between two sides that wait for each other.
const IN_FLIGHT: usize = 4;
/// At most so many damaged files are named; all are counted.
const NAMED: usize = 100;

/// Why a backup or a restore did not end.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store could not be read.
    #[error("could not read {what}")]
    Rows {
        /// The table, or `workspaces`.
        what: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A file could not be read.
    #[error("could not read the file of document {document} ({filename})")]
    File {
        /// The document and the version.
        document: String,
        /// The name it was uploaded under.
        filename: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took longer than it may.
    #[error(
        "the backup took longer than {} minutes: allow it more with backup.at_most_minutes, or \
         find out what is slow", .0.as_secs() / 60
    )]
    TooLong(Duration),
    /// The list of files beside the bundle could not be kept.
    #[error("could not keep the list of files in the scratch folder")]
    Spool(#[source] std::io::Error),
    /// The bundle could not be written or read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The bundle could not be stored.
    #[error("could not store the bundle")]
    Put(#[source] ObjectError),
    /// Whoever takes the pieces has stopped; why, it says itself.
    #[error("the bundle is no longer taken")]
    Stopped,
    /// The target could not be written or read.
    #[error("could not write {what} at the target")]
    Target {
        /// The table.
        what: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A file could not be stored at the target.
    #[error("could not store a file at the target")]
    Store(#[source] ObjectError),
    /// What stands at the target is not what the bundle has.
    #[error("what was restored is not what the bundle has: {0}; run the restore again")]
    Differs(String),
}

impl BackupError {
    fn rows(what: &'static str) -> impl Fn(StoreError) -> Self {
        move |source| Self::Rows { what, source }
    }

    fn target(what: &'static str) -> impl Fn(StoreError) -> Self {
        move |source| Self::Target { what, source }
    }
}
