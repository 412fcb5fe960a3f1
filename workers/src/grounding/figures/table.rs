//! Reads the tables of a passage: lines, columns and what each is called.
//!
//! A passage holds rows as lines of cells parted by ` | `; the names of the columns stand
//! in its header, or in rows above the figures, or both. A line without cells among rows
//! is a label of the rows below it.

use super::belong;
use super::lines::Lines;
use super::period::{self, Period};
use super::words::{self, Word};

/// A piece of a text, in bytes.
pub(super) type Range = (usize, usize);

/// A cell: where its text stands, without the space around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Its column, from 0.
    pub(super) column: usize,
    /// Where it stands in the passage.
    pub(super) at: Range,
}

/// A line of a table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its own words, as they stand.
    pub(super) label: String,
    /// The words of its label.
    pub(super) words: Vec<u64>,
    /// The words of the labels above it.
    pub(super) parents: Vec<u64>,
    /// The labels above it.
    pub(super) parent: String,
    /// The time that its label, or the one above, names.
    pub(super) period: Period,
    /// The cells with figures.
    pub(super) cells: Vec<Cell>,
}

/// A column.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// Its whole name.
    pub(super) name: String,
    /// The words of its name.
    pub(super) words: Vec<u64>,
    /// The time its name names.
    pub(super) period: Period,
}

/// A table, as far as a passage holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Its lines with figures.
    pub(super) rows: Vec<Row>,
    /// Its columns.
    pub(super) columns: Vec<Column>,
    /// Words of captions, sections and lines above: they are about all rows alike.
    pub(super) about: Vec<u64>,
    /// What stands above it, for units and scales.
    pub(super) above: String,
    /// Its rows as labels that compete.
    pub(super) lines: Lines,
    /// Its columns as names that compete.
    pub(super) names: Lines,
}

/// The tables of a passage and the pieces of running text between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The tables.
    pub(super) tables: Vec<Table>,
    /// The running text.
    pub(super) prose: Vec<Range>,
}

/// A label longer than this is a sentence.
const MAX_LABEL: usize = 140;

/// Reads a passage's text with its header and section.
pub(super) fn lay_out(text: &str, header: &str, section: &str) -> Layout {
    let mut reader = Reader::new(header, section);
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        let from = start + (line.len() - line.trim_start().len());
        let place = (from, from + trimmed.len());
        if is_row(trimmed) {
            reader.row(text, place);
        } else {
            let before_row = lines.peek().is_some_and(|next| is_row(next.trim()));
            reader.line(text, place, before_row);
        }
    }
    reader.close();
    reader.layout
}

/// Whether a line is made of cells.
pub(super) fn is_row(line: &str) -> bool {
    line.contains(" | ") || line.starts_with("| ") || line.ends_with(" |")
}

/// The cells of a line, with their places.
pub(super) fn cells(text: &str, (start, end): Range) -> Vec<Cell> {
    let mut found = Vec::new();
    let mut from = start;
    for (column, piece) in text[start..end].split('|').enumerate() {
        let trimmed = piece.trim();
        let at = from + (piece.len() - piece.trim_start().len());
        found.push(Cell { column, at: (at, at + trimmed.len()) });
        from += piece.len() + 1;
    }
    found
}

struct Reader {
    layout: Layout,
    table: Table,
    /// Rows of names above the figures, until those begin.
    names: Vec<Vec<(usize, String)>>,
    /// Labels of the rows to come.
    labels: Vec<String>,
    /// Whether a row came since the last label.
    used: bool,
    /// The lines of the passage's header that are cells.
    header_rows: Vec<Vec<String>>,
    /// The passage's caption and section.
    caption: String,
    /// Running text right above the table.
    lead: String,
}

