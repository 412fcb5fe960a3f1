//! How do an office file's paragraphs and tables, as they come, become a page?

use crate::inline::clean;
use crate::paper::Paper;
use crate::table::{MAX_COLUMNS, RawCell, RawRow, lay_out, value::is_figure};

/// Tables nested deeper than this are read as running text.
const MAX_TABLE_DEPTH: usize = 16;

/// Rows of one table past this are not laid out.
const MAX_ROWS: usize = 200_000;

/// A paragraph that ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Paragraph {
    pub(super) text: String,
    /// The level of its heading; 0 where it is none.
    pub(super) heading: u8,
    pub(super) is_list_item: bool,
    pub(super) bold: bool,
}

#[derive(Default)]
struct Grid {
    rows: Vec<RawRow>,
    column: u32,
    /// The lines of the open row's cells, beside the cells.
    lines: Vec<Vec<String>>,
    /// The paragraphs of the open cell.
    cell: Vec<Paragraph>,
    width: u32,
    in_cell: bool,
}

impl Grid {
    /// Ends the row. Where its cells are columns of lines, as in statements set by hand,
    /// each line becomes a row of its own.
    fn end_row(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let n_lines = lines.iter().map(Vec::len).max().unwrap_or(0);
        let Some(row) = self.rows.last() else { return };
        if n_lines < 3 || lines.len() < 2 || row.cells.len() != lines.len() {
            return;
        }
        let even = lines.iter().all(|cell| cell.len() == n_lines);
        let figures = lines[1..].iter().flatten().filter(|line| is_figure(line)).count();
        let filled = lines[1..].iter().flatten().filter(|line| !line.is_empty()).count();
        if !even || figures * 10 < filled * 7 {
            return;
        }
        let Some(row) = self.rows.pop() else { return };
        for n in 0..n_lines {
            let cells = row.cells.iter().zip(&lines).filter(|(_, lines)| !lines[n].is_empty());
            let cells =
                cells.map(|(cell, lines)| RawCell { text: lines[n].clone(), ..cell.clone() });
            self.rows.push(RawRow { cells: cells.collect(), ..row.clone() });
        }
    }
}

/// Collects paragraphs and tables in reading order.
pub(super) struct Story<'a> {
    paper: &'a mut Paper,
    tables: Vec<Grid>,
    too_deep: usize,
}

impl<'a> Story<'a> {
    pub(super) fn new(paper: &'a mut Paper) -> Self {
        Self { paper, tables: Vec::new(), too_deep: 0 }
    }

    /// Adds a paragraph to the open cell, or to the page.
    pub(super) fn paragraph(&mut self, mut paragraph: Paragraph) {
        paragraph.text = paragraph.text.trim().to_owned();
        match self.tables.last_mut() {
            // Blank lines in a cell keep its lines beside those of the other cells.
            Some(grid) if grid.in_cell => grid.cell.push(paragraph),
            _ if paragraph.text.is_empty() => {}
            Some(grid) => grid.cell.push(paragraph),
            None => write(self.paper, paragraph),
        }
    }

    pub(super) fn begin_table(&mut self) {
        if self.tables.len() >= MAX_TABLE_DEPTH {
            self.too_deep += 1;
        } else {
            self.tables.push(Grid::default());
        }
    }

    pub(super) fn begin_row(&mut self, is_header: bool) {
        if let Some(grid) = self.grid() {
            grid.end_row();
            grid.column = 0;
            grid.rows.push(RawRow { is_header, ..RawRow::default() });
        }
    }

    /// Marks the open row as one that heads the table.
    pub(super) fn mark_header(&mut self) {
        if let Some(row) = self.grid().and_then(|grid| grid.rows.last_mut()) {
            row.is_header = true;
        }
    }

    /// Passes over columns that have no cell.
    pub(super) fn skip_columns(&mut self, n: u32) {
        if let Some(grid) = self.grid() {
            grid.column = grid.column.saturating_add(n);
        }
    }

    pub(super) fn begin_cell(&mut self) {
        if let Some(grid) = self.grid() {
            grid.cell.clear();
            grid.width = 1;
            grid.in_cell = true;
        }
    }

    /// Sets how many columns the open cell covers.
    pub(super) fn cell_width(&mut self, width: u32) {
        if let Some(grid) = self.grid() {
            grid.width = width.clamp(1, 1_000);
        }
    }

    pub(super) fn end_cell(&mut self) {
        let Some(grid) = self.grid() else { return };
        if !std::mem::take(&mut grid.in_cell) {
            return;
        }
        let paragraphs = std::mem::take(&mut grid.cell);
        let mut lines: Vec<String> =
            paragraphs.iter().flat_map(|p| p.text.split('\n')).map(clean).collect();
        lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |n| n + 1));
        let strong = paragraphs.iter().filter(|p| !p.text.is_empty()).all(|p| p.bold);
        let texts: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect();
        let (column, width) = (grid.column, grid.width);
        grid.column = column.saturating_add(width);
        if column < MAX_COLUMNS
            && grid.rows.len() <= MAX_ROWS
            && !texts.is_empty()
            && let Some(row) = grid.rows.last_mut()
        {
            row.cells.push(RawCell { text: texts.join(" "), column, width, strong });
            grid.lines.push(lines);
        }
    }

    pub(super) fn end_table(&mut self) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        self.end_cell();
        let Some(mut grid) = self.tables.pop() else { return };
        grid.end_row();
        // A table in a cell is running text of that cell.
        if let Some(outer) = self.tables.last_mut() {
            for row in grid.rows {
                let texts: Vec<String> = row.cells.into_iter().map(|cell| cell.text).collect();
                if !texts.is_empty() {
                    let text = texts.join(" | ");
                    outer.cell.push(Paragraph { text, ..Paragraph::default() });
                }
            }
            return;
        }
        if is_layout(&grid.rows) {
            for row in grid.rows {
                let texts: Vec<String> = row.cells.into_iter().map(|cell| cell.text).collect();
                self.paper.paragraph(&texts.join(" "));
            }
        } else {
            for table in lay_out(grid.rows) {
                self.paper.table(table);
            }
        }
    }

    /// Ends what is still open, as in a file that breaks off.
    pub(super) fn finish(mut self) {
        self.too_deep = 0;
        while !self.tables.is_empty() {
            self.end_table();
        }
    }

    fn grid(&mut self) -> Option<&mut Grid> {
        if self.too_deep > 0 { None } else { self.tables.last_mut() }
    }
}

/// One column, or one row without figures, only places text on the page.
fn is_layout(rows: &[RawRow]) -> bool {
    let widest = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let filled = rows.iter().filter(|row| !row.cells.is_empty()).count();
    let figures =
        rows.iter().flat_map(|row| row.cells.iter().skip(1)).filter(|c| is_figure(&c.text)).count();
    widest < 2 || (filled == 1 && figures < 2)
}

fn write(paper: &mut Paper, paragraph: Paragraph) {
    let Paragraph { text, heading, is_list_item, bold } = paragraph;
    let n_chars = text.chars().count();
    if heading > 0 {
        paper.heading(heading, &text);
    } else if is_list_item && !text.starts_with(['•', '-', '–']) {
        paper.paragraph(&format!("• {text}"));
    } else if bold
        && n_chars < 100
        && !text.ends_with(['.', ',', ';'])
        && text.chars().filter(|c| c.is_alphabetic()).count() >= 3
    {
        paper.heading(5, &text);
    } else {
        paper.paragraph(&text);
    }
}
