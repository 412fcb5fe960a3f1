//! From one store to another: an installation's rows and files, and the proof that they
//! have arrived.
//!
//! It knows the ports alone. Rows go table by table, page by page, in the order in which
//! they may be written; the next page is read while one is written, so two pages are in
//! memory and no more. The source is only read. Nothing else may use either side.

mod check;
mod digest;
mod objects;
mod rows;

pub use check::{Difference, check_rows, tally_rows};
pub use digest::{Digest, Tally};
pub use objects::{Damage, Damaged, Files, check_objects, copy_objects, remove_objects};
pub use rows::{copy_rows, count_rows};

use crate::ids::WorkspaceId;
use crate::ports::objects::ObjectError;
use crate::ports::store::{Installation, Most, Store, StoreError, Table};

/// How much is read and written at once.
const MOST: Most = Most { records: 500, bytes: 4 << 20 };
/// So many workspaces are listed at once.
const WORKSPACES: u32 = 500;

/// What is told on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// So many rows of the table have been copied.
    Copying(Table, u64),
    /// The table has been copied: so many rows.
    Copied(Table, u64),
    /// So many files of so many bytes have been copied or checked.
    Files(Files),
    /// So many rows of the table have been compared.
    Checking(Table, u64),
    /// The table has been compared: so many rows.
    Checked(Table, u64),
}

/// Who is told.
pub type Tell<'a> = &'a (dyn Fn(Told) + Send + Sync);

/// Why something could not be transferred.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source could not be read.
    #[error("could not read {what} of the source")]
    Read {
        /// The table, or `workspaces`.
        what: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The target could not be written or read.
    #[error("could not write {what} at the target")]
    Write {
        /// The table.
        what: &'static str,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A file could not be written at the target.
    #[error("could not store a file at the target")]
    Store(#[source] ObjectError),
    /// A file could not be removed at the target.
    #[error("could not remove a file at the target")]
    Remove(#[source] ObjectError),
}

/// Calls of a store, in the words of the side it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Source,
    Target,
}

impl At {
    fn failed(self, what: &'static str) -> impl Fn(StoreError) -> TransferError {
        move |source| match self {
            Self::Source => TransferError::Read { what, source },
            Self::Target => TransferError::Write { what, source },
        }
    }
}

/// Every workspace, one after the other, a few in memory at once.
struct Workspaces<'a> {
    store: &'a dyn Store,
    at: At,
    listed: std::vec::IntoIter<WorkspaceId>,
    last: Option<WorkspaceId>,
}

impl<'a> Workspaces<'a> {
    fn of(store: &'a dyn Store, at: At) -> Self {
        Self { store, at, listed: Vec::new().into_iter(), last: None }
    }

    async fn next(&mut self) -> Result<Option<WorkspaceId>, TransferError> {
        if let Some(workspace) = self.listed.next() {
            self.last = Some(workspace);
            return Ok(Some(workspace));
        }
        let listed = Installation::workspaces_after(self.store, self.last, WORKSPACES).await;
        self.listed = listed.map_err(self.at.failed("workspaces"))?.into_iter();
        let next = self.listed.next();
        self.last = next.or(self.last);
        Ok(next)
    }
}
