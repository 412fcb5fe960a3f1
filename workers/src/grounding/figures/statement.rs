//! Cuts an answer into statements: sentences, list items and cells of its tables, each
//! with the citations it names and the words that it is about.

use crate::grounding::quote::sentence_ends;

use super::table::{self, Range};

/// A statement of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    /// Where it stands in the answer.
    pub(super) at: Range,
    /// The citations it names, or else those that its line names after it.
    pub(super) cites: Vec<u32>,
    /// What it is about besides its own words, nearest first: the label and the column
    /// of a cell, the line a list hangs on, the sentence before.
    pub(super) about: Vec<Range>,
    /// How many of `about` are its own: the label and the column of a cell.
    pub(super) own: usize,
}

/// The statements of an answer, in order.
pub(super) fn statements(answer: &str) -> Vec<Statement> {
    let mut splitter = Splitter::default();
    let mut at = 0;
    for line in answer.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() {
            splitter.table = None;
            continue;
        }
        let from = start + (line.len() - line.trim_start().len());
        splitter.line(answer, (from, from + trimmed.len()));
    }
    splitter.statements
}

#[derive(Default)]
struct Splitter {
    statements: Vec<Statement>,
    /// The last line that others hang on: a heading, or one that ends in a colon.
    lead: Option<(Range, Vec<u32>)>,
    /// The names of the columns of the table that is being read.
    table: Option<Vec<table::Cell>>,
}

impl Splitter {
    fn line(&mut self, answer: &str, place: Range) {
        let line = &answer[place.0..place.1];
        if line.starts_with('|') && line.len() > 1 {
            self.row(answer, place);
            return;
        }
        self.table = None;
        let is_item = line.starts_with(['-', '*', '\u{2022}', '+'])
            || line.starts_with(|c: char| c.is_ascii_digit())
                && line.find(". ").is_some_and(|at| at < 4);
        let is_heading = line.starts_with('#')
            || (line.starts_with("**")
                && line.trim_end_matches(':').ends_with("**")
                && line.matches("**").count() == 2);
        let leads = is_heading || line.trim_end_matches(['*', ' ']).ends_with(':');
        let cites = markers(line);
        if !is_item && !leads {
            // A paragraph hangs on a heading, not on the list before it.
            if self.lead.as_ref().is_some_and(|(lead, _)| !answer[lead.0..lead.1].starts_with('#'))
            {
                self.lead = None;
            }
        }
        let inherited: Vec<u32> = if is_item && cites.is_empty() {
            self.lead.as_ref().map(|(_, cites)| cites.clone()).unwrap_or_default()
        } else {
            Vec::new()
        };
        let lead = self.lead.as_ref().map(|(lead, _)| *lead);
        self.sentences(answer, place, lead, &inherited);
        if leads {
            self.lead = Some((place, cites));
        }
    }

    fn sentences(&mut self, answer: &str, place: Range, lead: Option<Range>, inherited: &[u32]) {
        let line = &answer[place.0..place.1];
        let mut ends: Vec<usize> = sentence_ends(line).collect();
        ends.push(line.len());
        let first = self.statements.len();
        let mut from = 0;
        for end in ends {
            // A marker after the full stop belongs to the sentence before it.
            let end = end.max(from);
            let end = end + leading_markers(&line[end..]);
            if end <= from || line[from..end].trim().is_empty() {
                continue;
            }
            // What a quote holds is no sentence of the answer.
            if open_quote(&line[from..end]) && end < line.len() {
                continue;
            }
            let mut about = Vec::new();
            if self.statements.len() > first {
                about.push(self.statements[self.statements.len() - 1].at);
            }
            about.extend(lead);
            for (start, stop) in pieces(&line[from..end]) {
                self.statements.push(Statement {
                    at: (place.0 + from + start, place.0 + from + stop),
                    cites: markers(&line[from + start..from + stop]),
                    about: about.clone(),
                    own: 0,
                });
            }
            from = end;
        }
        // A marker at the end of a paragraph stands for the sentences before it too.
        let mut after: Vec<u32> = inherited.to_vec();
        for statement in self.statements[first..].iter_mut().rev() {
            if statement.cites.is_empty() {
                statement.cites.clone_from(&after);
            } else {
                after.clone_from(&statement.cites);
            }
        }
    }

