//! What does a table row say, and which of its cells answers the question?

use quaestor_core::retrieval::Question;
use quaestor_core::retrieval::analyse::terms;
use quaestor_core::retrieval::period::{Fit, Periods};

/// A row of a table with what names its columns.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The whole line, as it stands in the passage.
    pub(super) line: &'a str,
    /// Its cells, trimmed.
    pub(super) cells: Vec<&'a str>,
    /// The name of each cell's column; empty where it has none.
    pub(super) columns: Vec<&'a str>,
    /// The label of the rows it belongs to (`Net sales:`).
    pub(super) group: &'a str,
}

/// The cells of a line.
pub(super) fn cells(line: &str) -> Vec<&str> {
    line.split('|').map(str::trim).collect()
}

/// Whether a cell holds a figure rather than words.
pub(super) fn is_figure(cell: &str) -> bool {
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    digits > 0 && (letters == 0 || digits > letters)
}

/// A cell that says that there is no value.
pub(super) fn is_nil(cell: &str) -> bool {
    cell.is_empty() || cell.chars().all(|c| matches!(c, '—' | '–' | '-' | '$' | ' '))
}

/// The rows of a passage that hold values, from its header and its own header rows.
pub(super) fn rows<'a>(header: &'a str, text: &'a str) -> Vec<Row<'a>> {
    let headers: Vec<Vec<&str>> =
        header.lines().filter(|line| line.contains('|')).map(cells).collect();
    let mut found = Vec::new();
    let mut group = header.lines().next_back().filter(|line| line.ends_with(':')).unwrap_or("");
    let mut own: Vec<&str> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if !line.contains('|') {
            group = if line.ends_with(':') && line.len() < 120 { line } else { group };
            continue;
        }
        let parts = cells(line);
        let names_times = parts.iter().skip(1).any(|part| !Periods::read(part).is_empty());
        if (line.starts_with('|') || names_times) && !parts.iter().any(|part| is_value(part)) {
            own = parts;
            continue;
        }
        let columns = columns_of(&headers, &own, parts.len());
        found.push(Row { line, cells: parts, columns, group });
    }
    found
}

/// A figure that is not a year or a date.
fn is_value(cell: &str) -> bool {
    is_figure(cell) && Periods::read(cell).is_empty()
}

/// The header line for a row of so many cells: the one that holds the names last seen
/// above the row, else the first that is long enough.
fn columns_of<'a>(headers: &[Vec<&'a str>], own: &[&str], length: usize) -> Vec<&'a str> {
    let holds = |header: &&Vec<&str>| {
        own.iter()
            .filter(|name| !name.is_empty())
            .all(|name| header.iter().any(|column| column.contains(name)))
    };
    let fits = |header: &&Vec<&str>| header.len() >= length;
    let header = headers
        .iter()
        .find(|header| fits(header) && !own.is_empty() && holds(header))
        .or_else(|| headers.iter().find(fits))
        .or_else(|| headers.first());
    let mut columns = header.cloned().unwrap_or_default();
    columns.resize(length.max(columns.len()), "");
    columns
}

/// A cell that may answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// The cell.
    pub(super) cell: usize,
    /// How well its column fits the question's time and words, about -1 to 2.
    pub(super) fit: f32,
}

impl Row<'_> {
    /// The cells that name the row for this question: those with words of it, or a first
    /// figure that it gives (`50,000` of a column of incomes); else the first with words.
    pub(super) fn label_cells(&self, question: &Question) -> Vec<usize> {
        let asked = |cell: &str| {
            terms(cell).iter().any(|term| {
                let at = question.terms.iter().position(|asked| asked == term);
                at.is_some_and(|at| !question.times[at])
            })
        };
        let whole = |cell: &str| {
            let words = terms(cell);
            !words.is_empty() && words.iter().all(|term| question.terms.contains(term))
        };
        let mut found: Vec<usize> = Vec::new();
        for (at, cell) in self.cells.iter().enumerate().filter(|(_, cell)| !is_nil(cell)) {
            let names = if is_figure(cell) {
                at == 0 && whole(cell)
            } else {
                asked(cell) || (at == 0 && whole(cell))
            };
            let again = found.iter().any(|before| self.cells[*before] == *cell);
            if names && !again {
                found.push(at);
            }
        }
        if found.is_empty() {
            let words = |cell: &&str| {
                !is_nil(cell) && (!is_figure(cell) || !Periods::read(cell).is_empty())
            };
            found.extend(self.cells.iter().position(words));
        }
        found
    }

    /// What names the row for this question, at most three cells of it.
    pub(super) fn label(&self, question: &Question) -> String {
        let named: Vec<&str> =
            self.label_cells(question).into_iter().take(3).map(|at| self.cells[at]).collect();
        named.join(", ")
    }

    /// Whether any cell beside the label holds a figure.
    pub(super) fn has_figure(&self, question: &Question) -> bool {
        let label = self.label_cells(question);
        let mut beside = self.cells.iter().enumerate().filter(|(at, _)| !label.contains(at));
        beside.any(|(_, cell)| is_figure(cell))
    }

    /// The cell that the question asks for: the column whose time fits and whose name
    /// holds words of the question that the rest of the row does not answer.
    pub(super) fn choose(&self, question: &Question) -> Option<Choice> {
        let label = self.label_cells(question);
        let in_row: Vec<String> = self.cells.iter().flat_map(|cell| terms(cell)).collect();
        let mut best: Option<Choice> = None;
        for (cell, text) in self.cells.iter().enumerate() {
            if is_nil(text) || label.iter().any(|at| self.cells[*at] == *text) {
                continue;
            }
            let column = self.columns.get(cell).copied().unwrap_or("");
            let figure = is_figure(text) && Periods::read(text).is_empty();
            let fit = column_fit(question, column, &in_row) + if figure { 0.05 } else { 0.0 };
            if best.is_none_or(|so_far| fit > so_far.fit + 1e-3) {
                best = Some(Choice { cell, fit });
            }
        }
        best
    }

    /// How the times that the row itself tells fit the question's, -1 to 1: the day of an
    /// entry in a register, the month of a summary.
    pub(super) fn own_time_fit(&self, question: &Question) -> f32 {
        match question.periods.date_fit(&Periods::read(self.line)) {
            Fit::Fits => 1.0,
            Fit::Silent => 0.0,
            Fit::Contradicts => -1.0,
        }
    }
}

/// How a column's name fits: its time, and the words of the question that it holds.
fn column_fit(question: &Question, column: &str, in_row: &[String]) -> f32 {
    let value = |fit: Fit| match fit {
        Fit::Fits => 1.0,
        Fit::Silent => 0.0,
        Fit::Contradicts => -1.0_f32,
    };
    let named = Periods::read(column);
    let date = value(question.periods.date_fit(&named));
    let length = value(question.periods.length_fit(&named));
    let names = terms(column);
    let asked = names
        .iter()
        .filter(|name| {
            let at = question.terms.iter().position(|term| term == *name);
            at.is_some_and(|at| !question.times[at]) && !in_row.contains(name)
        })
        .count();
    let share = if names.is_empty() { 0.0 } else { asked as f32 / names.len() as f32 };
    // Of two names that hold only asked words, the one with more of them.
    date * 0.6 + length * 0.4 + share * 0.8 + 0.05 * asked.min(4) as f32
}
