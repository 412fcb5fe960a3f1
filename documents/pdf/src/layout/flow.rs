//! Which lines are paragraphs and which are headings?

use super::rows::{Row, Source};
use super::text::begins_item;

/// A piece of running text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Passage {
    pub(crate) rows: Vec<Row>,
    /// The heading's level, none for a paragraph.
    pub(crate) level: Option<u8>,
}

/// What is usual on the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    /// The height of most text.
    pub(crate) size: f32,
    /// Whether most text is bold, so that bold says nothing.
    pub(crate) bold: bool,
}

/// Groups lines to paragraphs and headings.
pub(crate) fn passages(source: &Source<'_>, rows: Vec<Row>, norm: Norm) -> Vec<Passage> {
    let right = rows.iter().map(Row::x1).fold(f32::NEG_INFINITY, f32::max);
    let left = rows.iter().map(Row::x0).fold(f32::INFINITY, f32::min);
    let mut out: Vec<Passage> = Vec::new();
    let mut pitch: Option<f32> = None;
    for row in rows {
        let joins = out
            .last()
            .and_then(|passage| passage.rows.last())
            .is_some_and(|previous| continues(source, previous, &row, pitch, (left, right)));
        if joins && let Some(passage) = out.last_mut() {
            pitch = passage.rows.last().map(|previous| row.base - previous.base);
            passage.rows.push(row);
        } else {
            pitch = None;
            out.push(Passage { rows: vec![row], level: None });
        }
    }
    for passage in &mut out {
        passage.level = heading_level(source, &passage.rows, norm);
    }
    out
}

fn continues(
    source: &Source<'_>,
    previous: &Row,
    row: &Row,
    pitch: Option<f32>,
    (left, right): (f32, f32),
) -> bool {
    let gap = row.base - previous.base;
    let size = previous.size;
    if gap > 1.75 * size.max(row.size)
        || pitch.is_some_and(|pitch| gap > 1.25 * pitch + 0.5)
        || gap < 0.0
    {
        return false;
    }
    if (row.size - size).abs() > 0.12 * size
        || row.bold != previous.bold && previous.word_count() < 14 && row.word_count() > 1
    {
        return false;
    }
    let Some(first) = row.words().next() else { return true };
    let word = source.word(first);
    if begins_item(word) {
        return false;
    }
    // A justified line may have gaps like a table's; a short line with gaps is no text.
    let loose = |row: &Row| row.segments.len() > 1 && row.word_count() < 8;
    if loose(row) || loose(previous) {
        return false;
    }
    let first_width = source.words[first].x1 - source.words[first].x0;
    // A line that had room for the next word ended on purpose, unless the block is
    // centred or ragged and goes on in the middle of a sentence.
    let had_room = previous.x1() + first_width + 1.2 * size < right;
    let lower = word.chars().next().is_some_and(|c| c.is_lowercase() || c == '(');
    let ends = previous
        .words()
        .last()
        .is_some_and(|last| source.word(last).ends_with(['.', ':', '?', '!', ';']));
    let indented = row.x0() > previous.x0() + 1.2 * size && previous.x0() < left + 0.5 * size;
    if indented && !lower {
        return false;
    }
    if had_room && !lower {
        let ragged = !ends && previous.x1() > left + 0.62 * (right - left);
        return ragged;
    }
    true
}

/// Larger than the text, or bold and short, and no sentence.
fn heading_level(source: &Source<'_>, rows: &[Row], norm: Norm) -> Option<u8> {
    let first = rows.first()?;
    let words: usize = rows.iter().map(Row::word_count).sum();
    if rows.len() > 3 || words > 24 {
        return None;
    }
    let text: Vec<&str> =
        rows.iter().flat_map(Row::words).map(|index| source.word(index)).collect();
    let letters = text.iter().flat_map(|word| word.chars()).filter(|c| c.is_alphabetic()).count();
    if letters < 3 || text.first().is_some_and(|word| matches!(*word, "•" | "●" | "▪")) {
        return None;
    }
    let ratio = first.size / norm.size;
    if ratio >= 1.6 {
        return Some(1);
    }
    if ratio >= 1.3 {
        return Some(2);
    }
    if ratio >= 1.12 {
        return Some(3);
    }
    let sentence = text.last().is_some_and(|word| word.ends_with(['.', ',', ';', ':']));
    let section =
        matches!(text.first().copied(), Some("PART" | "Item" | "ITEM" | "Note" | "NOTE" | "Part"));
    if !first.bold || norm.bold && !section || sentence && !section || words > 16 {
        return None;
    }
    match text.first().copied() {
        Some("PART" | "Part") => Some(1),
        Some("Item" | "ITEM") => Some(2),
        _ => {
            let capitals =
                text.iter().flat_map(|word| word.chars()).filter(|c| c.is_uppercase()).count();
            Some(if 10 * capitals >= 8 * letters { 3 } else { 4 })
        }
    }
}
