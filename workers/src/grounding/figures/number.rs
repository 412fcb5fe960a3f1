//! Reads the figures of a text: amounts, shares, counts, with their sign, currency, unit
//! and scale word. Numbers that are names (`10-Q`, `Note 5`, `[1]`) are none.

use super::names;
use super::shape;
use super::units::{self, Unit};

/// How a figure shows its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// None is written.
    Plain,
    /// `-5` or `−5`.
    Minus,
    /// `+5`.
    Plus,
    /// `(5)`: negative in a table, perhaps only an aside in a sentence.
    Bracketed,
}

/// How exact a figure claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Its digits are right as they are.
    Exact,
    /// "About".
    About,
    /// "Over", "more than".
    Over,
    /// "Under", "almost", "nearly".
    Under,
}

/// A figure as a text writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// The first byte of what is shown: sign, currency, brackets.
    pub(super) start: usize,
    /// One past its last byte: scale word, unit.
    pub(super) end: usize,
    /// The number without its sign and before its scale.
    pub(super) value: f64,
    /// The weight of its last digit.
    pub(super) step: f64,
    /// Digits after the decimal mark.
    pub(super) decimals: u32,
    /// The sign.
    pub(super) sign: Sign,
    /// What it counts, where it says so itself.
    pub(super) unit: Unit,
    /// The power of ten of its scale word.
    pub(super) scale: Option<i32>,
    /// How exact it claims to be.
    pub(super) claim: Claim,
}

/// The figures of a text, in order. A year that stands alone is among them: who reads
/// times leaves it out.
pub(super) fn numbers(text: &str) -> Vec<Number> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let fraction = bytes[at] == b'.'
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && !at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
        if !bytes[at].is_ascii_digit() && !fraction {
            at += 1;
            continue;
        }
        let shape =
            if fraction { shape_of_fraction(&text[at..]) } else { shape::read(&text[at..]) };
        let Some(shape) = shape else {
            at += run_of_name(&text[at..]);
            continue;
        };
        let end = at + shape.len;
        if names::is_name(text, at, end) {
            at = end;
            continue;
        }
        let number = dress(text, at, shape);
        at = number.end.max(end);
        found.push(number);
    }
    apart(found)
}

/// Numbers in order, none of which takes what belongs to the one before: in `5€-6` the
/// sign is the second one's, the currency the first one's.
pub(super) fn apart(mut numbers: Vec<Number>) -> Vec<Number> {
    numbers.sort_by_key(|number| (number.start, number.end));
    let mut floor = 0;
    numbers.retain_mut(|number| {
        number.start = number.start.max(floor);
        let whole = number.start < number.end;
        floor = floor.max(number.end);
        whole
    });
    numbers
}

/// `.5` is a half.
fn shape_of_fraction(text: &str) -> Option<shape::Shape> {
    let digits = text[1..].bytes().take_while(u8::is_ascii_digit).count();
    let decimals = u32::try_from(digits).ok().filter(|digits| *digits < 20)?;
    Some(shape::Shape {
        len: digits + 1,
        value: format!("0{}", &text[..=digits]).parse().ok()?,
        step: 10_f64.powi(-i32::try_from(decimals).ok()?),
        decimals,
    })
}

/// The length of digits and marks that are no number, at least one.
fn run_of_name(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')).count().max(1)
}

/// The figure with what stands around its digits.
fn dress(text: &str, digits: usize, shape: shape::Shape) -> Number {
    let digits_end = digits + shape.len;
    let before = units::before(text, digits);
    let after = units::after(text, digits_end);
    let mut start = before.start;
    let mut end = after.end;
    let mut sign = before.sign;
    // The closing bracket may stand before the scale or the unit: `(5)%`, `(5) million`.
    let opened = text[..start].trim_end_matches(' ').strip_suffix('(').map(str::len);
    let inner_opened = before.bracket;
    // `(119 )`: a space may stand before the closing bracket.
    let closing = |at: usize| {
        let rest = &text[at..];
        if rest.starts_with(')') { Some(at) } else { rest.starts_with(" )").then_some(at + 1) }
    };
    let mut unit = if after.unit == Unit::None { before.unit } else { after.unit };
    let mut scale = after.scale;
    if inner_opened || opened.is_some() {
        let open = if inner_opened { start } else { opened.unwrap_or(start) };
        if let Some(close) = closing(end) {
            sign = Sign::Bracketed;
            start = start.min(open);
            let more = units::after(text, close + 1);
            end = more.end.max(close + 1);
            scale = scale.or(more.scale);
            if unit == Unit::None || more.unit != Unit::None && !unit.is_money() {
                unit = if more.unit == Unit::None { unit } else { more.unit };
            }
        } else if inner_opened {
            // A bracket that does not close after the figure belongs to the sentence.
            start = before.inner_start;
        }
    }
    Number {
        start,
        end,
        value: shape.value,
        step: shape.step,
        decimals: shape.decimals,
        sign,
        unit,
        scale,
        claim: names::claim(&text[..start]),
    }
}

/// The counts that a text writes in words: `three customers`. Only what a document says
/// is read so; in an answer "one of them" is no figure.
pub(super) fn word_numbers(text: &str) -> Vec<Number> {
    const WORDS: [&str; 20] = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    let mut found = Vec::new();
    for token in super::words::tokens(text) {
        let word = token.of(text);
        if word.len() > 9 || !word.is_ascii() {
            continue;
        }
        let Some(place) = WORDS.iter().position(|known| word.eq_ignore_ascii_case(known)) else {
            continue;
        };
        let after = units::after(text, token.end);
        found.push(Number {
            start: token.start,
            end: after.end,
            value: (place + 1) as f64,
            step: 1.0,
            decimals: 0,
            sign: Sign::Plain,
            unit: after.unit,
            scale: after.scale,
            claim: names::claim(&text[..token.start]),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        numbers(text).into_iter().map(|number| &text[number.start..number.end]).collect()
    }

    #[test]
    fn figures_are_read_with_what_belongs_to_them() {
        assert_eq!(
            texts("Sales of $82,959 million (up 12.4%), a 10-Q for Q3, ($1,211) and €−119m [1]."),
            ["$82,959 million", "12.4%", "($1,211)", "€−119m"]
        );
        assert_eq!(
            texts("rose 25 basis points to 3.5x, or USD 1.2 bn"),
            ["25 basis points", "3.5x", "USD 1.2 bn"]
        );
        assert_eq!(texts("1. First, see Note 5 and Section 3.2\n2) B7 and 401(k)"), [""; 0]);
        assert_eq!(
            texts("$(9,982), (5)% and 1,5 percentage points"),
            ["$(9,982)", "(5)%", "1,5 percentage points"]
        );
    }

    #[test]
    fn signs_units_and_scales_are_told() {
        let read = |text: &str| numbers(text)[0];
        assert_eq!(read("$(9,982)").sign, Sign::Bracketed);
        assert_eq!(read("-5%").sign, Sign::Minus);
        assert_eq!(read("2018-19 5").sign, Sign::Plain);
        assert_eq!(read("82.9 billion").scale, Some(9));
        assert_eq!(read("$3.5M").scale, Some(6));
        assert_eq!(read("4 bps").unit, Unit::BasisPoints);
        assert_eq!(read("about 5").claim, Claim::About);
        assert_eq!(word_numbers("three of them, two million").len(), 2);
    }
}
