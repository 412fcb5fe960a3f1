//! What number do digits with separators stand for? `1,234.5`, `1.234,5`, `1 234,5`,
//! `1'234` and `12,5` are read; where two readings are possible the English one holds,
//! since filings are mostly written so.

/// Digits as they are written, read as a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    /// One past the last byte, from the first digit on.
    pub(super) len: usize,
    /// The number.
    pub(super) value: f64,
    /// The weight of the last digit written: 0.1 for `82.9`, 1 for `82,959`.
    pub(super) step: f64,
    /// Digits after the decimal mark.
    pub(super) decimals: u32,
}

/// The longest run that is a number: more digits say nothing to a reader, and `f64`
/// would round them.
const LONGEST: usize = 30;

/// Reads the number that a text begins with. None where it is none: `3.2.1`, or longer
/// than any figure.
pub(super) fn read(text: &str) -> Option<Shape> {
    let run = run(text);
    let written = &text[..run];
    let marks: Vec<char> = written.chars().filter(|c| !c.is_ascii_digit()).collect();
    if marks.is_empty() {
        return shape(written, None, run);
    }
    let groups: Vec<&str> = written.split(|c: char| !c.is_ascii_digit()).collect();
    let last = groups.last().map_or(0, |group| group.len());
    let first_mark = marks[0];
    let last_mark = marks[marks.len() - 1];
    let inner = &groups[1..groups.len() - 1];
    let thousands = |groups: &[&str]| groups.iter().all(|group| group.len() == 3);
    // 1,23,456: groups of two before the last one of three.
    let lakhs = |groups: &[&str]| groups.iter().all(|group| (2..=3).contains(&group.len()));
    let head = groups[0].len();
    let is_grouped = head <= 3 && groups[0] != "0" && head > 0;
    if marks.iter().all(|mark| *mark == first_mark) {
        return match first_mark {
            ',' if last == 3 && lakhs(inner) && is_grouped => shape(written, None, run),
            ',' | '.' if marks.len() == 1 => shape(written, Some(first_mark), run),
            '.' if last == 3 && thousands(inner) && is_grouped => shape(written, None, run),
            ',' | '.' => None,
            _ if last == 3 && thousands(inner) && is_grouped => shape(written, None, run),
            // Two numbers that a space parts: the first one alone.
            _ => read(groups[0]),
        };
    }
    // Two sorts of marks: the last one is the decimal mark, the others part thousands.
    let once = marks.iter().filter(|mark| **mark == last_mark).count() == 1;
    let same = marks[..marks.len() - 1].iter().all(|mark| *mark == first_mark);
    if once
        && same
        && matches!(last_mark, ',' | '.')
        && is_grouped
        && (thousands(inner) || (first_mark == ',' && lakhs(inner)))
    {
        return shape(written, Some(last_mark), run);
    }
    None
}

/// How far digits and marks between digits go. A plain space parts thousands only where
/// groups of three follow and what is before it is a group too.
fn run(text: &str) -> usize {
    let mut end = 0;
    let mut spaced = false;
    for (at, character) in text.char_indices() {
        if character.is_ascii_digit() {
            end = at + 1;
            continue;
        }
        let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let after = at + character.len_utf8();
        let joins = match character {
            ',' | '.' => digits(after) > 0,
            '\'' | '\u{2019}' | '\u{a0}' | '\u{202f}' | '\u{2009}' => {
                digits(after) == 3 && at <= 3 + 4 * 6
            }
            ' ' => digits(after) == 3 && (spaced || is_spaced_number(text, at)),
            _ => false,
        };
        if !joins {
            break;
        }
        spaced |= character == ' ';
    }
    end
}

/// Whether `12 345 678` or `1 234,5` begins here: at least two groups after spaces, or
/// one and a decimal comma.
fn is_spaced_number(text: &str, space: usize) -> bool {
    if space == 0 || space > 3 || !text.bytes().take(space).all(|b| b.is_ascii_digit()) {
        return false;
    }
    let bytes = text.as_bytes();
    let mut at = space;
    let mut groups = 0;
    while bytes.get(at) == Some(&b' ') {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits != 3 {
            return false;
        }
        at += 4;
        groups += 1;
    }
    let decimal = bytes.get(at) == Some(&b',')
        && (1..=2).contains(&bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count());
    groups >= 2 || decimal
}

fn shape(written: &str, decimal: Option<char>, len: usize) -> Option<Shape> {
    if len > LONGEST {
        return None;
    }
    let (whole, fraction) = match decimal {
        Some(mark) => written.rsplit_once(mark)?,
        None => (written, ""),
    };
    let mut digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    if !fraction.is_empty() {
        digits.push('.');
        digits.push_str(fraction);
    }
    let decimals = u32::try_from(fraction.len()).ok()?;
    Some(Shape {
        len,
        value: digits.parse().ok()?,
        step: 10_f64.powi(-i32::try_from(decimals).ok()?),
        decimals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, value, len) in [
            ("1,234.5", 1234.5, 7),
            ("1.234,5", 1234.5, 7),
            ("1 234,5", 1234.5, 7),
            ("12 345 678", 12_345_678.0, 10),
            ("1\u{a0}234", 1234.0, 6),
            ("1'234", 1234.0, 5),
            ("12,5 %", 12.5, 4),
            ("0,125", 0.125, 5),
            ("1,234", 1234.0, 5),
            ("1.234", 1.234, 5),
            ("1.234.567", 1_234_567.0, 9),
            ("1,23,456", 123_456.0, 8),
            ("2019 123", 2019.0, 4),
            ("5. Next", 5.0, 1),
            ("82,959, and", 82_959.0, 6),
        ] {
            let shape = read(text).unwrap_or_else(|| panic!("{text}"));
            assert!((shape.value - value).abs() < 1e-9, "{text}: {}", shape.value);
            assert_eq!(shape.len, len, "{text}");
        }
        assert_eq!(read("3.2.1"), None);
    }
}
