//! Which rows name the columns, and what is each column's whole name?

use super::value::{is_figure, is_period, is_year};
use super::{LaidRow, LaidTable, Placed, join};

/// More rows than this at the top are not a header.
const MAX_HEADER_ROWS: usize = 6;

/// A name of a column longer than this is running text.
const MAX_NAME_CHARS: usize = 160;

/// Cuts rows into tables wherever column names begin, and names the columns of each.
pub(super) fn split(rows: &[Placed], n_columns: usize) -> Vec<LaidTable> {
    let mut starts = vec![0];
    let mut index = header_rows(rows, n_columns, true).max(1);
    while index < rows.len() {
        let n_header = header_rows(&rows[index..], n_columns, false);
        if n_header > 0 {
            starts.push(index);
            index += n_header;
        } else {
            index += 1;
        }
    }
    starts.push(rows.len());
    starts
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < pair[1])
        .map(|(n, pair)| {
            let rows = &rows[pair[0]..pair[1]];
            let n_header = header_rows(rows, n_columns, n == 0);
            lay(rows, n_header, n_columns)
        })
        .collect()
}

/// How many rows at the start name columns. Further down a table (`at_top` false) only
/// rows of periods do: anything else there is a label or a value.
fn header_rows(rows: &[Placed], n_columns: usize, at_top: bool) -> usize {
    if n_columns < 2 {
        return 0;
    }
    let mut n_header = 0;
    let mut names = 0;
    for (index, row) in rows.iter().take(MAX_HEADER_ROWS).enumerate() {
        let kind = kind(row, &rows[index + 1..], names, at_top);
        match kind {
            Kind::Names => {
                names += 1;
                n_header = index + 1;
            }
            // A title or unit above the names; it counts only if names follow.
            Kind::Label if at_top || names > 0 => {
                if names > 0 && !is_unit(row) {
                    break;
                }
            }
            _ => break,
        }
    }
    if n_header == rows.len() && !rows.iter().any(|row| row.is_header) { 0 } else { n_header }
}

enum Kind {
    Names,
    Label,
    Values,
}

fn kind(row: &Placed, below: &[Placed], names_so_far: usize, at_top: bool) -> Kind {
    let beside: Vec<_> = row.cells.iter().filter(|cell| cell.last > 0).collect();
    if row.cells.iter().any(|cell| cell.text.chars().count() > MAX_NAME_CHARS) {
        return Kind::Values;
    }
    if beside.is_empty() {
        return Kind::Label;
    }
    if row.cells.len() == 1 && row.cells[0].first == 0 {
        return Kind::Label;
    }
    if row.is_header {
        return Kind::Names;
    }
    if beside.iter().any(|cell| cell.first > 0 && is_figure(&cell.text)) {
        return Kind::Values;
    }
    let stub = row.cells.iter().find(|cell| cell.first == 0 && cell.last == 0);
    let periods = beside.iter().filter(|cell| is_period(&cell.text)).count();
    let years = beside.iter().filter(|cell| is_year(&cell.text)).count();
    let all_periods = periods == beside.len();
    if !at_top {
        let several = beside.len() >= 2 || beside.iter().any(|cell| cell.last > cell.first);
        let unlabelled = stub.is_none_or(|cell| cell.text.starts_with('('));
        return if all_periods && several && unlabelled { Kind::Names } else { Kind::Values };
    }
    if stub.is_none() || all_periods || years >= 2 {
        return Kind::Names;
    }
    // Words in every cell: names if the file sets them apart, or figures stand below.
    let strong = row.cells.iter().all(|cell| cell.strong);
    let is_plain = |row: &Placed| row.cells.iter().any(|cell| !cell.strong);
    let plain_below = below.iter().take(MAX_HEADER_ROWS).any(is_plain);
    let figures_below = below
        .first()
        .is_some_and(|row| row.cells.iter().any(|cell| cell.first > 0 && is_figure(&cell.text)));
    // Three or more short names without a figure, one for every column.
    let full = row.cells.len() >= 3
        && below.len() >= 2
        && names_so_far == 0
        && row.cells.iter().all(|cell| {
            cell.first == cell.last
                && cell.text.chars().count() <= 40
                && !cell.text.chars().any(|c| c.is_ascii_digit())
        })
        && row.cells.len() >= below.iter().take(5).map(|row| row.cells.len()).max().unwrap_or(0);
    if full || (strong && plain_below) || figures_below || (strong && names_so_far > 0) {
        Kind::Names
    } else {
        Kind::Values
    }
}

/// `(in millions)`: a unit set among the column names.
fn is_unit(row: &Placed) -> bool {
    let Some(cell) = row.cells.first() else { return false };
    let lower = cell.text.to_lowercase();
    cell.text.starts_with('(') || lower.contains("in millions") || lower.contains("in thousands")
}

fn lay(rows: &[Placed], n_header: usize, n_columns: usize) -> LaidTable {
    let mut names: Vec<String> = vec![String::new(); n_columns];
    let mut captions: Vec<&str> = Vec::new();
    for row in &rows[..n_header] {
        if let [cell] = row.cells.as_slice()
            && cell.first == 0
        {
            captions.push(&cell.text);
            continue;
        }
        for cell in &row.cells {
            for name in &mut names[cell.first..=cell.last] {
                if !name.ends_with(cell.text.as_str()) {
                    if !name.is_empty() {
                        name.push(' ');
                    }
                    name.push_str(&cell.text);
                }
            }
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let header = join(&names);
    LaidTable {
        header: if header.is_empty() { Vec::new() } else { vec![header] },
        caption: if captions.is_empty() { None } else { Some(captions.join(" ")) },
        rows: rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let mut cells = vec![String::new(); n_columns];
                for cell in &row.cells {
                    let place = &mut cells[cell.first];
                    if !place.is_empty() {
                        place.push(' ');
                    }
                    place.push_str(&cell.text);
                }
                let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                LaidRow { line: join(&cells), is_header: index < n_header, cells: row.range }
            })
            .collect(),
    }
}
