//! How does plain text become pages?
//!
//! Filings from before 2001 are text: paragraphs are parted by blank lines, tables are
//! drawn with spaces, and a form feed or a `<PAGE>` line ends a page.

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;

use crate::inline::clean_line;
use crate::limits::Limits;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;
use crate::table::{LaidRow, LaidTable, value::is_figure};

/// Reads text. With form feeds every part is a page; without, there is one page.
pub(crate) fn parse(text: &str, limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let has_pages = text.trim_matches(['\u{c}', '\n', '\r', ' ']).contains('\u{c}');
    if !has_pages {
        return sink.page(page(text, None, limits)?);
    }
    let text = text.trim_end_matches(['\u{c}', '\n', '\r', ' ']);
    for (index, part) in text.split('\u{c}').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if number > limits.pages {
            return Err(refusal::limit_reached(&format!(
                "the document has more than {} pages",
                limits.pages
            )));
        }
        sink.page(page(part, Some(number), limits)?)?;
    }
    Ok(())
}

fn page(text: &str, number: Option<u32>, limits: &Limits) -> Result<ParsedPage, Problem> {
    let mut paper = Paper::new(limits.text_bytes);
    let lines: Vec<String> = text.lines().map(clean_line).collect();
    write_lines(&mut paper, &lines);
    paper.finish(number, None)
}

/// Writes text whose lines and spaces matter.
pub(crate) fn write_plain(paper: &mut Paper, text: &str) {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    write_lines(paper, &lines);
}

fn write_lines(paper: &mut Paper, lines: &[String]) {
    let groups = lines.split(|line| line.trim().is_empty()).filter(|group| !group.is_empty());
    // Tables are often set with blank lines between their parts: groups that look like a
    // table and follow each other are one.
    let mut table: Vec<&String> = Vec::new();
    let mut head: Vec<&String> = Vec::new();
    for group in groups {
        if is_tabular(group) {
            table.append(&mut head);
            table.extend(group);
        } else if looks_like_head(group) && table.is_empty() {
            for line in head.drain(..) {
                paper.paragraph(line.trim());
            }
            head.extend(group);
        } else {
            write_table(paper, &std::mem::take(&mut table));
            for line in head.drain(..) {
                paper.paragraph(line.trim());
            }
            write_prose(paper, group);
        }
    }
    write_table(paper, &table);
    for line in head {
        paper.paragraph(line.trim());
    }
}

/// Whether at least half of the lines have columns and a figure.
fn is_tabular(group: &[String]) -> bool {
    let n_rows = group
        .iter()
        .filter(|line| {
            let cells = cells(line);
            cells.len() >= 2 && cells[1..].iter().any(|cell| is_figure(cell))
        })
        .count();
    let n_rules = group.iter().filter(|line| is_rule(line)).count();
    n_rows > 0 && (n_rows + n_rules) * 2 >= group.len()
}

/// Whether the lines could be the column names of a table that follows.
fn looks_like_head(group: &[String]) -> bool {
    group.len() <= 6
        && group.iter().any(|line| cells(line).len() >= 2 || line.starts_with("      "))
        && group.iter().all(|line| {
            line.trim().chars().count() < 100 && (line.starts_with(' ') || cells(line).len() >= 2)
        })
}

/// A line that only draws: `-----   ======`.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && line.chars().all(|c| matches!(c, '-' | '=' | '_' | ' ' | '.' | '*' | '+' | '|'))
}

/// A line's cells: parted by two spaces or a row of dots, signs glued to their figures.
fn cells(line: &str) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for part in line.trim().split("  ").map(str::trim).filter(|part| !part.is_empty()) {
        let part = part.trim_end_matches(['.', ' ']).trim();
        let part = if part.is_empty() { continue } else { part };
        let (label, rest) = match part.find("....").or_else(|| part.find(". . .")) {
            Some(at) => (part[..at].trim(), part[at..].trim_matches(['.', ' '])),
            None => (part, ""),
        };
        for cell in [label, rest].into_iter().filter(|cell| !cell.is_empty()) {
            match cells.last_mut() {
                Some(last) if last == "$" => *last = format!("${cell}"),
                _ => cells.push(cell.to_owned()),
            }
        }
    }
    cells
}

fn write_table(paper: &mut Paper, lines: &[&String]) {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .filter(|line| !is_rule(line) && !is_tag(line))
        .map(|line| cells(line))
        .filter(|cells| !cells.is_empty())
        .collect();
    let has_figure =
        |row: &Vec<String>| row.len() >= 2 && row[1..].iter().any(|cell| is_figure(cell));
    let n_header = rows.iter().position(has_figure).unwrap_or(0);
    let n_header = if n_header > 8 { 0 } else { n_header };
    let rows: Vec<LaidRow> = rows
        .iter()
        .enumerate()
        .map(|(index, cells)| LaidRow {
            line: cells.join(" | "),
            is_header: index < n_header,
            cells: None,
        })
        .collect();
    let header = rows[..n_header].iter().map(|row| row.line.clone()).collect();
    paper.table(LaidTable { header, caption: None, rows });
}

/// `<S>   <C>   <C>`: how old filings mark a table's columns.
fn is_tag(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('<') && line.ends_with('>')
}

fn write_prose(paper: &mut Paper, group: &[String]) {
    let lines: Vec<&str> = group
        .iter()
        .filter(|line| !is_rule(line) && !is_tag(line))
        .map(|line| line.trim())
        .collect();
    let text = lines.join("\n");
    let n_chars = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = !text.chars().any(char::is_lowercase) && letters >= 4 && letters * 2 > n_chars;
    let form = crate::html::form_level(&text);
    match form {
        Some(level)
            if n_chars < 120
                && lines.len() <= 2
                && !text.ends_with(|c: char| c.is_ascii_digit()) =>
        {
            paper.heading(level, &text);
        }
        _ if capitals && n_chars < 100 && lines.len() <= 2 => paper.heading(3, &text),
        _ => paper.paragraph(&text),
    }
}
