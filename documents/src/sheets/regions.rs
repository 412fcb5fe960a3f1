//! Which tables stand on a sheet?

use std::collections::HashMap;

use quaestor_core::parsed::CellRange;

use crate::paper::Paper;
use crate::table::{RawCell, RawRow, lay_out, value::is_figure};

/// A cell with text.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) row: u32,
    pub(super) column: u32,
    pub(super) text: String,
    pub(super) bold: bool,
}

/// Writes a sheet's cells, sorted by row and column. `widths` tells how many columns a
/// merged cell covers, by its first cell.
pub(super) fn write(paper: &mut Paper, cells: Vec<Cell>, widths: &HashMap<(u32, u32), u32>) {
    let mut rows: Vec<RawRow> = Vec::new();
    let mut at: Option<u32> = None;
    let mut regions: Vec<Vec<RawRow>> = Vec::new();
    for cell in cells {
        if at != Some(cell.row) {
            // A blank row parts two tables if what follows has names of its own.
            if at.is_some_and(|last| cell.row > last + 1) {
                regions.push(std::mem::take(&mut rows));
            }
            at = Some(cell.row);
            rows.push(RawRow::default());
        }
        let width = widths.get(&(cell.row, cell.column)).copied().unwrap_or(1);
        if let Some(row) = rows.last_mut() {
            let here = CellRange {
                top: cell.row,
                left: cell.column,
                bottom: cell.row,
                right: cell.column,
            };
            row.range = Some(row.range.map_or(here, |range| range.union(&here)));
            row.cells.push(RawCell {
                text: cell.text,
                column: cell.column,
                width,
                strong: cell.bold,
            });
        }
    }
    regions.push(rows);
    let mut joined: Vec<Vec<RawRow>> = Vec::new();
    for region in regions {
        match joined.last_mut() {
            Some(last) if !has_names(&region) && last.len() > 1 => last.extend(region),
            _ => joined.push(region),
        }
    }
    for region in joined {
        for part in side_by_side(region) {
            write_region(paper, part);
        }
    }
}

/// Whether the rows begin with a title or with names of columns.
fn has_names(rows: &[RawRow]) -> bool {
    let figures = |row: &RawRow| row.cells.iter().skip(1).any(|cell| is_figure(&cell.text));
    let words = |row: &RawRow| row.cells.len() >= 2 && !figures(row);
    match rows {
        [] => false,
        [only] => only.cells.len() == 1,
        [first, second, ..] => {
            (words(first) && rows.iter().skip(1).take(2).any(figures))
                || (first.cells.len() == 1 && (words(second) || second.cells.len() == 1))
        }
    }
}

/// Parts tables that stand beside each other with a blank column between.
fn side_by_side(rows: Vec<RawRow>) -> Vec<Vec<RawRow>> {
    let mut used: Vec<(u32, u32)> = rows
        .iter()
        .flat_map(|row| row.cells.iter().map(|cell| (cell.column, cell.column + cell.width.max(1))))
        .collect();
    used.sort_unstable();
    let mut groups: Vec<(u32, u32)> = Vec::new();
    for (from, to) in used {
        match groups.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => groups.push((from, to)),
        }
    }
    let begins_with_words = |from: u32| {
        let mut texts = rows.iter().flat_map(|row| &row.cells).filter(|cell| cell.column == from);
        let n_figures = texts.clone().filter(|cell| is_figure(&cell.text)).count();
        n_figures * 2 < texts.by_ref().count()
    };
    let is_table = |&(from, to): &(u32, u32)| to - from >= 2 && begins_with_words(from);
    if groups.len() < 2 || rows.len() < 3 || !groups.iter().all(is_table) {
        return vec![rows];
    }
    groups
        .iter()
        .map(|&(from, to)| {
            rows.iter()
                .map(|row| {
                    let cells: Vec<RawCell> = row
                        .cells
                        .iter()
                        .filter(|cell| (from..to).contains(&cell.column))
                        .cloned()
                        .collect();
                    let range = row.range.zip(cells.first().zip(cells.last())).map(
                        |(range, (first, last))| CellRange {
                            left: first.column,
                            right: last.column,
                            ..range
                        },
                    );
                    RawRow { cells, range, is_header: row.is_header }
                })
                .filter(|row| !row.cells.is_empty())
                .collect()
        })
        .collect()
}

fn write_region(paper: &mut Paper, mut rows: Vec<RawRow>) {
    // Lines above a table that fill only one cell are its title and notes.
    while rows.len() > 1
        && rows[0].cells.len() == 1
        && rows[1].cells.len() == 1
        && rows[0].cells[0].column == rows[1].cells[0].column
        && !is_figure(&rows[0].cells[0].text)
        && rows.iter().any(|row| row.cells.len() > 1)
    {
        let cell = rows.remove(0).cells.remove(0);
        write_line(paper, &cell);
    }
    let one_column = rows.iter().all(|row| row.cells.len() == 1 && !is_figure(&row.cells[0].text));
    if one_column {
        for row in &rows {
            write_line(paper, &row.cells[0]);
        }
        return;
    }
    for table in lay_out(rows) {
        paper.table(table);
    }
}

fn write_line(paper: &mut Paper, cell: &RawCell) {
    if cell.strong && cell.text.chars().count() < 120 {
        paper.heading(3, &cell.text);
    } else {
        paper.paragraph(&cell.text);
    }
}
