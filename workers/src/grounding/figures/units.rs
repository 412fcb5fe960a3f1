//! What stands before and after the digits of a figure: sign, currency, scale, unit.

use super::number::Sign;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nothing is said.
    None,
    /// Hundredths.
    Percent,
    /// Percentage points: the difference of two shares.
    Points,
    /// Hundredths of a percentage point.
    BasisPoints,
    /// Money, by the code of its currency; `$` alone is `USD` and may be any dollar.
    Money(Currency),
    /// `3.5x`, `3.5 times`.
    Times,
    /// Shares of a company.
    Shares,
}

/// A currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Currency {
    /// `$`: any dollar.
    AnyDollar,
    /// One by its code.
    Code([u8; 3]),
}

impl Unit {
    /// Whether it is money.
    pub(super) fn is_money(self) -> bool {
        matches!(self, Self::Money(_))
    }

    /// Whether it is a share of something: percent, or points of one.
    pub(super) fn is_share(self) -> bool {
        matches!(self, Self::Percent | Self::Points | Self::BasisPoints)
    }
}

impl Currency {
    /// Whether both may be the same money.
    pub(super) fn may_be(self, other: Self) -> bool {
        let is_dollar = |currency: Self| match currency {
            Self::AnyDollar => true,
            Self::Code(code) => {
                matches!(&code, b"USD" | b"CAD" | b"AUD" | b"HKD" | b"SGD" | b"NZD")
            }
        };
        self == other
            || (self == Self::AnyDollar && is_dollar(other))
            || (other == Self::AnyDollar && is_dollar(self))
    }
}

/// Currencies as they are written, longest first.
const CURRENCIES: [(&str, Currency); 31] = [
    ("US dollars", Currency::Code(*b"USD")),
    ("U.S. dollars", Currency::Code(*b"USD")),
    ("dollars", Currency::AnyDollar),
    ("dollar", Currency::AnyDollar),
    ("euros", Currency::Code(*b"EUR")),
    ("euro", Currency::Code(*b"EUR")),
    ("pounds", Currency::Code(*b"GBP")),
    ("yen", Currency::Code(*b"JPY")),
    ("yuan", Currency::Code(*b"CNY")),
    ("rupees", Currency::Code(*b"INR")),
    ("US$", Currency::Code(*b"USD")),
    ("HK$", Currency::Code(*b"HKD")),
    ("A$", Currency::Code(*b"AUD")),
    ("C$", Currency::Code(*b"CAD")),
    ("S$", Currency::Code(*b"SGD")),
    ("NZ$", Currency::Code(*b"NZD")),
    ("R$", Currency::Code(*b"BRL")),
    ("RMB", Currency::Code(*b"CNY")),
    ("CNY", Currency::Code(*b"CNY")),
    ("USD", Currency::Code(*b"USD")),
    ("EUR", Currency::Code(*b"EUR")),
    ("GBP", Currency::Code(*b"GBP")),
    ("JPY", Currency::Code(*b"JPY")),
    ("CHF", Currency::Code(*b"CHF")),
    ("INR", Currency::Code(*b"INR")),
    ("$", Currency::AnyDollar),
    ("€", Currency::Code(*b"EUR")),
    ("£", Currency::Code(*b"GBP")),
    ("¥", Currency::Code(*b"JPY")),
    ("₹", Currency::Code(*b"INR")),
    ("₩", Currency::Code(*b"KRW")),
];

/// What stands before the digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The first byte of sign, currency and an opening bracket among them.
    pub(super) start: usize,
    /// The first byte of what follows that bracket.
    pub(super) inner_start: usize,
    /// Whether a bracket stands between the currency and the digits: `$(5)`.
    pub(super) bracket: bool,
    /// The sign.
    pub(super) sign: Sign,
    /// The currency, if one stands there.
    pub(super) unit: Unit,
}

/// Reads backwards from the digits.
pub(super) fn before(text: &str, digits: usize) -> Before {
    let mut found = Before {
        start: digits,
        inner_start: digits,
        bracket: false,
        sign: Sign::Plain,
        unit: Unit::None,
    };
    // At most one of each, in any order: `-$5`, `$-5`, `$ (5`, `€−119`.
    for _ in 0..3 {
        let head = &text[..found.start];
        let near = head.strip_suffix([' ', '\u{a0}']).unwrap_or(head);
        if found.unit == Unit::None
            && let Some((written, currency)) = currency_at_end(near)
        {
            found.start = near.len() - written.len();
            if !found.bracket {
                found.inner_start = found.start;
            }
            found.unit = Unit::Money(currency);
            continue;
        }
        if found.sign == Sign::Plain
            && let Some(mark) = head.chars().next_back()
            && let Some(sign) = sign_of(mark)
            && is_sign(&head[..head.len() - mark.len_utf8()])
        {
            found.start -= mark.len_utf8();
            if !found.bracket {
                found.inner_start = found.start;
            }
            found.sign = sign;
            continue;
        }
        // A bracket inside: only after a currency.
        if found.unit == Unit::None
            && !found.bracket
            && let Some(outside) = head.strip_suffix('(')
            && currency_at_end(outside.strip_suffix(' ').unwrap_or(outside)).is_some()
        {
            found.bracket = true;
            found.start = outside.len();
            continue;
        }
        break;
    }
    found
}

fn sign_of(mark: char) -> Option<Sign> {
    match mark {
        '-' | '\u{2212}' | '\u{2013}' | '\u{2010}' | '\u{2011}' => Some(Sign::Minus),
        '+' => Some(Sign::Plus),
        _ => None,
    }
}

/// Whether a dash after this text is a sign: no word or number is joined by it.
fn is_sign(before: &str) -> bool {
    match before.chars().next_back() {
        None => true,
        Some(c) => !c.is_alphanumeric() && !matches!(c, '-' | '%' | ')' | ']' | '.'),
    }
}