impl Reader {
    fn new(header: &str, section: &str) -> Self {
        let (rows, captions): (Vec<&str>, Vec<&str>) =
            header.lines().map(str::trim).partition(|line| is_row(line));
        // A label above the passage's first row comes after the names of the columns.
        let last = header
            .lines()
            .map(str::trim)
            .next_back()
            .filter(|line| line.ends_with(':') && !is_row(line));
        let labels = last.filter(|_| !rows.is_empty() && header.trim_start() != last.unwrap_or(""));
        let labels = labels.map(str::to_owned);
        Self {
            layout: Layout::default(),
            table: Table::default(),
            names: Vec::new(),
            labels: labels.into_iter().collect(),
            used: false,
            header_rows: rows
                .iter()
                .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect())
                .collect(),
            caption: format!("{section}\n{}", captions.join("\n")),
            lead: String::new(),
        }
    }

    fn line(&mut self, text: &str, place: Range, before_row: bool) {
        let line = &text[place.0..place.1];
        let open = !self.table.rows.is_empty() || !self.names.is_empty();
        let is_label = line.len() <= MAX_LABEL
            && !line.ends_with('.')
            && (before_row || open)
            && super::number::numbers(without_footnotes(line)).iter().all(|number| {
                period::mentions(line).iter().any(|m| m.start < number.end && number.start < m.end)
            });
        if is_label && (open || line.ends_with(':')) {
            self.label(line);
            return;
        }
        self.close();
        self.lead.push_str(line);
        self.lead.push('\n');
        // Lines of one paragraph are one piece.
        match self.layout.prose.last_mut() {
            Some(last) if text[last.1..place.0].trim().is_empty() => last.1 = place.1,
            _ => self.layout.prose.push(place),
        }
    }

    fn label(&mut self, label: &str) {
        if self.used {
            self.labels.clear();
            self.used = false;
        }
        self.labels.push(label.to_owned());
    }

    fn row(&mut self, text: &str, place: Range) {
        let all = cells(text, place);
        let filled: Vec<Cell> = all.into_iter().filter(|cell| cell.at.0 < cell.at.1).collect();
        let is_rule =
            |cell: &Cell| text[cell.at.0..cell.at.1].bytes().all(|b| matches!(b, b'-' | b':'));
        if filled.is_empty() || (filled.len() > 1 && filled.iter().all(is_rule)) {
            return;
        }
        let of = |cell: &Cell| &text[cell.at.0..cell.at.1];
        let figures: Vec<Cell> =
            filled.iter().copied().filter(|cell| is_figure(of(cell))).collect();
        if figures.is_empty() {
            if let [only] = filled.as_slice()
                && (only.column <= 1 || self.table.rows.is_empty())
            {
                let only = of(only).to_owned();
                // A period or a unit over all columns is a name; other words are a label.
                if self.table.rows.is_empty() && (super::scale::first(&only).is_some()) {
                    self.caption.push('\n');
                    self.caption.push_str(&only);
                } else {
                    self.label(&only);
                }
                return;
            }
            if !self.table.rows.is_empty() {
                self.close();
            }
            self.names.push(filled.iter().map(|cell| (cell.column, of(cell).to_owned())).collect());
            return;
        }
        let first_figure = figures[0].column;
        // Words of a row stand before its figures, or between them (a holding's name).
        let label: Vec<&str> =
            filled.iter().map(of).filter(|text| !is_figure(text) && !is_no_meaning(text)).collect();
        let label = label.join(" ");
        // A year in front is the row's name: `2019 | 11.44 | 9.47`.
        let leading =
            filled.first().filter(|cell| cell.column < first_figure).map_or("", |cell| of(cell));
        let parent = self.labels.join(" ");
        let own = period::whole(if leading.is_empty() { &label } else { leading });
        let period = own.or(&period::whole(&parent));
        let is_sum = label.to_ascii_lowercase().starts_with("total");
        let label = without_footnotes(&label).to_owned();
        self.table.rows.push(Row {
            words: ids(&label),
            parents: ids(&parent),
            label,
            parent,
            period,
            cells: figures,
        });
        self.used = true;
        if is_sum {
            self.labels.clear();
        }
    }

    /// Ends the table that is being read.
    fn close(&mut self) {
        if self.table.rows.is_empty() {
            self.names.clear();
            return;
        }
        let mut table = std::mem::take(&mut self.table);
        let width =
            table.rows.iter().flat_map(|row| row.cells.iter().map(|cell| cell.column + 1)).max();
        let names = self.column_names(width.unwrap_or(0));
        table.columns = names
            .into_iter()
            .map(|name| Column { words: ids(&name), period: period::whole(&name), name })
            .collect();
        // The text right above is read back to where the passage begins, no farther.
        table.above = format!("{}\n{}", self.caption, self.lead);
        table.about = ids(&table.above);
        (table.lines, table.names) = belong::lines_of(&table);
        self.layout.tables.push(table);
        self.names.clear();
        self.used = true;
    }

    /// The names of the columns: the passage's header where it fits the rows of names
    /// that stand above, else those rows.
    fn column_names(&self, width: usize) -> Vec<String> {
        let mut names = vec![String::new(); width];
        for row in &self.names {
            // Names that begin over the labels and are one short lack their empty first cell.
            let shifted = row
                .first()
                .is_some_and(|(column, cell)| *column == 0 && !period::mentions(cell).is_empty())
                && row.len() + 1 == width;
            for (column, cell) in row {
                if let Some(name) = names.get_mut(*column + usize::from(shifted))
                    && !name.ends_with(cell.as_str())
                {
                    if !name.is_empty() {
                        name.push(' ');
                    }
                    name.push_str(cell);
                }
            }
        }
        let fits = |header: &&Vec<String>| {
            header.len() <= width + 1
                && names.iter().enumerate().all(|(column, name)| {
                    let whole = header.get(column).map_or("", String::as_str);
                    name.split(' ').all(|word| whole.contains(word))
                })
        };
        let header = self.header_rows.iter().rev().find(fits);
        if let Some(header) = header {
            for (name, whole) in names.iter_mut().zip(header) {
                name.clone_from(whole);
            }
        }
        names
    }
}

