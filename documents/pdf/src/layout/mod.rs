//! How are a page's words read: in which order, as which paragraphs and tables?

mod columns;
mod compose;
mod flow;
mod grid;
mod header;
mod rows;
mod spans;
mod text;

use std::collections::HashMap;

use quaestor_core::boxes::WordBox;
use quaestor_core::parsed::{Block, BlockKind, ByteSpan, Table, TableRow};
use serde::{Deserialize, Serialize};

use crate::content::words::{Direction, PageWords, Rule, Word};
use compose::Composer;
use flow::{Norm, Passage};
use grid::Grid;
use rows::{Row, Source};

/// A page as read.
#[derive(Debug, Default)]
pub(crate) struct PageText {
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) boxes: Vec<WordBox>,
    /// The last table, for the next page to go on with.
    pub(crate) last_table: Option<OpenTable>,
}

/// What a table on the next page may go on with, when that page does not repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenTable {
    pub(crate) header: Vec<String>,
    pub(crate) caption: Option<String>,
    /// Left and right of every column, in points.
    pub(crate) columns: Vec<(f32, f32)>,
}

/// A part of a page in reading order.
enum Piece {
    Passage(Passage),
    Table(Box<Grid>),
}

/// Reads a page. `open` is the table that the page before ended with.
pub(crate) fn read(page: &PageWords, open: Option<&OpenTable>) -> PageText {
    let mut composer = Composer::default();
    let mut last_table = None;
    for (place, (direction, words)) in by_direction(page).into_iter().enumerate() {
        let source = Source { words: &words, text: &page.text };
        let (horizontals, verticals) = rules(page, direction);
        let all = rows::rows(&source, &verticals);
        let norm = norm(&all, &source);
        let mut pieces = Vec::new();
        for region in columns::regions(all, &horizontals) {
            pieces.extend(read_region(&source, region, &horizontals, norm));
        }
        let table = write(&source, pieces, if place == 0 { open } else { None }, &mut composer);
        if place == 0 {
            last_table = table;
        }
    }
    while composer.text.ends_with('\n') {
        composer.text.pop();
    }
    PageText { text: composer.text, blocks: composer.blocks, boxes: composer.boxes, last_table }
}

/// The words by reading direction, the direction with most text first.
fn by_direction(page: &PageWords) -> Vec<(Direction, Vec<Word>)> {
    let mut groups: Vec<(Direction, Vec<Word>)> = Vec::new();
    for word in &page.words {
        match groups.iter_mut().find(|(direction, _)| *direction == word.direction) {
            Some((_, words)) => words.push(word.clone()),
            None => groups.push((word.direction, vec![word.clone()])),
        }
    }
    groups.sort_by_key(|(direction, words)| (std::cmp::Reverse(words.len()), *direction));
    groups
}

/// Horizontal and vertical rules in the frame of a direction.
fn rules(page: &PageWords, direction: Direction) -> (Vec<Rule>, Vec<Rule>) {
    let turned = page.rules.iter().map(|rule| {
        let (ax, ay) = direction.to_frame(rule.x0, rule.y0);
        let (bx, by) = direction.to_frame(rule.x1, rule.y1);
        Rule { x0: ax.min(bx), y0: ay.min(by), x1: ax.max(bx), y1: ay.max(by) }
    });
    let (mut horizontals, verticals): (Vec<_>, Vec<_>) =
        turned.partition(|rule| rule.x1 - rule.x0 >= rule.y1 - rule.y0);
    horizontals.sort_by(|a, b| a.y0.total_cmp(&b.y0).then(a.x0.total_cmp(&b.x0)));
    (horizontals, verticals)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "half points of a font's height"
)]
fn norm(rows: &[Row], source: &Source<'_>) -> Norm {
    let mut sizes: HashMap<i64, (usize, usize)> = HashMap::new();
    for row in rows {
        let weight: usize = row.words().map(|index| source.word(index).len()).sum();
        let entry = sizes.entry((row.size * 2.0).round() as i64).or_default();
        entry.0 += weight;
        entry.1 += if row.bold { weight } else { 0 };
    }
    let usual = sizes.iter().max_by_key(|(key, (weight, _))| (*weight, std::cmp::Reverse(**key)));
    usual.map_or(Norm { size: 10.0, bold: false }, |(key, (weight, bold))| Norm {
        size: (*key as f32 * 0.5).max(1.0),
        bold: 10 * bold > 6 * weight,
    })
}