fn currency_at_end(text: &str) -> Option<(&'static str, Currency)> {
    CURRENCIES.iter().skip(10).copied().find(|(written, _)| {
        text.ends_with(written)
            && (!written.starts_with(|c: char| c.is_ascii_alphabetic())
                || !text[..text.len() - written.len()].ends_with(|c: char| c.is_alphanumeric()))
    })
}

/// The currency that a text names first, in a caption or a cell.
pub(super) fn currency_in(text: &str) -> Option<Currency> {
    CURRENCIES
        .iter()
        .filter_map(|(written, currency)| {
            let at = find_word(text, written)?;
            Some((at, std::cmp::Reverse(written.len()), *currency))
        })
        .min_by_key(|(at, len, _)| (*at, *len))
        .map(|(_, _, currency)| currency)
}

/// Where a word stands that no letter prolongs.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let letters = word.starts_with(|c: char| c.is_ascii_alphabetic());
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let end = at + word.len();
        let prolonged = letters && text[..*at].ends_with(|c: char| c.is_alphanumeric());
        let goes_on = word.ends_with(|c: char| c.is_ascii_alphabetic())
            && text[end..].starts_with(|c: char| c.is_alphabetic());
        !prolonged && !goes_on
    })
}

/// What stands after the digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct After {
    /// One past the last byte of it.
    pub(super) end: usize,
    /// The power of ten of a scale word.
    pub(super) scale: Option<i32>,
    /// The unit.
    pub(super) unit: Unit,
}

const SCALES: [(&str, i32); 21] = [
    ("thousands", 3),
    ("thousand", 3),
    ("millions", 6),
    ("million", 6),
    ("billions", 9),
    ("billion", 9),
    ("trillions", 12),
    ("trillion", 12),
    ("lakhs", 5),
    ("lakh", 5),
    ("crores", 7),
    ("crore", 7),
    ("mln", 6),
    ("mn", 6),
    ("mm", 6),
    ("m", 6),
    ("bn", 9),
    ("b", 9),
    ("tn", 12),
    ("k", 3),
    ("t", 12),
];

/// Reads forwards from the digits: a scale word, then a unit.
pub(super) fn after(text: &str, digits_end: usize) -> After {
    let mut found = After { end: digits_end, scale: None, unit: Unit::None };
    if let Some((len, scale)) = scale_at(&text[found.end..]) {
        found.scale = Some(scale);
        found.end += len;
    }
    if let Some((len, unit)) = unit_at(&text[found.end..]) {
        found.unit = unit;
        found.end += len;
    }
    found
}

fn scale_at(text: &str) -> Option<(usize, i32)> {
    let (gap, rest) = gap(text);
    let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
    if word.is_empty() || rest[word.len()..].starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let (written, scale) = SCALES.iter().find(|(written, _)| word.eq_ignore_ascii_case(written))?;
    // One letter is a scale only where it touches the digits, or as a capital.
    let short = written.len() == 1;
    if short && gap > 0 && !word.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    if short && *written == "t" && gap > 0 {
        return None;
    }
    Some((gap + word.len(), *scale))
}

/// A space, a dash before a word (`5-million`), or nothing.
fn gap(text: &str) -> (usize, &str) {
    for mark in [' ', '\u{a0}', '\u{202f}', '-'] {
        if let Some(rest) = text.strip_prefix(mark) {
            return (mark.len_utf8(), rest);
        }
    }
    (0, text)
}

const UNITS: [(&str, Unit); 14] = [
    ("percentage points", Unit::Points),
    ("percentage point", Unit::Points),
    ("percent", Unit::Percent),
    ("per cent", Unit::Percent),
    ("pct", Unit::Percent),
    ("ppts", Unit::Points),
    ("ppt", Unit::Points),
    ("pts", Unit::Points),
    ("pp", Unit::Points),
    ("basis points", Unit::BasisPoints),
    ("basis point", Unit::BasisPoints),
    ("bps", Unit::BasisPoints),
    ("bp", Unit::BasisPoints),
    ("times", Unit::Times),
];

fn unit_at(text: &str) -> Option<(usize, Unit)> {
    let (gap, rest) = gap(text);
    if let Some(after) = rest.strip_prefix('%') {
        let points = ["-points", " points", "-pts", " pts"];
        let more = points.iter().find(|points| after.starts_with(**points));
        return Some(match more {
            Some(points) => (gap + 1 + points.len(), Unit::Points),
            None => (gap + 1, Unit::Percent),
        });
    }
    if gap == 0 && (rest.starts_with('x') || rest.starts_with('×')) {
        let len = rest.chars().next().map_or(0, char::len_utf8);
        let ends = !rest[len..].starts_with(|c: char| c.is_alphanumeric());
        return ends.then_some((len, Unit::Times));
    }
    let starts = |word: &str| {
        rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric())
    };
    if let Some((word, unit)) = UNITS.iter().find(|(word, _)| starts(word)) {
        return Some((gap + word.len(), *unit));
    }
    if starts("shares") || starts("ordinary shares") || starts("common shares") {
        let len = if starts("shares") { 6 } else { rest.find("shares").map_or(0, |at| at + 6) };
        return Some((gap + len, Unit::Shares));
    }
    let (word, currency) = CURRENCIES.iter().find(|(word, _)| {
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.ends_with('$') {
            starts(word)
        } else {
            // `5 €`, but `5 $6` is two.
            rest.starts_with(word)
                && !rest[word.len()..]
                    .trim_start()
                    .starts_with(|c: char| c.is_ascii_digit() || c == '(')
        }
    })?;
    Some((gap + word.len(), Unit::Money(*currency)))
}
