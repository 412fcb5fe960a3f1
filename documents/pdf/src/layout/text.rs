//! What kind of thing does a piece of text say: a number, a year, a sentence?

/// Whether a cell's text is a value: a number with its signs, a date, a dash, "n/a".
pub(crate) fn is_value(text: &str) -> bool {
    if matches!(text, "—" | "–" | "-" | "--" | "—%" | "$—" | "$-" | "*" | "**" | "-*" | "…")
    {
        return true;
    }
    if matches!(text, "N/A" | "n/a" | "NA" | "NM" | "nm" | "N/M" | "n/m" | "N.M.") {
        return true;
    }
    if text.len() > 40 {
        return false;
    }
    let mut digits = 0;
    for character in text.chars() {
        match character {
            '0'..='9' => digits += 1,
            '$' | '€' | '£' | '¥' | '(' | ')' | '%' | ',' | '.' | '-' | '–' | '—' | '+' | '*'
            | ' ' | '/' | '≥' | '≤' | '<' | '>' | '~' | '±' | '†' | ':' => {}
            _ => return false,
        }
    }
    digits > 0
}

/// Whether a cell's text is nothing but years.
pub(crate) fn is_years(text: &str) -> bool {
    let mut any = false;
    for part in text.split([' ', '-', '–', '/', ',']).filter(|part| !part.is_empty()) {
        let year = part.trim_end_matches(['*', ')']).trim_start_matches('(');
        if year.len() != 4
            || !(year.starts_with("19") || year.starts_with("20"))
            || year.parse::<u16>().is_err()
        {
            return false;
        }
        any = true;
    }
    any
}

/// Whether a line begins with the mark of a list's item.
pub(crate) fn begins_item(first_word: &str) -> bool {
    if matches!(
        first_word,
        "•" | "●"
            | "▪"
            | "◦"
            | "○"
            | "■"
            | "–"
            | "—"
            | "➢"
            | "✓"
            | "☐"
            | "☒"
            | "-"
            | "*"
    ) {
        return true;
    }
    let body = first_word.trim_start_matches('(').trim_end_matches([')', '.']);
    let closed = first_word.ends_with(')') || first_word.ends_with('.');
    closed
        && !body.is_empty()
        && body.len() <= 4
        && (body.len() <= 3 && body.chars().all(|c| c.is_ascii_digit() || c == '.')
            || body.len() == 1 && body.chars().all(char::is_alphabetic)
            || body.chars().all(|c| matches!(c, 'i' | 'v' | 'x')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_words() {
        for value in ["82,959", "$82,959", "(1,211)", "12.4%", "—", "09/11/2015", "≥4.8", "2022"]
        {
            assert!(is_value(value), "{value}");
        }
        for word in ["Total", "June 25,", "Q3", "$", "", "Note 3"] {
            assert!(!is_value(word), "{word}");
        }
        assert!(
            is_years("2022") && is_years("2021-2022") && !is_years("20.5") && !is_years("2,022")
        );
    }

    #[test]
    fn list_marks_are_known() {
        assert!(begins_item("•") && begins_item("(a)") && begins_item("1.") && begins_item("(iv)"));
        assert!(
            !begins_item("The")
                && !begins_item("(continued)")
                && !begins_item("Inc.")
                && !begins_item("2022).")
        );
    }
}
