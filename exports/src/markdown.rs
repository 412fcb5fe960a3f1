//! Markdown: every character of contents that could be markup is escaped.

use quaestor_core::problem::Problem;

use crate::part::Part;
use crate::render::Render;
use crate::text::{clean, line};
use crate::view::{self, AnswerView, CoverView, TurnView};

/// Writes Markdown.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    /// The columns of the table that has begun, once its first row was written.
    columns: Option<usize>,
    /// Header rows of the table that has begun, which its first row decides about.
    header: Vec<Vec<String>>,
}

impl Render for Markdown {
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut text = String::new();
        match part {
            Part::Cover(cover) => title_page(&view::cover(&cover), &mut text),
            Part::Turn(turn) => write_turn(&view::turn(&turn), &mut text),
            Part::Table(table) => {
                self.flush(&mut text);
                let title = view::table_title(&table);
                let title = if title.is_empty() { "Table".to_owned() } else { title };
                text.push_str(&format!("\n## {}. {}\n\n", table.number, inline(&title)));
                text.push_str(&format!("{}\n", inline(&view::table_place(&table))));
                self.columns = None;
                self.header = table.header;
            }
            Part::Rows(rows) => {
                for row in rows {
                    self.row(&row, &mut text);
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut text = String::new();
        self.flush(&mut text);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Markdown {
    /// A table has one header row: the first that names its columns, or an empty one.
    fn row(&mut self, row: &[String], text: &mut String) {
        if self.columns.is_none() {
            let widest = self.header.iter().map(Vec::len).max().unwrap_or(0);
            let columns = widest.max(row.len()).max(1);
            self.columns = Some(columns);
            let mut header = std::mem::take(&mut self.header).into_iter();
            text.push('\n');
            write_row(&header.next().unwrap_or_default(), columns, text);
            text.push_str(&"|---".repeat(columns));
            text.push_str("|\n");
            for row in header {
                write_row(&row, columns, text);
            }
        }
        write_row(row, self.columns.unwrap_or(1), text);
    }

    /// Writes the header of a table that had no rows.
    fn flush(&mut self, text: &mut String) {
        if !self.header.is_empty() {
            let first = self.header.remove(0);
            self.row(&first, text);
        }
    }
}

/// A row of exactly so many cells: what is too much for the header stands in the last one.
fn write_row(row: &[String], columns: usize, text: &mut String) {
    let fits = columns.saturating_sub(1).min(row.len());
    let (first, rest) = row.split_at(fits);
    let last = rest.iter().map(|cell| inline(cell)).collect::<Vec<_>>().join(" ");
    for cell in first {
        text.push_str(&format!("| {} ", inline(cell)));
    }
    if row.len() > fits {
        text.push_str(&format!("| {last} "));
    }
    text.push_str(&"| ".repeat(columns - row.len().min(columns)));
    text.push_str("|\n");
}

fn title_page(cover: &CoverView, text: &mut String) {
    text.push_str(&format!("# {}\n\n{}\n\n| | |\n|---|---|\n", inline(&cover.title), cover.about));
    for fact in &cover.facts {
        let lines: Vec<String> = fact.lines.iter().map(|line| inline(line)).collect();
        text.push_str(&format!("| {} | {} |\n", fact.name, lines.join("; ")));
    }
    if cover.figures.checked > 0 {
        let figures = cover.figures;
        text.push_str(&format!(
            "| Figures | {} checked: {} supported, {} unsupported |\n",
            figures.checked, figures.supported, figures.unsupported
        ));
    }
    text.push_str(&format!("\n{}\n", inline(cover.remark)));
}

fn write_turn(turn: &TurnView, text: &mut String) {
    text.push_str("\n---\n");
    if let Some(question) = &turn.question {
        text.push_str(&format!("\n## {}. {}\n", turn.number, inline(question)));
        text.push_str(&format!("\nAsked {}\n", inline(&turn.asked_at)));
    }
    if let Some(answer) = &turn.answer {
        write_answer(answer, text);
    }
}

fn write_answer(answer: &AnswerView, text: &mut String) {
    if !answer.state_note.is_empty() {
        text.push_str(&format!("\n*{}*\n", inline(&answer.state_note)));
    }
    for paragraph in &answer.paragraphs {
        let whole: String = paragraph.iter().map(|span| span.text.as_str()).collect();
        text.push_str(&format!("\n{}\n", block(&whole)));
    }
    if !answer.notes.is_empty() {
        text.push_str("\n### Notes\n\n");
        for note in &answer.notes {
            let told = [&note.document, &note.place, &note.section];
            let told: Vec<String> =
                told.iter().filter(|part| !part.is_empty()).map(|part| inline(part)).collect();
            text.push_str(&format!(
                "- \\[{}\\] {}: “{}”\n",
                note.number,
                told.join(" · "),
                inline(&note.quote)
            ));
        }
    }
    if !answer.figures.is_empty() {
        text.push_str("\n### Figures\n\n| Figure | Mark | Where it comes from |\n|---|---|---|\n");
        for figure in &answer.figures {
            let (figure, mark, origin) = (inline(&figure.text), figure.mark, &figure.origin);
            text.push_str(&format!("| {figure} | {mark} | {} |\n", inline(origin)));
        }
    }
    text.push_str(&format!("\n{}\n", inline(&answer.by)));
}

/// Text in one line. Any character of punctuation that means something anywhere in Markdown
/// gets a backslash, which takes its meaning away (CommonMark 2.4).
fn inline(text: &str) -> String {
    escaped(&line(text))
}

/// Text of several lines: their ends are hard breaks, and no line begins a block.
fn block(text: &str) -> String {
    let text = clean(text);
    let lines: Vec<String> = text
        .trim()
        .split('\n')
        .map(|line| escaped(&line.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    // A blank line would end the paragraph, and a break before nothing says nothing.
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\\\n")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut digits_only = true;
    for (place, c) in text.chars().enumerate() {
        let special = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '$' | '^' => {
                true
            }
            // What begins a list, a heading or a rule where it stands first.
            '-' | '+' | '=' | ':' => place == 0,
            '.' | ')' => digits_only && place > 0,
            _ => false,
        };
        digits_only &= c.is_ascii_digit();
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_markup_is_text() {
        assert_eq!(inline("# *a* [b](c) <i> | `x` $y$"), r"\# \*a\* \[b\](c) \<i\> \| \`x\` \$y\$");
        assert_eq!(inline("1. one"), r"1\. one");
        assert_eq!(inline("- one\n- two"), r"\- one - two");
        assert_eq!(block("1) a\n\n    code\n===\n- b"), "1\\) a\\\ncode\\\n\\===\\\n\\- b");
        assert_eq!(inline("net sales rose 8.5% to $94,036."), r"net sales rose 8.5% to \$94,036.");
        assert_eq!(inline("![x](y)"), r"!\[x\](y)");
    }

    #[test]
    fn a_row_has_the_cells_of_its_header() {
        let row = |cells: &[&str], columns| {
            let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
            let mut text = String::new();
            write_row(&cells, columns, &mut text);
            text
        };
        assert_eq!(row(&["a", "b"], 2), "| a | b |\n");
        assert_eq!(row(&["a"], 3), "| a | | |\n");
        assert_eq!(row(&["a", "b", "c"], 2), "| a | b c |\n");
        assert_eq!(row(&[], 1), "| |\n");
    }
}
