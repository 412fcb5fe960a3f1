//! How does a grid of cells become lines of text under named columns?
//!
//! Filings draw one figure over three physical columns (`$`, the number, `)`), pad with
//! empty ones, and set a period once above several figures. Here the marks are glued to
//! their numbers, the physical columns are gathered into the columns a reader sees, and
//! every column gets its whole name.

mod columns;
mod header;
pub(crate) mod value;

use quaestor_core::parsed::CellRange;

/// Columns past this are not laid out: no table that a person reads has them.
pub(crate) const MAX_COLUMNS: u32 = 16_384;

/// A cell as the file has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawCell {
    /// Cleaned text.
    pub(crate) text: String,
    /// The first physical column, from 0.
    pub(crate) column: u32,
    /// How many physical columns it covers, at least 1.
    pub(crate) width: u32,
    /// Whether the file marks it as a header, or sets it in bold.
    pub(crate) strong: bool,
}

impl RawCell {
    fn end(&self) -> u32 {
        self.column + self.width.max(1)
    }
}

/// A row as the file has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawRow {
    /// The cells with text, from left to right.
    pub(crate) cells: Vec<RawCell>,
    /// Whether the file says that the row heads the table.
    pub(crate) is_header: bool,
    /// Where the row stands in its sheet.
    pub(crate) range: Option<CellRange>,
}

/// A row, ready for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaidRow {
    /// The cells, parted by ` | `.
    pub(crate) line: String,
    /// Whether it names columns.
    pub(crate) is_header: bool,
    /// Where the row stands in its sheet.
    pub(crate) cells: Option<CellRange>,
}

/// A table, ready for the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaidTable {
    /// The whole name of every column, in one line; empty where they have none.
    pub(crate) header: Vec<String>,
    /// The table's own title or unit, where a row of it says so.
    pub(crate) caption: Option<String>,
    /// The rows in order.
    pub(crate) rows: Vec<LaidRow>,
}

/// A row's cells by the column a reader sees.
struct Placed {
    cells: Vec<PlacedCell>,
    is_header: bool,
    range: Option<CellRange>,
}

struct PlacedCell {
    text: String,
    first: usize,
    last: usize,
    strong: bool,
}

/// Lays out a grid. Where column names come again further down, a new table begins.
pub(crate) fn lay_out(mut rows: Vec<RawRow>) -> Vec<LaidTable> {
    for row in &mut rows {
        columns::glue(&mut row.cells);
    }
    rows.retain(|row| !row.cells.is_empty());
    let columns = columns::gather(&rows);
    let placed: Vec<Placed> = rows
        .into_iter()
        .map(|row| Placed {
            is_header: row.is_header,
            range: row.range,
            cells: row
                .cells
                .into_iter()
                .map(|cell| {
                    let (first, last) = columns.covered(cell.column, cell.end());
                    PlacedCell { text: cell.text, first, last, strong: cell.strong }
                })
                .collect(),
        })
        .collect();
    header::split(&placed, columns.len())
}

/// Joins cells into a line. Empty cells keep their place, so that the columns align.
pub(crate) fn join(cells: &[&str]) -> String {
    let used = cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (index, cell) in cells[..used].iter().enumerate() {
        if index > 0 {
            line.push_str(if line.is_empty() || line.ends_with(' ') { "| " } else { " | " });
        }
        line.push_str(cell);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(u32, u32, &str)]) -> RawRow {
        RawRow {
            cells: cells
                .iter()
                .filter(|(_, _, text)| !text.is_empty())
                .map(|&(column, width, text)| RawCell {
                    text: text.to_owned(),
                    column,
                    width,
                    strong: false,
                })
                .collect(),
            ..RawRow::default()
        }
    }

    #[test]
    fn a_statement_reads_as_lines_and_every_column_has_its_whole_name() {
        let laid = lay_out(vec![
            row(&[(3, 9, "Three Months Ended"), (15, 9, "Nine Months Ended")]),
            row(&[
                (3, 3, "June 28, 2025"),
                (9, 3, "June 29, 2024"),
                (15, 3, "June 28, 2025"),
                (21, 3, "June 29, 2024"),
            ]),
            row(&[(0, 3, "Net sales:")]),
            row(&[
                (0, 3, "Products"),
                (3, 1, "$"),
                (4, 1, "66,613"),
                (9, 1, "$"),
                (10, 1, "61,564"),
                (15, 1, "$"),
                (16, 1, "233,287"),
                (21, 1, "$"),
                (22, 1, "224,908"),
            ]),
            row(&[
                (0, 3, "Other, net"),
                (3, 2, "(171"),
                (5, 1, ")"),
                (9, 2, "142"),
                (21, 2, "250"),
            ]),
        ]);
        assert_eq!(laid.len(), 1);
        assert_eq!(
            laid[0].header,
            ["| Three Months Ended June 28, 2025 | Three Months Ended June 29, 2024 \
              | Nine Months Ended June 28, 2025 | Nine Months Ended June 29, 2024"]
        );
        let lines: Vec<_> = laid[0].rows.iter().map(|row| row.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "| Three Months Ended | | Nine Months Ended",
                "| June 28, 2025 | June 29, 2024 | June 28, 2025 | June 29, 2024",
                "Net sales:",
                "Products | $66,613 | $61,564 | $233,287 | $224,908",
                "Other, net | (171) | 142 | | 250",
            ]
        );
    }

    #[test]
    fn column_names_that_come_again_begin_a_new_table() {
        let laid = lay_out(vec![
            row(&[(1, 1, "2024"), (2, 1, "2023")]),
            row(&[(0, 1, "Cash"), (1, 1, "10"), (2, 1, "11")]),
            row(&[(1, 1, "2022"), (2, 1, "2021")]),
            row(&[(0, 1, "Cash"), (1, 1, "12"), (2, 1, "13")]),
        ]);
        assert_eq!(laid.len(), 2);
        assert_eq!(laid[1].header, ["| 2022 | 2021"]);
    }
}
