//! What does a table element hold: figures under columns, or the page's layout?

use super::flow::{Item, Text, one_line};
use crate::table::{MAX_COLUMNS, RawCell, RawRow, lay_out, value::is_figure};

/// A cell of a layout table longer than this holds running text.
const RUNNING_TEXT_CHARS: usize = 400;

/// A table while it is read.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: Vec<Vec<Cell>>,
    is_header: Vec<bool>,
    /// For each physical column, how many more rows a cell from above covers.
    covered: Vec<u32>,
    in_row: bool,
    in_head: bool,
}

#[derive(Debug)]
struct Cell {
    column: u32,
    width: u32,
    strong: bool,
    items: Vec<Item>,
}

impl Grid {
    /// Says that rows from here on do or do not head the table.
    pub(super) fn head(&mut self, in_head: bool) {
        self.in_head = in_head;
    }

    /// Begins a row.
    pub(super) fn begin_row(&mut self) {
        if self.in_row {
            self.end_row();
        }
        self.in_row = true;
        self.rows.push(Vec::new());
        self.is_header.push(self.in_head);
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self) {
        if self.in_row {
            self.in_row = false;
            for covered in &mut self.covered {
                *covered = covered.saturating_sub(1);
            }
        }
    }

    /// The column in which the next cell of the row begins; takes its place.
    pub(super) fn place(&mut self, colspan: u32, rowspan: u32) -> u32 {
        if !self.in_row {
            self.begin_row();
        }
        let after =
            self.rows.last().and_then(|row| row.last()).map_or(0, |cell| cell.column + cell.width)
                as usize;
        let free = self.covered.iter().skip(after).position(|&rows| rows == 0);
        let column = free.map_or(self.covered.len().max(after), |n| after + n);
        let column = column.min(MAX_COLUMNS as usize);
        let end = (column + colspan as usize).min(MAX_COLUMNS as usize + 1);
        if self.covered.len() < end {
            self.covered.resize(end, 0);
        }
        for covered in &mut self.covered[column..end] {
            *covered = (*covered).max(rowspan);
        }
        let column = u32::try_from(column).unwrap_or(MAX_COLUMNS);
        if let Some(row) = self.rows.last_mut() {
            row.push(Cell { column, width: colspan, strong: false, items: Vec::new() });
        }
        column
    }

    /// Fills the cell that was placed last.
    pub(super) fn fill(&mut self, items: Vec<Item>, is_header: bool) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.strong =
                is_header || items.iter().all(|item| matches!(item, Item::Text(text) if text.bold));
            cell.items = items;
        }
    }

    /// The table's pieces: one table where it holds data, its cells' pieces where it only
    /// lays out the page.
    pub(super) fn finish(mut self) -> Vec<Item> {
        self.end_row();
        if self.is_layout() {
            return self.spread();
        }
        let rows = self
            .rows
            .into_iter()
            .zip(self.is_header)
            .map(|(row, is_header)| RawRow {
                cells: row
                    .into_iter()
                    .map(|cell| RawCell {
                        text: one_line(&cell.items),
                        column: cell.column,
                        width: cell.width,
                        strong: cell.strong,
                    })
                    .filter(|cell| !cell.text.is_empty())
                    .collect(),
                is_header,
                range: None,
            })
            .collect();
        vec![Item::Tables(lay_out(rows))]
    }

    fn is_layout(&self) -> bool {
        let mut n_rows = 0;
        let mut columns: Vec<u32> = Vec::new();
        let mut figures = 0;
        let mut long = 0;
        let mut marked = 0;
        for row in &self.rows {
            let filled: Vec<&Cell> = row.iter().filter(|cell| !cell.items.is_empty()).collect();
            n_rows += usize::from(!filled.is_empty());
            marked += usize::from(matches!(filled.as_slice(), [mark, _] if is_list_mark(mark)));
            for cell in filled {
                if cell.items.iter().any(|item| matches!(item, Item::Tables(_) | Item::Pre(_))) {
                    return true;
                }
                columns.push(cell.column);
                let text = one_line(&cell.items);
                figures += usize::from(cell.column > 0 && is_figure(&text));
                long += usize::from(text.chars().count() > RUNNING_TEXT_CHARS);
            }
        }
        columns.sort_unstable();
        columns.dedup();
        if columns.len() < 2 || n_rows == 0 {
            return true;
        }
        if n_rows == 1 || marked == n_rows {
            return figures < 2;
        }
        long * 2 > n_rows && figures == 0
    }

    /// The pieces of a layout table, row by row. A row of short texts is one line: a list
    /// mark with its item, or a heading set in two cells.
    fn spread(self) -> Vec<Item> {
        let mut out = Vec::new();
        for row in self.rows {
            let cells: Vec<Cell> = row.into_iter().filter(|cell| !cell.items.is_empty()).collect();
            let all_text =
                cells.iter().all(|cell| matches!(cell.items.as_slice(), [Item::Text(_)]));
            let joins = cells.len() > 1
                && all_text
                && (is_list_mark(&cells[0]) || one_line(&cells[0].items).chars().count() < 40);
            if !joins {
                out.extend(cells.into_iter().flat_map(|cell| cell.items));
                continue;
            }
            let mut joined = Text { bold: true, italic: true, centred: false, ..Text::default() };
            for item in cells.into_iter().flat_map(|cell| cell.items) {
                if let Item::Text(text) = item {
                    if !joined.text.is_empty() {
                        joined.text.push(' ');
                    }
                    joined.text.push_str(&text.text);
                    joined.bold &= text.bold;
                    joined.italic &= text.italic;
                    joined.heading = joined.heading.max(text.heading);
                }
            }
            out.push(Item::Text(joined));
        }
        out
    }
}

/// A bullet, `(a)`, `1.`, `[X]`, `Item 7.`: the mark of a list's item in a cell of its own.
fn is_list_mark(cell: &Cell) -> bool {
    let text = one_line(&cell.items);
    let text = text.trim();
    let n_chars = text.chars().count();
    if n_chars == 0 || n_chars > 10 {
        return false;
    }
    let has_words = text.chars().any(char::is_alphanumeric);
    !has_words
        || text.to_ascii_lowercase().starts_with("item ")
        || (n_chars <= 6 && (text.starts_with(['(', '[']) || text.ends_with(['.', ')'])))
}
