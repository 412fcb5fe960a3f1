//! How does a CSV file become a page?

use csv::{ReaderBuilder, StringRecord};
use quaestor_core::problem::Problem;

use crate::inline::clean;
use crate::limits::Limits;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;
use crate::table::{LaidRow, LaidTable, join, value::is_figure};

/// What a delimiter may be, the more likely first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Lines looked at to find the delimiter.
const SNIFF_LINES: usize = 50;

/// Reads a CSV or TSV file. The first row names the columns if it holds no figures.
pub(crate) fn parse(text: &str, limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let delimiter = sniff(text).unwrap_or(b',');
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut rows: Vec<LaidRow> = Vec::new();
    let mut header = Vec::new();
    let mut n_cells = 0_u64;
    let mut size = 0_u64;
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|_| refusal::damaged("a row of the table cannot be read"))?;
        n_cells += record.len() as u64;
        if n_cells > limits.cells {
            return Err(refusal::limit_reached(&format!(
                "the table has more than {} cells",
                limits.cells
            )));
        }
        let cells: Vec<String> = record.iter().map(clean).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let line = join(&cells);
        size += line.len() as u64;
        if size > limits.text_bytes {
            return Err(refusal::limit_reached("the table holds too much text"));
        }
        let is_header = index == 0 && names_columns(&record);
        if is_header {
            header = vec![line.clone()];
        }
        rows.push(LaidRow { line, is_header, cells: None });
    }
    let mut paper = Paper::new(limits.text_bytes);
    paper.table(LaidTable { header, caption: None, rows });
    sink.page(paper.finish(None, None)?)
}

fn names_columns(record: &StringRecord) -> bool {
    let filled = record.iter().filter(|cell| !cell.trim().is_empty()).count();
    filled * 2 >= record.len()
        && !record.iter().any(|cell| !cell.trim().is_empty() && is_figure(cell))
}

/// The delimiter that cuts the first lines into the same number of cells, two or more.
/// Delimiters in quotes do not count.
pub(crate) fn sniff(text: &str) -> Option<u8> {
    let mut best: Option<(usize, usize, u8)> = None;
    for delimiter in DELIMITERS {
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let widths: Vec<usize> =
            reader.records().take(SNIFF_LINES).flatten().map(|record| record.len()).collect();
        let Some(&first) = widths.first() else { continue };
        let usual = widths
            .iter()
            .copied()
            .max_by_key(|width| (widths.iter().filter(|other| *other == width).count(), *width));
        let width = usual.unwrap_or(first);
        let same = widths.iter().filter(|other| **other == width).count();
        if width < 2 || same * 10 < widths.len() * 7 {
            continue;
        }
        // As regular as another and wider is better.
        let score = (same * 100 / widths.len(), width);
        if best.is_none_or(|(regular, wide, _)| score > (regular, wide)) {
            best = Some((score.0, score.1, delimiter));
        }
    }
    best.map(|(_, _, delimiter)| delimiter)
}
