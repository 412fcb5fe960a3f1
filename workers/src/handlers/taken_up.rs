//! What is stored with a checkpoint of a parse, beside the pages and passages themselves.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// What an attempt takes up an earlier one with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct TakenUp {
    /// Title and day, once the document is described by its beginning.
    pub(super) described: Option<(Option<String>, Option<NaiveDate>)>,
    /// Where the child enters the document; at its beginning, where there is none.
    pub(super) from: Option<Vec<u8>>,
    /// How long the parse took up to here, in milliseconds.
    pub(super) spent_ms: u64,
}

impl TakenUp {
    /// None where it cannot be read: then the file is read from its beginning, and what is
    /// stored of it is passed over.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }
}
