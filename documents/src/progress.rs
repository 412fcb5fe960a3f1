//! What is a parse taken up with that was cut off?
//!
//! A reader that can enter a document in its middle tells after each range of pages what it
//! would go on with. Everybody between it and the parent adds what they go on with themselves.
//! The parent keeps the whole as bytes; a later child begins with them, and what it then finds
//! is what an undisturbed parse would have found.

use serde::{Deserialize, Serialize};

use crate::chunk::Chunker;

/// Which parser a [`Progress`] is of. A parse is not taken up by another one: raise it with
/// every change of what is found in a file, or of what a progress holds.
pub const PARSER: &str = concat!("1 of ", env!("CARGO_PKG_VERSION"));

/// No progress is larger: one that would be is not told.
const MAX_BYTES: usize = 64 << 10;

/// Where a parse begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// At the beginning of a file of its own.
    Start,
    /// Behind what another parse of it has found.
    At(&'a Progress),
    /// In a file that stands in another, which is always read whole.
    Within,
}

/// What was counted of the pages of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) next: u32,
    pub(crate) text_bytes: u64,
    pub(crate) with_text: u32,
    pub(crate) images: u32,
    pub(crate) unreadable: u32,
}

/// What a parse is taken up with behind a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub(crate) reader: quaestor_pdf::Place,
    pub(crate) seen: Seen,
    pub(crate) chunker: Chunker,
    pub(crate) chunks: u32,
    pub(crate) warnings: Vec<String>,
}

impl Progress {
    /// As bytes; none where they would be too many.
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok().filter(|bytes| bytes.len() <= MAX_BYTES)
    }

    /// Out of the bytes that a parse has told; none where they are of another parser.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
