//! Finds, for a statement of an answer, the words of the passage that bear it.

use std::collections::HashSet;

use quaestor_core::retrieval::quotes;

/// A piece of a text, in bytes on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The longest quote of running text; a table row is quoted whole.
const LONGEST_QUOTE: usize = 600;

/// The statement at the end of a text that a marker after it belongs to: from the last
/// line break or sentence end on.
pub(crate) fn last_statement(text: &str) -> &str {
    let text = text.trim_end();
    let body = text.trim_end_matches(['.', '!', '?', ':', ';', ' ']);
    let line_start = body.rfind('\n').map_or(0, |at| at + 1);
    let sentence_start = sentence_ends(&body[line_start..]).last().unwrap_or(0);
    // A sentence end inside quotation marks does not end the statement around them.
    match text[line_start..].find('“') {
        Some(opening) if opening < sentence_start => &text[line_start..],
        _ => &text[line_start + sentence_start..],
    }
}

/// Where in the passage the statement's support stands: the words between “ and ”
/// where they stand there word for word, or else the sentence or row that shares most
/// with the statement, figures counting double.
pub(crate) fn locate(statement: &str, passage: &str) -> Span {
    // The statement as it stands in the answer: what it quotes ends before its marker.
    let cited = format!("{} [1]", statement.trim_end());
    let best = quotes(&cited)
        .iter()
        .filter(|quote| !quote.text.trim().is_empty())
        .filter_map(|quote| {
            let start = passage.find(&quote.text)?;
            Some(Span { start, end: start + quote.text.len() })
        })
        .max_by_key(|span| span.end - span.start);
    best.unwrap_or_else(|| best_unit(statement, passage))
}

fn best_unit(statement: &str, passage: &str) -> Span {
    let wanted = words(statement);
    let mut best = Span { start: 0, end: clip(passage, 0, passage.len()) };
    let mut best_score = 0.0_f32;
    for unit in units(passage) {
        let held = words(&passage[unit.start..unit.end]);
        let mut score = 0.0_f32;
        for word in &wanted {
            if held.contains(word) {
                score += if word.bytes().any(|b| b.is_ascii_digit()) { 2.0 } else { 1.0 };
            }
        }
        // Among units that share as much, the shorter one says it more exactly.
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let score = score / (held.len() as f32 + 8.0).ln();
        if score > best_score {
            best_score = score;
            best = unit;
        }
    }
    best
}

/// The sentences and rows of a passage: every line, and within a line that is no table
/// row, every sentence.
pub(crate) fn units(passage: &str) -> Vec<Span> {
    let mut units = Vec::new();
    let mut at = 0;
    for line in passage.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let mut sentence_start = start;
        if !line.contains(" | ") {
            for end in sentence_ends(line) {
                push_trimmed(&mut units, passage, sentence_start, start + end);
                sentence_start = start + end;
            }
        }
        push_trimmed(&mut units, passage, sentence_start, at);
    }
    units
}

fn push_trimmed(units: &mut Vec<Span>, text: &str, start: usize, end: usize) {
    let piece = &text[start..end];
    let trimmed = piece.trim();
    if !trimmed.is_empty() {
        let start = start + (piece.len() - piece.trim_start().len());
        units.push(Span { start, end: clip(text, start, start + trimmed.len()) });
    }
}

fn clip(text: &str, start: usize, end: usize) -> usize {
    if end - start <= LONGEST_QUOTE || text[start..end].contains(" | ") {
        return end;
    }
    let mut clipped = start + LONGEST_QUOTE;
    while !text.is_char_boundary(clipped) {
        clipped -= 1;
    }
    match text[start..clipped].rfind(' ') {
        Some(space) if space > LONGEST_QUOTE / 2 => start + space,
        _ => clipped,
    }
}

/// Where sentences end in a line: after `.`, `!` or `?` that is followed by a space and
/// then a capital, a digit, an opening mark or a currency. An abbreviation such as
/// `Inc.` or `U.S.` before a capital may end a unit early: a quote is then shorter,
/// never wrong.
pub(super) fn sentence_ends(line: &str) -> impl Iterator<Item = usize> {
    let bytes = line.as_bytes();
    line.char_indices().filter_map(move |(at, character)| {
        if !matches!(character, '.' | '!' | '?') {
            return None;
        }
        let mut next = at + 1;
        if matches!(bytes.get(next), Some(b'"' | b')')) {
            next += 1;
        }
        if bytes.get(next) != Some(&b' ') {
            return None;
        }
        let follows = line[next..].trim_start().chars().next()?;
        let before = line[..at].rsplit(' ').next().unwrap_or("");
        // A single letter before the dot is an initial or part of `U.S.`.
        let is_number = before.bytes().any(|b| b.is_ascii_digit());
        let numbers_a_list = is_number && line[..at].trim_start().len() == before.len();
        let abbreviated = numbers_a_list
            || (!is_number
                && (before.len() <= 1 || before.contains('.') || is_abbreviation(before)));
        (!abbreviated
            && (follows.is_uppercase() || follows.is_ascii_digit() || "“\"($€£[".contains(follows)))
        .then_some(next + 1)
    })
}

fn is_abbreviation(word: &str) -> bool {
    matches!(word, "Inc" | "Corp" | "Co" | "Ltd" | "No" | "Mr" | "Ms" | "Mrs" | "Dr" | "vs" | "St")
}

fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == ','))
        .map(|word| word.trim_matches(['.', ',']).to_lowercase())
        .filter(|word| word.len() > 2 || word.bytes().any(|b| b.is_ascii_digit()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statement: &str, passage: &str, expected: &str) {
        let span = locate(statement, passage);
        assert_eq!(&passage[span.start..span.end], expected);
    }

    #[test]
    fn a_statement_is_borne_by_the_sentence_or_row_that_shares_most_with_it() {
        let prose = "The fund grew. Net assets were $42.5 million at year end. Fees fell.";
        check(
            "Net assets came to $42.5 million",
            prose,
            "Net assets were $42.5 million at year end.",
        );
        let table = "Products | 63,355 | 63,948\nServices | 19,604 | 17,486\nTotal net sales | 82,959 | 81,434";
        check("Total net sales were 82,959", table, "Total net sales | 82,959 | 81,434");
    }

    #[test]
    fn words_in_quotation_marks_are_found_word_for_word() {
        let table = "Products | 63,355 | 63,948\nTotal net sales | 82,959 | 81,434";
        check("It says “Products | 63,355 | 63,948”", table, "Products | 63,355 | 63,948");
    }

    #[test]
    fn a_statement_begins_after_the_sentence_before_it() {
        assert_eq!(
            last_statement("Sales rose. Costs at Apple Inc. fell"),
            "Costs at Apple Inc. fell"
        );
        assert_eq!(last_statement("one\ntwo "), "two");
        assert_eq!(
            last_statement("It says “Sales rose. Costs fell.”"),
            "It says “Sales rose. Costs fell.”"
        );
    }
}