/// Whether a cell holds a figure: digits that are no year, day or footnote, or the dash
/// for none.
pub(super) fn is_figure(cell: &str) -> bool {
    if is_nil(cell) {
        return true;
    }
    let bare = without_footnotes(cell);
    let begins_with_word = bare.starts_with(|c: char| c.is_alphabetic())
        && super::units::currency_in(bare.split([' ', '\u{a0}']).next().unwrap_or("")).is_none();
    if begins_with_word {
        return false;
    }
    let letters = bare.chars().filter(|c| c.is_alphabetic()).count();
    let times = period::mentions(bare);
    super::number::numbers(bare).iter().any(|number| {
        let timed = times.iter().any(|m| m.start < number.end && number.start < m.end);
        !timed && letters <= 12
    })
}

/// A text without the footnote marks at its end: `Tax fees (2)`, `Other assets(1)(a)`.
pub(super) fn without_footnotes(text: &str) -> &str {
    let mut bare = text.trim_end();
    while let Some(open) = bare.strip_suffix(')').and_then(|inner| inner.rfind('(')) {
        let mark = &bare[open + 1..bare.len() - 1];
        let is_mark = !mark.is_empty()
            && mark.len() <= 2
            && mark.chars().all(|c| c.is_ascii_alphanumeric())
            && bare[..open].chars().any(char::is_alphabetic);
        if !is_mark {
            break;
        }
        bare = bare[..open].trim_end();
    }
    bare
}

/// What stands in a cell where a figure has no meaning.
fn is_no_meaning(cell: &str) -> bool {
    ["nm", "n/m", "n/a", "na", "n.m.", "*"].iter().any(|mark| cell.eq_ignore_ascii_case(mark))
}

/// Whether a cell says that there is nothing: a figure of 0.
pub(super) fn is_nil(cell: &str) -> bool {
    let bare = cell.trim_matches(['$', '€', '£', '%', ' ', '(', ')']);
    matches!(bare, "-" | "--" | "\u{2013}" | "\u{2014}" | "\u{2212}")
        || bare.eq_ignore_ascii_case("nil")
}

/// The ids of the words of a text, each once.
pub(super) fn ids(text: &str) -> Vec<u64> {
    let mut ids: Vec<u64> = words::words(text).iter().map(|word: &Word| word.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