    fn row(&mut self, answer: &str, place: Range) {
        let cells = table::cells(answer, place);
        let is_rule = |cell: &table::Cell| {
            answer[cell.at.0..cell.at.1].bytes().all(|b| matches!(b, b'-' | b':' | b' '))
        };
        if cells.iter().all(is_rule) {
            return;
        }
        let Some(names) = self.table.clone() else {
            self.table = Some(cells);
            return;
        };
        let mut cites = markers(&answer[place.0..place.1]);
        if cites.is_empty()
            && let Some((_, of_lead)) = &self.lead
        {
            cites.clone_from(of_lead);
        }
        let filled: Vec<&table::Cell> = cells.iter().filter(|cell| cell.at.0 < cell.at.1).collect();
        let label = filled.first().map(|cell| cell.at);
        for cell in &filled {
            let mut about: Vec<Range> = Vec::new();
            if let Some(label) = label.filter(|label| *label != cell.at) {
                about.push(label);
            }
            if let Some(name) =
                names.iter().find(|name| name.column == cell.column && name.at.0 < name.at.1)
            {
                about.push(name.at);
            }
            let own = about.len();
            about.extend(self.lead.as_ref().map(|(lead, _)| *lead));
            self.statements.push(Statement { at: cell.at, cites: cites.clone(), about, own });
        }
    }
}

/// A sentence longer than this is read in pieces: the work on one grows with its square.
const LONGEST: usize = 2_000;

/// Cuts a text that is too long into pieces, at spaces where there are any.
pub(super) fn pieces(text: &str) -> Vec<Range> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while text.len() - from > LONGEST {
        let mut to = from + LONGEST;
        while !text.is_char_boundary(to) {
            to -= 1;
        }
        if let Some(space) = text[from..to].rfind(' ').filter(|space| *space > LONGEST / 2) {
            to = from + space + 1;
        }
        pieces.push((from, to));
        from = to;
    }
    pieces.push((from, text.len()));
    pieces
}

/// The citations that a text names, in order, each once.
pub(super) fn markers(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        rest = &rest[start + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0
            && rest[digits..].starts_with(']')
            && let Ok(ordinal) = rest[..digits].parse()
            && !found.contains(&ordinal)
        {
            found.push(ordinal);
        }
    }
    found
}

/// The length of the markers, with the spaces around them, that a text begins with.
fn leading_markers(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let Some(marker) = rest[spaces..].strip_prefix('[') else { return at };
        let digits = marker.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || !marker[digits..].starts_with(']') {
            return at;
        }
        at += spaces + digits + 2;
    }
}

fn open_quote(text: &str) -> bool {
    match (text.rfind('\u{201c}'), text.rfind('\u{201d}')) {
        (Some(open), Some(close)) => open > close,
        (Some(_), None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Vec<(&str, Vec<u32>)> {
        statements(answer).into_iter().map(|s| (answer[s.at.0..s.at.1].trim(), s.cites)).collect()
    }

    #[test]
    fn sentences_keep_their_citations() {
        assert_eq!(
            read("Sales rose to 5. [1] Costs fell to 3 [2]. Net was 2. All of it [3]."),
            [
                ("Sales rose to 5. [1]", vec![1]),
                ("Costs fell to 3 [2].", vec![2]),
                ("Net was 2.", vec![3]),
                ("All of it [3].", vec![3])
            ]
        );
        assert_eq!(read("For 2019 [2]:\n- Sales: 5\n- Costs: 3 [1]")[1], ("- Sales: 5", vec![2]));
    }

    #[test]
    fn cells_know_their_row_and_column() {
        let answer = "| Line | 2019 | 2018 |\n|---|---|---|\n| Sales [1] | 5 | 4 |";
        let cells = statements(answer);
        let four = cells.last().unwrap();
        let about: Vec<&str> = four.about.iter().map(|r| &answer[r.0..r.1]).collect();
        assert_eq!(about, ["Sales [1]", "2018"]);
        assert_eq!(four.cites, [1]);
    }
}
