//! What are the smallest pieces that a passage is built from?

use quaestor_core::model::Chunking;
use quaestor_core::parsed::{BlockKind, ParsedPage, Table};

use super::split::pieces;

/// A piece of a page, with its place in bytes and in characters.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) char_start: usize,
    pub(super) char_end: usize,
    pub(super) kind: UnitKind,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitKind {
    Heading(u8),
    Prose,
    /// A row, by the place of its table among the page's blocks and its own place in it.
    Row {
        table: usize,
        row: usize,
    },
}

/// The table at a place among the page's blocks.
pub(super) fn table(page: &ParsedPage, block: usize) -> Option<&Table> {
    match page.blocks.get(block).map(|block| &block.kind) {
        Some(BlockKind::Table(table)) => Some(table),
        _ => None,
    }
}

/// The pieces of a page, in order, covering all of its text that is not blank. Text
/// outside of the blocks is running text; a block that overlaps one before it or is not
/// on character boundaries is passed over, and its text is running text too.
pub(super) fn units(page: &ParsedPage, chunking: Chunking) -> Vec<Unit> {
    let mut out = Units { text: &page.text, at: 0, units: Vec::new(), chunking };
    for (index, block) in page.blocks.iter().enumerate() {
        match &block.kind {
            BlockKind::Heading { level } => {
                out.add(block.span.start, block.span.end, UnitKind::Heading(*level));
            }
            BlockKind::Paragraph => out.add(block.span.start, block.span.end, UnitKind::Prose),
            BlockKind::Table(table) => {
                for (n, row) in table.rows.iter().enumerate() {
                    let kind = UnitKind::Row { table: index, row: n };
                    out.add(row.span.start, row.span.end, kind);
                }
            }
        }
    }
    out.prose_to(page.text.len());
    out.units
}

struct Units<'a> {
    text: &'a str,
    /// Bytes taken so far.
    at: usize,
    units: Vec<Unit>,
    chunking: Chunking,
}

impl Units<'_> {
    fn add(&mut self, start: u32, end: u32, kind: UnitKind) {
        let (start, end) = (start as usize, end as usize);
        if start < self.at || end <= start || self.text.get(start..end).is_none() {
            return;
        }
        self.prose_to(start);
        self.take(end, kind);
    }

    fn prose_to(&mut self, end: usize) {
        if self.at < end {
            self.take(end, UnitKind::Prose);
        }
    }

    /// Takes the text up to `end`, cut where it is too long for one passage.
    fn take(&mut self, end: usize, kind: UnitKind) {
        let text = &self.text[self.at..end];
        for (from, to) in pieces(text, self.chunking.target(), self.chunking.max()) {
            let start = self.at + from;
            let stop = self.at + to;
            let before = self.units.last().map_or(0, |unit| unit.end);
            let chars = self.units.last().map_or(0, |unit| unit.char_end);
            let char_start = chars + self.text[before..start].chars().count();
            let char_end = char_start + self.text[start..stop].chars().count();
            // The second piece of a heading heads nothing.
            let kind = match kind {
                UnitKind::Heading(_) if from > 0 && !text[..from].trim().is_empty() => {
                    UnitKind::Prose
                }
                kind => kind,
            };
            self.units.push(Unit { start, end: stop, char_start, char_end, kind });
        }
        self.at = end;
    }
}
