//! Which physical columns are one column to a reader?

use super::value::{closes_number, is_figure, is_nil, opens_number};
use super::{RawCell, RawRow};

/// How many empty physical columns may stand between a mark and its number.
const GLUE_REACH: u32 = 2;

/// Glues currency signs to the number right of them, and `)` and `%` to the one left.
/// Cells without text are dropped.
pub(crate) fn glue(cells: &mut Vec<RawCell>) {
    let mut glued: Vec<RawCell> = Vec::with_capacity(cells.len());
    for cell in cells.drain(..).filter(|cell| !cell.text.is_empty()) {
        if let Some(last) = glued.last_mut() {
            let near = cell.column <= last.end().saturating_add(GLUE_REACH);
            let first = cell.text.chars().next();
            let follows_mark = opens_number(&last.text)
                && (first.is_some_and(|c| c.is_ascii_digit() || matches!(c, '(' | '.' | '-'))
                    || is_nil(&cell.text));
            let closes = closes_number(&cell.text)
                && (is_figure(&last.text) || opens_part(&last.text))
                && !opens_number(&last.text);
            if near && (follows_mark || closes) {
                if closes && cell.text.starts_with(|c: char| c.is_alphabetic()) {
                    last.text.push(' ');
                }
                last.text.push_str(&cell.text);
                last.width = cell.end() - last.column;
                continue;
            }
        }
        glued.push(cell);
    }
    *cells = glued;
}

/// `(171`: a number whose bracket closes in the next cell.
fn opens_part(text: &str) -> bool {
    text.contains('(')
        && !text.contains(')')
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.len() < 24
}

/// The columns a reader sees, as half-open ranges of physical ones, from left to right.
pub(super) struct Columns {
    ranges: Vec<(u32, u32)>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The first and last column that the physical range `from..to` touches.
    pub(super) fn covered(&self, from: u32, to: u32) -> (usize, usize) {
        let first = self.ranges.partition_point(|range| range.1 <= from);
        let after = self.ranges.partition_point(|range| range.0 < to);
        let top = self.ranges.len().saturating_sub(1);
        let first = first.min(top);
        (first, after.saturating_sub(1).clamp(first, top))
    }
}

/// Gathers columns: narrow cells found them, wider ones widen the one they touch, and
/// those that touch several are spanning cells and decide nothing.
pub(super) fn gather(rows: &[RawRow]) -> Columns {
    let mut spans: Vec<(u32, u32)> = rows
        .iter()
        .flat_map(|row| row.cells.iter().map(|cell| (cell.column, cell.end())))
        .collect();
    spans.sort_unstable_by_key(|&(from, to)| (to - from, from));
    spans.dedup();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (from, to) in spans {
        let first = ranges.partition_point(|range| range.1 <= from);
        let after = ranges.partition_point(|range| range.0 < to);
        match after.saturating_sub(first) {
            0 => ranges.insert(first, (from, to)),
            1 => {
                let range = &mut ranges[first];
                *range = (range.0.min(from), range.1.max(to));
            }
            _ => {}
        }
    }
    Columns { ranges }
}
