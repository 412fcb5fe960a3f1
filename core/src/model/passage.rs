//! Passages and pages as search and citations read them.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::ids::{ChunkId, CollectionId, DocumentId};

/// A stored chunk with what is needed to show and cite it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// Its document.
    pub document_id: DocumentId,
    /// The version of the document.
    pub version: u32,
    /// The collection.
    pub collection_id: CollectionId,
    /// The document's name.
    pub filename: String,
    /// The document's own title, where it has one.
    pub title: Option<String>,
    /// The document's media type.
    pub media_type: String,
    /// The day the document speaks of (period end or report date), where its text tells.
    pub document_date: Option<NaiveDate>,
    /// The place of the chunk in its document.
    pub ordinal: u32,
    /// The page, as its ordinal from 0.
    pub page_ordinal: u32,
    /// The page's number, from 1; null where the format has none.
    pub page: Option<u32>,
    /// Characters of the page's text before it.
    pub char_start: u32,
    /// Characters of the page's text up to its end.
    pub char_end: u32,
    /// The headings above it.
    pub section: String,
    /// The table's caption and header lines, for table rows.
    pub header: String,
    /// The passage.
    pub text: String,
    /// Whether it is rows of a table.
    pub is_table: bool,
    /// Its cells in a workbook, such as `Sheet!B7:D9`.
    pub cells: Option<String>,
    /// Tokens of header and text, by tiktoken.
    pub tokens: u32,
}

/// A page's canonical text and the packed boxes of its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// The place in the document, from 0.
    pub ordinal: u32,
    /// The page's number, from 1, where the format has pages.
    pub number: Option<u32>,
    /// The sheet's name or the slide's title.
    pub label: Option<String>,
    /// The canonical text.
    pub text: String,
    /// As `quaestor_core::boxes::encode` packs them; empty where there are none.
    pub boxes: Vec<u8>,
    /// Why the page gave no text, if it gave none: `empty`, `image_only`, or the reason
    /// it could not be read.
    pub missing: Option<String>,
}
