//! Is a cell a figure, a period, or words?

/// Whether the cell is a figure: digits with what belongs to numbers, or the dash or
/// "N/A" that stands for one. A year alone is a period, not a figure.
pub(crate) fn is_figure(text: &str) -> bool {
    let text = text.trim();
    if is_nil(text) {
        return true;
    }
    if is_year(text) || text.chars().count() > 40 {
        return false;
    }
    let mut digits = 0_usize;
    let mut letters = 0_usize;
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits += 1;
        } else if c.is_alphabetic() {
            letters += 1;
        } else if !is_number_mark(c) {
            return false;
        }
    }
    // "12 bps", "3.5x", "USD 1,200", "$1.2B"
    digits > 0
        && letters <= 3
        && (letters <= digits || text.ends_with("bps") || text.ends_with("pts"))
        && !text.contains('/')
        && !(letters > 0 && is_period(text))
}

/// Marks that stand in or around a number.
fn is_number_mark(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | '(' | ')' | '%' | '+' | '-' | '\u{2010}'
            ..='\u{2015}'
                | '\u{2212}'
                | ' '
                | '*'
                | '\''
                | '$'
                | '€'
                | '£'
                | '¥'
                | '['
                | ']'
                | '†'
                | '‡'
                | '~'
                | '<'
                | '>'
    )
}

/// Whether the cell says that there is no figure.
pub(crate) fn is_nil(text: &str) -> bool {
    matches!(
        text.trim().trim_start_matches(['$', '€', '£']).trim_end_matches('%').trim(),
        "-" | "--"
            | "---"
            | "\u{2013}"
            | "\u{2014}"
            | "\u{2014}\u{2014}"
            | "\u{2212}"
            | "N/A"
            | "n/a"
            | "NA"
            | "N/M"
            | "n/m"
            | "NM"
            | "nm"
            | "n.m."
            | "*"
            | "**"
    )
}

/// Whether the cell is a year, perhaps with a mark: `2024`, `2024(1)`, `FY2024`.
pub(crate) fn is_year(text: &str) -> bool {
    let text = text.trim().trim_start_matches("FY").trim_start();
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let rest = text.get(digits.len()..).unwrap_or("").trim();
    let marks = rest.is_empty()
        || rest == "E"
        || rest == "A"
        || (rest.len() <= 4 && rest.starts_with(['(', '*', '[']));
    digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20")) && marks
}

/// Words of what heads a column of a financial table.
const PERIOD_WORDS: [&str; 6] = ["months", "ended", "quarter", "fiscal", "year", "change"];

/// Months as they are written in column names.
const MONTHS: [&str; 24] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
];

/// Whether one of the words is a month. "may" and "march" are words too: with a digit
/// beside them, or alone, they are months.
fn names_month(lower: &str) -> bool {
    let mut words = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let alone = words.clone().nth(1).is_none();
    let has_digit = lower.bytes().any(|b| b.is_ascii_digit());
    words.any(|word| MONTHS.contains(&word) && (has_digit || alone || word.len() > 5))
}

/// Whether the cell names a period or a column of changes: a sign of a header row.
pub(crate) fn is_period(text: &str) -> bool {
    if is_year(text) {
        return true;
    }
    if text.chars().count() > 60 {
        return false;
    }
    let lower = text.to_lowercase();
    PERIOD_WORDS.iter().any(|word| lower.contains(word))
        || names_month(&lower)
        || matches!(lower.trim(), "%" | "$")
}

/// Whether the cell is only a currency or an opening mark that belongs to the number
/// right of it.
pub(crate) fn opens_number(text: &str) -> bool {
    matches!(
        text.trim(),
        "$" | "€"
            | "£"
            | "¥"
            | "("
            | "$("
            | "($"
            | "US$"
            | "C$"
            | "A$"
            | "R$"
            | "HK$"
            | "RMB"
            | "€("
            | "£("
            | "$ ("
            | "-$"
    )
}

/// Whether the cell is only a closing mark that belongs to the number left of it. A bracketed
/// number is none: it may be a negative figure of its own.
pub(crate) fn closes_number(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.len() > 8 {
        return false;
    }
    matches!(
        text,
        ")" | "%"
            | ")%"
            | "%)"
            | ") %"
            | "% )"
            | "pts"
            | ")pts"
            | "bps"
            | ")bps"
            | "pp"
            | "x"
            | "*"
            | "**"
            | "†"
            | "‡"
            | "]"
    ) || is_mark(text)
}

/// A footnote's mark: `(a)`, `)(a)`.
fn is_mark(text: &str) -> bool {
    let mark = text.trim_start_matches([')', '%', ' ']).as_bytes();
    matches!(mark, [b'(', letter, b')'] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_years_and_periods_are_told_apart() {
        for figure in ["$66,613", "(1,234)", "12.5%", "—", "$ —", "3.5x", "12 bps", "-7", "N/A"]
        {
            assert!(is_figure(figure), "{figure}");
        }
        for other in [
            "2024",
            "June 28, 2025",
            "Net sales",
            "",
            "Item 7",
            "10-K/A",
            "Mar. 29, 2025",
            "01/02/2024",
        ] {
            assert!(!is_figure(other), "{other}");
        }
        assert!(is_period("Three Months Ended") && is_period("2024(1)") && is_period("% Change"));
        assert!(closes_number(")%") && closes_number("(a)") && !closes_number("(2)"));
    }
}
