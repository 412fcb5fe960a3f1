//! Which digits are part of a name, a marker or a list, and no figure? And which words
//! before a figure say how exact it is?

use super::number::Claim;

/// Words after which a number is a name: `Note 5`, `Section 3.2`, `Level 3`.
const NAMING: [&str; 41] = [
    "note",
    "notes",
    "section",
    "sections",
    "item",
    "items",
    "part",
    "page",
    "pages",
    "table",
    "exhibit",
    "appendix",
    "annex",
    "schedule",
    "chapter",
    "article",
    "rule",
    "topic",
    "subtopic",
    "asc",
    "asu",
    "ifrs",
    "ias",
    "sfas",
    "fas",
    "level",
    "form",
    "step",
    "tier",
    "phase",
    "class",
    "figure",
    "no",
    "no.",
    "number",
    "footnote",
    "footnotes",
    "paragraph",
    "volume",
    "scope",
    "question",
];

/// Whether the digits at `start..end` are no figure.
pub(super) fn is_name(text: &str, start: usize, end: usize) -> bool {
    let before = &text[..start];
    let after = &text[end..];
    let left = before.chars().next_back();
    let right = after.chars().next();
    if left.is_some_and(|c| c.is_alphabetic() || c == '_' || c == '#') && !ends_in_currency(before)
    {
        return true;
    }
    // `10-Q`, `401(k)`, `3D`, `1st`; but `5m`, `3.5x`, `5-million`, `12-month`.
    if right.is_some_and(char::is_alphabetic) {
        return !is_unit_word(after);
    }
    if let Some(rest) = after.strip_prefix('-')
        && rest.starts_with(|c: char| c.is_alphabetic())
    {
        let word = &rest[..rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len())];
        return word.len() == 1 && word.chars().all(char::is_uppercase);
    }
    // `$'000` is a scale.
    if &text[start..end] == "000" {
        return true;
    }
    if is_length(before, after) {
        return true;
    }
    if after.starts_with("(k)") || after.starts_with("(b)") {
        return true;
    }
    if is_marker(before, after) || (end - start <= 2 && is_list_number(before, after)) {
        return true;
    }
    if left == Some('-') && before.trim_end_matches('-').ends_with(|c: char| c.is_alphabetic()) {
        // `COVID-19`, `Topic-5`.
        return before.len() - before.trim_end_matches('-').len() == 1;
    }
    follows_naming_word(text, before, end)
}

fn ends_in_currency(text: &str) -> bool {
    ["RMB", "USD", "EUR", "GBP", "CNY", "JPY", "CHF", "INR"].iter().any(|code| text.ends_with(code))
}

fn is_unit_word(after: &str) -> bool {
    let word = &after[..after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len())];
    [
        "m", "mn", "mln", "mm", "bn", "b", "k", "tn", "x", "bps", "bp", "pp", "ppt", "pts",
        "million", "billion", "thousand", "trillion", "percent", "pct", "EUR", "USD", "GBP",
    ]
    .iter()
    .any(|unit| word.eq_ignore_ascii_case(unit))
        || matches!(word.chars().next(), Some('×' | '€'))
}

/// "The 3 years", "over the last 12 months": how long, and no figure.
fn is_length(before: &str, after: &str) -> bool {
    let mut from = before.len().saturating_sub(12);
    while !before.is_char_boundary(from) {
        from += 1;
    }
    let head = before[from..].trim_end().to_ascii_lowercase();
    let leads = ["the", "last", "past", "these", "next", "all"].iter().any(|word| {
        head.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with([' ', '\n']))
    });
    leads
        && [" year", " month", " quarter", " period", " week", "-year", "-month"]
            .iter()
            .any(|unit| after.starts_with(unit))
}

/// `[1]`, and the first and last of `[1, 2]` and `[1-3]`.
fn is_marker(before: &str, after: &str) -> bool {
    let list = |c: char| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '\u{2013}');
    let opens = before.trim_end_matches(list).ends_with(['[', '【']);
    let closes = after.trim_start_matches(list).starts_with([']', '】']);
    opens && closes
}

/// `1.`, `2)` and `(3)` at the beginning of a line.
fn is_list_number(before: &str, after: &str) -> bool {
    let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    let opening = line.trim_start_matches([' ', '\t', '*', '#', '>', '-', '\u{2022}', '_']);
    let closed = [". ", ") ", ".\t", ")\t", ".)", ".*", ".\u{a0}"];
    (opening.is_empty()
        && closed.iter().any(|end| after.starts_with(end))
        && line.trim_end_matches([' ', '*', '#', '_']).is_empty())
        || (opening == "("
            && after.starts_with(") ")
            && super::units::after(after, 1).scale.is_none())
}

fn follows_naming_word(text: &str, before: &str, end: usize) -> bool {
    let head = before.trim_end_matches([' ', '\u{a0}', '(']);
    if head.len() == before.len() || before.len() - head.len() > 2 {
        return false;
    }
    let word_start = head
        .rfind(|c: char| !(c.is_alphanumeric() || c == '.'))
        .map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    let word = &head[word_start..];
    if word.is_empty() || word.len() > 12 {
        return false;
    }
    let lower = word.to_ascii_lowercase();
    if !NAMING.contains(&lower.as_str()) {
        // `Notes 2 and 3`, `Scope 1 and 2`.
        if matches!(lower.as_str(), "and" | "or") || head.ends_with(',') {
            return joined_to_name(&head[..word_start]);
        }
        return false;
    }
    // A figure follows "number" and "figure" only as a name where nothing counts it.
    let counted = text[end..].starts_with(" million")
        || text[end..].starts_with(" billion")
        || text[end..].starts_with('%');
    let thousands = text[before.len()..end].contains(',');
    !counted && !thousands
}

/// Whether a list of names goes on: a number stands before that follows a naming word.
fn joined_to_name(head: &str) -> bool {
    let head = head.trim_end();
    let digits = head.len() - head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 || digits > 3 {
        return false;
    }
    let rest = head[..head.len() - digits].trim_end();
    let word = rest.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    NAMING.contains(&word.to_ascii_lowercase().as_str())
}

/// How exact the words before a figure say that it is.
pub(super) fn claim(before: &str) -> Claim {
    let mut from = before.len().saturating_sub(24);
    while !before.is_char_boundary(from) {
        from += 1;
    }
    let lower = before[from..].to_ascii_lowercase();
    let head = lower.trim_end_matches([' ', '\u{a0}', '(']);
    let ends = |words: &[&str]| {
        words.iter().any(|word| {
            head.strip_suffix(word)
                .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric()))
        })
    };
    if ends(&[
        "about",
        "approximately",
        "around",
        "roughly",
        "some",
        "circa",
        "ca.",
        "approx.",
        "~",
        "close to",
        "≈",
    ]) {
        Claim::About
    } else if ends(&["over", "more than", "above", "exceeding", "at least", "in excess of"]) {
        Claim::Over
    } else if ends(&["under", "less than", "almost", "nearly", "below", "just under", "up to"]) {
        Claim::Under
    } else {
        Claim::Exact
    }
}
