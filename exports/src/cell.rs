//! Cells of tables: which are numbers, and which a spreadsheet would run.

/// How a number in a cell is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Its value; of `8.5%` 0.085.
    pub value: f64,
    /// Digits after the point, of the text.
    pub decimals: usize,
    /// Whether thousands are parted by commas.
    pub grouped: bool,
    /// Whether it is a percentage.
    pub percent: bool,
    /// Whether it stands in brackets, as accountants write what is negative.
    pub bracketed: bool,
    /// Whether a dollar sign stands before it.
    pub dollar: bool,
}

/// Spreadsheets keep fifteen digits: a number with more would be another one.
const DIGITS_MAX: usize = 15;

/// Reads a number as English accounts write it: `1,234.5`, `-3`, `(1,234)`, `8.5%`,
/// `$ 94,036`. None for whatever is not surely one: dates, `007`, `1.234,5`, `1e5`.
#[must_use]
pub fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    let (text, bracketed) = match text.strip_prefix('(').and_then(|it| it.strip_suffix(')')) {
        Some(inner) => (inner.trim(), true),
        None => (text, false),
    };
    let (text, minus) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (text, dollar) = match text.strip_prefix('$') {
        Some(rest) => (rest.trim_start(), true),
        None => (text, false),
    };
    let (text, percent) = match text.strip_suffix('%') {
        Some(rest) => (rest.trim_end(), true),
        None => (text, false),
    };
    if bracketed && minus || dollar && percent {
        return None;
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let grouped = whole.contains(',');
    let digits: String = if grouped {
        let mut groups = whole.split(',');
        let first = groups.next().filter(|first| (1..=3).contains(&first.len()))?;
        if !groups.all(|group| group.len() == 3) {
            return None;
        }
        debug_assert!(!first.is_empty());
        whole.replace(',', "")
    } else {
        whole.to_owned()
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || !plain(&digits) || !plain(fraction) || leading {
        return None;
    }
    if digits.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let mut value: f64 = format!("{digits}.{fraction}0").parse().ok()?;
    if percent {
        value /= 100.0;
    }
    if minus || bracketed {
        value = -value;
    }
    Some(Number { value, decimals: fraction.len(), grouped, percent, bracketed, dollar })
}

/// A cell of a CSV file: what a spreadsheet would take for a formula begins with an
/// apostrophe (OWASP, "CSV Injection"). Numbers stay readable, and so does a lone dash, which
/// stands for nothing in accounts and is no formula.
#[must_use]
pub fn harmless(text: &str) -> String {
    if is_dangerous(text) { format!("'{text}") } else { text.to_owned() }
}

fn is_dangerous(text: &str) -> bool {
    // Spreadsheets pass over what is blank before a formula, and in some languages read the
    // wide forms as the plain ones.
    let begins = |c: char| {
        matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
    };
    let shown = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let suspect = text.starts_with(begins) || shown.starts_with(begins);
    suspect && shown != "-" && !(shown.starts_with('-') && text == shown && number(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_accounts_write_them() {
        for (text, value) in [
            ("0", 0.0),
            ("94,036", 94_036.0),
            ("-1,234.50", -1_234.5),
            ("(1,234)", -1_234.0),
            ("8.5%", 0.085),
            ("(3) ", -3.0),
            ("$ 94,036", 94_036.0),
            ("-$5", -5.0),
            ("\u{2212}7", -7.0),
            ("2025", 2_025.0),
        ] {
            let read = number(text).map(|number| number.value);
            assert!(read.is_some_and(|read| (read - value).abs() < 1e-12), "{text}: {read:?}");
        }
        for text in [
            "",
            "-",
            "007",
            "1.234,5",
            "1,23",
            "12,3456",
            "1e5",
            "12/2025",
            "1 2",
            "--1",
            "+5",
            "1.",
            ".5",
            "(-1)",
            "=1",
            "1234567890123456",
            "NaN",
            "inf",
            "$5%",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn formulas_begin_with_an_apostrophe_and_numbers_do_not() {
        for text in [
            "=1+1",
            "+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            " =1",
            "\n=1",
            "-A1",
            "＝1",
            "--1",
            "=HYPERLINK(\"http://evil\")",
            "-1%+cmd|' /C calc'!A0",
            "\u{feff}=1",
            "- 1",
        ] {
            assert_eq!(harmless(text), format!("'{text}"), "{text:?}");
        }
        for text in ["-", "-1,234.5", "-8%", "-$3", "(1,234)", "text", "", "'=1", "a=b", "1-2"] {
            assert_eq!(harmless(text), text);
        }
    }
}