fn read_region(
    source: &Source<'_>,
    rows: Vec<Row>,
    horizontals: &[Rule],
    norm: Norm,
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let spans = spans::tables(source, &rows);
    let mut rows = rows.into_iter();
    let mut at = 0;
    let text_rows = |rows: Vec<Row>, pieces: &mut Vec<Piece>| {
        pieces.extend(flow::passages(source, rows, norm).into_iter().map(Piece::Passage));
    };
    for span in spans {
        let before: Vec<Row> = rows.by_ref().take(span.start - at).collect();
        text_rows(before, &mut pieces);
        let table: Vec<Row> = rows.by_ref().take(span.end - span.start).collect();
        at = span.end;
        let mut grid = grid::build(source, &table, horizontals);
        grid.caption = caption(source, &pieces);
        pieces.push(Piece::Table(Box::new(grid)));
    }
    text_rows(rows.collect(), &mut pieces);
    pieces
}

/// The short lines directly above a table, or the last sentence of the paragraph that
/// leads to it.
fn caption(source: &Source<'_>, pieces: &[Piece]) -> Option<String> {
    const MAX_LINES: usize = 4;
    const MAX_CHARS: usize = 300;
    let mut lines: Vec<String> = Vec::new();
    let mut below: Option<f32> = None;
    for piece in pieces.iter().rev() {
        let Piece::Passage(passage) = piece else { break };
        let (Some(first), Some(last)) = (passage.rows.first(), passage.rows.last()) else { break };
        if below.is_some_and(|below| below - last.base > 3.5 * last.size)
            || lines.len() >= MAX_LINES
        {
            break;
        }
        below = Some(first.base);
        let text = passage
            .rows
            .iter()
            .flat_map(|row| row.segments.iter())
            .map(|segment| source.segment(segment))
            .collect::<Vec<_>>()
            .join(" ");
        let short =
            passage.level.is_some() || text.chars().count() <= 240 && !text.ends_with(['.', ':']);
        if short {
            lines.push(text);
            continue;
        }
        if lines.is_empty() && text.ends_with(':') {
            let sentence = text.rsplit_once(". ").map_or(text.as_str(), |(_, last)| last);
            lines.push(sentence.chars().take(MAX_CHARS).collect());
        }
        break;
    }
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join(" — "))
}

/// Writes the pieces one after the other; gives the table the page ends with.
fn write(
    source: &Source<'_>,
    pieces: Vec<Piece>,
    open: Option<&OpenTable>,
    composer: &mut Composer,
) -> Option<OpenTable> {
    let mut last: Option<OpenTable> = None;
    // What a table without a header goes on with: the page before until the first
    // table, then the table above as long as only titles stand between.
    let mut open = open.cloned();
    for piece in pieces {
        composer.new_line();
        let start = composer.at();
        match piece {
            Piece::Passage(passage) => {
                const MAX_TITLE_WORDS: usize = 16;
                let words: usize = passage.rows.iter().map(Row::word_count).sum();
                if last.is_some() && words > MAX_TITLE_WORDS {
                    open = None;
                }
                composer.paragraph(source, &passage.rows);
                let kind = passage
                    .level
                    .map_or(BlockKind::Paragraph, |level| BlockKind::Heading { level });
                composer.block(start, kind);
            }
            Piece::Table(mut grid) => {
                if grid.header.is_empty() {
                    take_header(&mut grid, open.as_ref());
                }
                last = Some(OpenTable {
                    header: grid.header.clone(),
                    caption: grid.caption.clone(),
                    columns: grid.columns.clone(),
                });
                open.clone_from(&last);
                write_table(source, *grid, composer);
            }
        }
    }
    last
}

/// A table without a header that stands in the same columns as the one before goes on
/// with that one's header.
fn take_header(grid: &mut Grid, open: Option<&OpenTable>) {
    let Some(open) = open else { return };
    let same = open.columns.len() == grid.columns.len()
        && open.columns.iter().zip(&grid.columns).all(|(old, new)| old.0 < new.1 && new.0 < old.1);
    if same {
        grid.header.clone_from(&open.header);
        if grid.caption.is_none() {
            grid.caption.clone_from(&open.caption);
        }
    }
}

fn write_table(source: &Source<'_>, grid: Grid, composer: &mut Composer) {
    let start = composer.at();
    let mut rows = Vec::with_capacity(grid.rows.len());
    for row in &grid.rows {
        composer.new_line();
        let from = composer.at();
        let filled = row.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        for (column, cell) in row.cells[..filled].iter().enumerate() {
            if column > 0 {
                composer.mark(" | ");
            }
            for (line, words) in cell.iter().enumerate() {
                if line > 0
                    && let Some(&first) = words.first()
                {
                    composer.join_line(source.word(first), source.text);
                }
                composer.words(source, words);
            }
        }
        let span = ByteSpan { start: from, end: composer.at() };
        if span.end > span.start {
            rows.push(TableRow { span, is_header: row.is_header, cells: None });
        }
    }
    let table = Table { header: grid.header, caption: grid.caption, rows };
    composer.block(start, BlockKind::Table(table));
}

#[cfg(test)]
mod tests;
