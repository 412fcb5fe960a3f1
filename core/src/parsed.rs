//! What a parser makes of a file, and what the chunker makes of that.
//!
//! A parser turns bytes into pages whose text is *canonical*: what a citation quotes
//! stands word for word in a page's text, and every span counts in it.

use serde::{Deserialize, Serialize};

use crate::boxes::WordBox;

/// A span of a page's text in bytes, `start..end`, on character boundaries. Only used
/// between parser and chunker; what is stored and shown counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSpan {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Whether a page gave text, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PageState {
    /// The page has text.
    Text,
    /// The page was read and is blank.
    Empty,
    /// The page was read and shows only pictures: it needs OCR.
    ImageOnly,
    /// The page could not be read; the others stand.
    Unreadable {
        /// What a person is told.
        reason: String,
    },
}

/// One page of a document. Formats without pages (HTML, Markdown, text) have one; a
/// workbook has one per sheet, a presentation one per slide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParsedPage {
    /// The place in the document, from 0.
    pub ordinal: u32,
    /// The page's number, from 1; none where the format has no pages.
    pub number: Option<u32>,
    /// The sheet's name for workbooks, the slide's title for presentations.
    pub label: Option<String>,
    /// Whether the page gave text.
    pub state: PageState,
    /// The canonical text: blocks in reading order, parted by newlines. The cells of a
    /// table row are parted by ` | `.
    pub text: String,
    /// The structure over `text`, in order, without overlaps.
    pub blocks: Vec<Block>,
    /// Where each word of `text` stands on the page (PDF only, else empty), in order.
    pub boxes: Vec<WordBox>,
    /// Width and height in points (PDF only).
    pub size_pt: Option<(f32, f32)>,
}

/// A piece of a page's structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Where it stands in the page's text.
    pub span: ByteSpan,
    /// What it is.
    pub kind: BlockKind,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading of the given level, 1 being the highest.
    Heading {
        /// From 1 (highest) to 6.
        level: u8,
    },
    /// Running text or a list item.
    Paragraph,
    /// A table. The rows' spans lie within the block's.
    Table(Table),
}

/// A table: its rows as spans of the page's text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What names the columns, one line of text per header row, cells parted by ` | `.
    /// Repeated before every chunk of the table.
    pub header: Vec<String>,
    /// The line above the table that names it or gives its unit ("In millions"), if any.
    pub caption: Option<String>,
    /// The rows, header rows included, in order.
    pub rows: Vec<TableRow>,
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Where the row's line stands in the page's text.
    pub span: ByteSpan,
    /// Whether the row names columns instead of holding values.
    pub is_header: bool,
    /// The row's cells in a workbook, such as `B7:D7`; none elsewhere.
    pub cells: Option<CellRange>,
}

/// A range of cells of one sheet, counted from 0, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellRange {
    /// The first row.
    pub top: u32,
    /// The first column.
    pub left: u32,
    /// The last row.
    pub bottom: u32,
    /// The last column.
    pub right: u32,
}

impl CellRange {
    /// The range as a workbook writes it: `B7`, or `B7:D9`.
    #[must_use]
    pub fn a1(&self) -> String {
        let first = cell_a1(self.top, self.left);
        if (self.top, self.left) == (self.bottom, self.right) {
            first
        } else {
            format!("{first}:{}", cell_a1(self.bottom, self.right))
        }
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            top: self.top.min(other.top),
            left: self.left.min(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }
}

/// A cell as a workbook writes it: row 6, column 1 is `B7`.
#[must_use]
pub fn cell_a1(row: u32, column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = u64::from(column) + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or(0);
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect::<String>() + &(u64::from(row) + 1).to_string()
}

/// A passage, ready to be stored and searched.
///
/// `text` is exactly the page's text from `char_start` to `char_end`; what a reader
/// needs beside it (the table's header, the section) stands in fields of its own, so
/// that a quote can always be found on its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedChunk {
    /// The place in the document, from 0.
    pub ordinal: u32,
    /// The page it stands on, as its ordinal.
    pub page_ordinal: u32,
    /// Characters (not bytes) of the page's text before it.
    pub char_start: u32,
    /// Characters of the page's text up to its end.
    pub char_end: u32,
    /// The headings above it, outermost first, parted by ` > `; empty where there are none.
    pub section: String,
    /// The table's caption and header lines where the passage is table rows; else empty.
    pub header: String,
    /// The passage.
    pub text: String,
    /// Whether the passage is rows of a table.
    pub is_table: bool,
    /// Its cells in a workbook: `Sheet!B7:D9`.
    pub cells: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_as_a_workbook_writes_them() {
        assert_eq!(cell_a1(6, 1), "B7");
        assert_eq!(cell_a1(0, 25), "Z1");
        assert_eq!(cell_a1(0, 26), "AA1");
        assert_eq!(cell_a1(1_048_575, 16_383), "XFD1048576");
        let range = CellRange { top: 6, left: 1, bottom: 8, right: 3 };
        assert_eq!(range.a1(), "B7:D9");
    }
}
