//! Which passages does a page fall into?
//!
//! Passages follow the structure: paragraphs of a section are packed together, a heading
//! stands with what it heads, rows of a table stay whole and carry the names of their
//! columns in a field of their own. A passage never crosses a page. All decisions look
//! back only, so text added at the end changes nothing before the last passage.

mod split;
mod units;

use quaestor_core::model::Chunking;
use quaestor_core::parsed::{CellRange, ParsedChunk, ParsedPage, Table};

use serde::{Deserialize, Serialize};
use units::{Unit, UnitKind, units};

/// A heading in a section path is cut to this many characters.
const MAX_HEADING_CHARS: usize = 120;

/// The names of the columns before a passage are cut to this many characters.
const MAX_HEADER_CHARS: usize = 1_000;

/// Cuts the pages of one document, in order, into passages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunker {
    chunking: Chunking,
    next_ordinal: u32,
    headings: Vec<(u8, String)>,
}

/// A passage while it grows.
struct Open {
    start: usize,
    end: usize,
    char_start: usize,
    char_end: usize,
    /// The section of its first running text or row.
    section: Option<String>,
    table: Option<usize>,
    header: Vec<String>,
    row_chars: usize,
    cells: Option<CellRange>,
}

impl Open {
    fn len(&self) -> usize {
        self.char_end - self.char_start
    }
}

impl Chunker {
    /// A chunker at the start of a document, with the usual sizes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A chunker at the start of a document.
    #[must_use]
    pub fn with(chunking: Chunking) -> Self {
        Self { chunking, ..Self::default() }
    }

    /// The passages of the next page.
    pub fn page(&mut self, page: &ParsedPage) -> Vec<ParsedChunk> {
        // A sheet or slide begins anew; the pages of a report go on.
        if page.label.is_some() {
            self.headings.clear();
        }
        let mut chunks = Vec::new();
        let mut open: Option<Open> = None;
        let mut label: Option<(usize, String)> = None;
        for unit in units(page, self.chunking) {
            if let Some(current) = &open
                && !fits(current, &unit, self.chunking)
            {
                chunks.extend(open.take().map(|done| self.close(done, page)));
            }
            if let UnitKind::Heading(level) = unit.kind {
                self.enter(level, &page.text[unit.start..unit.end]);
            }
            let current = open.get_or_insert_with(|| Open {
                start: unit.start,
                end: unit.start,
                char_start: unit.char_start,
                char_end: unit.char_start,
                section: None,
                table: None,
                header: Vec::new(),
                row_chars: 0,
                cells: None,
            });
            current.end = unit.end;
            current.char_end = unit.char_end;
            if !matches!(unit.kind, UnitKind::Heading(_)) && current.section.is_none() {
                current.section = Some(section(page, &self.headings));
            }
            if let UnitKind::Row { table: index, row } = unit.kind
                && let Some(table) = units::table(page, index)
            {
                if current.table != Some(index) {
                    current.table = Some(index);
                    let above = label.as_ref().filter(|(of, _)| *of == index).map(|(_, text)| text);
                    let header = header(table, above.map(String::as_str));
                    if !header.is_empty() && !current.header.contains(&header) {
                        current.header.push(header);
                    }
                }
                current.row_chars += unit.char_end - unit.char_start;
                let cells = table.rows.get(row).and_then(|row| row.cells);
                current.cells = match (current.cells, cells) {
                    (Some(all), Some(more)) => Some(all.union(&more)),
                    (all, more) => all.or(more),
                };
                let text = &page.text[unit.start..unit.end];
                if text.starts_with("Total ") || text.starts_with("Net ") {
                    // A sum ends the part of the table that the label headed.
                    label = None;
                } else if text.ends_with(':') && !text.contains(" | ") {
                    label = Some((index, text.to_owned()));
                }
            }
        }
        chunks.extend(open.map(|done| self.close(done, page)));
        chunks
    }

    fn enter(&mut self, level: u8, text: &str) {
        self.headings.retain(|(above, _)| *above < level);
        let mut name = crate::inline::clean(text).replace(" > ", " - ");
        if let Some((cut, _)) = name.char_indices().nth(MAX_HEADING_CHARS) {
            name.truncate(cut);
        }
        self.headings.push((level, name));
    }

    fn close(&mut self, open: Open, page: &ParsedPage) -> ParsedChunk {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        ParsedChunk {
            ordinal,
            page_ordinal: page.ordinal,
            char_start: narrow(open.char_start),
            char_end: narrow(open.char_end),
            is_table: open.row_chars * 2 > open.len(),
            cells: open.cells.map(|cells| match &page.label {
                Some(sheet) => format!("{sheet}!{}", cells.a1()),
                None => cells.a1(),
            }),
            header: open.header.join("\n"),
            text: page.text[open.start..open.end].to_owned(),
            section: open.section.unwrap_or_else(|| section(page, &self.headings)),
        }
    }
}

/// Whether the unit goes into the open passage.
fn fits(open: &Open, unit: &Unit, chunking: Chunking) -> bool {
    let (target, small, lead) = (chunking.target(), chunking.small(), chunking.lead());
    let len = unit.char_end - open.char_start;
    let has_body = open.section.is_some();
    if len > chunking.max() {
        return false;
    }
    match unit.kind {
        UnitKind::Heading(_) => {
            len <= target && (!has_body || (open.len() < small && open.table.is_none()))
        }
        UnitKind::Row { table, .. } => {
            len <= target && (open.table == Some(table) || !has_body || open.len() < lead)
        }
        UnitKind::Prose => {
            if open.table.is_some() && open.len() >= lead {
                return false;
            }
            len <= target || open.len() < small
        }
    }
}

/// The headings above, outermost first; a sheet's or slide's name comes before them.
fn section(page: &ParsedPage, headings: &[(u8, String)]) -> String {
    let label = page.label.as_deref().filter(|label| {
        !headings.first().is_some_and(|(_, first)| first.eq_ignore_ascii_case(label.trim()))
    });
    let names: Vec<&str> =
        label.into_iter().chain(headings.iter().map(|(_, name)| name.as_str())).collect();
    names.join(" > ")
}

/// What names a table's columns: its caption, its header, and the label above the row.
fn header(table: &Table, label: Option<&str>) -> String {
    let lines: Vec<&str> = table
        .caption
        .as_deref()
        .into_iter()
        .chain(table.header.iter().map(String::as_str))
        .chain(label)
        .collect();
    let mut text = lines.join("\n");
    if let Some((cut, _)) = text.char_indices().nth(MAX_HEADER_CHARS) {
        text.truncate(cut);
    }
    text
}

#[cfg(test)]
mod tests;
