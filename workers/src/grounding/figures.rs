//! Looks up every number of an answer in the passages that it cites.

use quaestor_core::model::{Figure, FigureStatus};

use super::Located;

/// A number as a text writes it, and its value in a form that compares.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number<'a> {
    text: &'a str,
    /// Digits without grouping, without zeros that say nothing.
    value: String,
}

/// Every number of the answer, each with the first citation whose passage (its rows or
/// sentences, and the header above them) holds it. Citation markers are no figures.
pub(crate) fn check_figures(answer: &str, located: &[Located]) -> Vec<Figure> {
    let held: Vec<(u32, Vec<String>)> = located
        .iter()
        .map(|Located { ordinal, passage, .. }| {
            let values = [&passage.text, &passage.header, &passage.section]
                .into_iter()
                .flat_map(|text| numbers(text))
                .map(|number| number.value)
                .collect();
            (*ordinal, values)
        })
        .collect();
    let mut figures: Vec<Figure> = Vec::new();
    for number in numbers(answer) {
        if figures.iter().any(|figure| figure.text == number.text) {
            continue;
        }
        let ordinal = held
            .iter()
            .find(|(_, values)| values.contains(&number.value))
            .map(|(ordinal, _)| *ordinal);
        let status =
            if ordinal.is_some() { FigureStatus::Supported } else { FigureStatus::Unsupported };
        figures.push(Figure { text: number.text.to_owned(), status, ordinal });
    }
    figures
}

/// The numbers of a text: `82,959`, `$61.8`, `(1,211)`, `12.4%`. Digits that belong to a
/// name (`10-Q`, `Q3`, `B7`) or to a marker (`[1]`) are none.
fn numbers(text: &str) -> Vec<Number<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len()
            && (bytes[at].is_ascii_digit()
                || (matches!(bytes[at], b',' | b'.')
                    && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)))
        {
            at += 1;
        }
        let before = text[..start].chars().next_back();
        let after = text[at..].chars().next();
        let in_name = before.is_some_and(char::is_alphabetic)
            || after.is_some_and(char::is_alphabetic)
            || (after == Some('-')
                && text[at + 1..].chars().next().is_some_and(char::is_alphabetic));
        let marker = before == Some('[') && after == Some(']');
        if in_name || marker {
            continue;
        }
        let shown_start = if matches!(before, Some('$' | '€' | '£')) {
            start - before.map_or(0, char::len_utf8)
        } else {
            start
        };
        let shown_end = if after == Some('%') { at + 1 } else { at };
        found.push(Number { text: &text[shown_start..shown_end], value: value(&text[start..at]) });
    }
    found
}

fn value(digits: &str) -> String {
    let plain: String = digits.chars().filter(|c| *c != ',').collect();
    let plain = plain.trim_start_matches('0');
    let plain =
        if plain.contains('.') { plain.trim_end_matches('0').trim_end_matches('.') } else { plain };
    if plain.is_empty() || plain.starts_with('.') { format!("0{plain}") } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        numbers(text).into_iter().map(|number| number.text).collect()
    }

    #[test]
    fn numbers_are_read_as_finance_writes_them() {
        assert_eq!(
            texts("Sales of $82,959 (up 12.4%), a 10-Q for Q3 2022, (1,211) [1]."),
            ["$82,959", "12.4%", "2022", "1,211"]
        );
        assert_eq!(value("1,234.50"), "1234.5");
        assert_eq!(value("0.50"), "0.5");
        assert_eq!(value("000"), "0");
    }
}
