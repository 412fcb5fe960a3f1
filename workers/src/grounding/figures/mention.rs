//! Reads the times that a text names, each with its place.

use quaestor_core::retrieval::calendar;

use super::period::Period;
use super::words::{Token, tokens};

/// A time and where the text names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// The first byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
    /// The time.
    pub(super) period: Period,
    /// The bytes of its part that digits write (`June 25, 2022`), if any does.
    pub(super) written: Option<(usize, usize)>,
}

/// All that a text names, as one time: what a column's name or a caption says. Where it
/// names several, only the years are kept, all of them.
pub(super) fn whole(text: &str) -> Period {
    let mut all = mentions(text).into_iter().map(|mention| mention.period);
    let Some(mut first) = all.next() else { return Period::default() };
    for next in all {
        if first.joins(&next) {
            first.join(next);
        } else if first.years.iter().any(|year| next.years.contains(year)) || next.years.is_empty()
        {
            first.months = first.months.or(next.months);
        } else {
            first.years.extend(next.years);
            (first.month, first.day, first.quarter) = (None, None, None);
        }
    }
    first
}

/// The times that a text names, in order.
pub(super) fn mentions(text: &str) -> Vec<Mention> {
    let lower = text.to_ascii_lowercase();
    let tokens = tokens(&lower);
    let mut found: Vec<Mention> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some((read, mention)) = take(&lower, &tokens[at..]) else {
            at += 1;
            continue;
        };
        at += read;
        if let Some(last) = found.last_mut()
            && last.period.joins(&mention.period)
            && is_joint(&lower[last.end..mention.start])
        {
            last.end = mention.end;
            last.written = match (last.written, mention.written) {
                // `fiscal 2019`, `third quarter of 2019`: the year is what is written.
                (Some(first), Some(second)) => Some((first.0, second.1)),
                (first, second) => first.or(second),
            };
            last.period.join(mention.period);
        } else {
            found.push(mention);
        }
    }
    found
}

/// Whether the words between two parts of a time hold them together.
fn is_joint(between: &str) -> bool {
    between.len() < 24
        && !between.contains(['\n', '|', ';', ':', '('])
        && between.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).all(
            |word| matches!(word, "of" | "the" | "ended" | "ending" | "fiscal" | "year" | "in"),
        )
        && between.matches(',').count() <= 1
}

/// Reads one part of a time at the front; how many tokens it took.
fn take(text: &str, tokens: &[Token]) -> Option<(usize, Mention)> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.of(text));
    let gap = |at: usize| match (tokens.get(at), tokens.get(at + 1)) {
        (Some(left), Some(right)) => &text[left.end..right.start],
        _ => "",
    };
    let mention = |count: usize, written: bool, period: Period| {
        let (start, end) = (tokens[0].start, tokens[count - 1].end);
        Some((count, Mention { start, end, period, written: written.then_some((start, end)) }))
    };
    let first = word(0);
    if let Some(month) = calendar::month(first) {
        return take_month(month, &word, &gap, &mention);
    }
    if let Some(read) = take_digits(text, tokens, &word, &gap, &mention) {
        return Some(read);
    }
    if let Some(count) = calendar::count(first) {
        let months = match word(1) {
            "month" | "months" => Some(count),
            "weeks" => calendar::months_of_weeks(count),
            _ => None,
        }
        .map(u32::from);
        if months.is_some() && matches!(word(2), "ended" | "ending" | "period" | "to") {
            return mention(2, false, Period { months, ..Period::default() });
        }
    }
    if let Some(quarter) = calendar::ordinal(first).map(u32::from)
        && (word(1) == "quarter" || (word(1) == "fiscal" && word(2) == "quarter"))
    {
        let count = if word(1) == "quarter" { 2 } else { 3 };
        let period = Period { quarter: Some(quarter), months: Some(3), ..Period::default() };
        return mention(count, false, period);
    }
    let prior = matches!(first, "prior" | "previous" | "last" | "preceding")
        && matches!(word(1), "year" | "fiscal" | "period" | "quarter");
    let ago = first == "year" && matches!(word(1), "earlier" | "ago" | "before");
    if prior || ago {
        return mention(2, false, Period { prior: true, ..Period::default() });
    }
    match first {
        "year" | "years" if matches!(word(1), "ended" | "ending") => {
            mention(1, false, Period { months: Some(12), ..Period::default() })
        }
        _ => take_short(first, &word, &mention),
    }
}

/// `Q3`, `3Q19`, `FY2019`, `FY19`, `fiscal 2019`.
fn take_short<'a>(
    first: &str,
    word: &impl Fn(usize) -> &'a str,
    mention: &impl Fn(usize, bool, Period) -> Option<(usize, Mention)>,
) -> Option<(usize, Mention)> {
    let bytes = first.as_bytes();
    let quarter = match bytes {
        [b'q', digit @ b'1'..=b'4', ..] | [digit @ b'1'..=b'4', b'q', ..] => {
            Some(u32::from(digit - b'0'))
        }
        _ => None,
    };
    if quarter.is_some() {
        let years = match &first[2..] {
            "" => Vec::new(),
            rest => vec![short_year(rest.strip_prefix("fy").unwrap_or(rest))?],
        };
        let months = Some(3);
        return mention(1, true, Period { quarter, months, years, ..Period::default() });
    }
    if let Some(rest) = first.strip_prefix("fy") {
        let (count, rest) = if rest.is_empty() { (2, word(1)) } else { (1, rest) };
        let year = short_year(rest)?;
        return mention(
            count,
            true,
            Period { years: vec![year], fiscal: true, ..Period::default() },
        );
    }
    if first == "fiscal" {
        let (count, rest) =
            if matches!(word(1), "year" | "years") { (3, word(2)) } else { (2, word(1)) };
        let year = year(rest)?;
        return mention(
            count,
            true,
            Period { years: vec![year], fiscal: true, ..Period::default() },
        );
    }
    None
}

fn take_month<'a>(
    month: u32,
    word: &impl Fn(usize) -> &'a str,
    gap: &impl Fn(usize) -> &'a str,
    mention: &impl Fn(usize, bool, Period) -> Option<(usize, Mention)>,
) -> Option<(usize, Mention)> {
    let month = Some(month);
    if let Some(year) = year(word(1)).filter(|_| gap(0).trim_matches([' ', '.', ',']).is_empty()) {
        return mention(2, true, Period { month, years: vec![year], ..Period::default() });
    }
    let day = day(word(1)).filter(|_| gap(0).trim_matches([' ', '.']).is_empty());
    let Some(day) = day else {
        // "may" and "march" are words too.
        let certain = !matches!(word(0), "may" | "march" | "mar" | "jun" | "sep" | "dec" | "oct");
        return if certain && word(0).len() > 3 {
            mention(1, false, Period { month, ..Period::default() })
        } else {
            None
        };
    };
    let day = Some(day);
    match year(word(2)).filter(|_| gap(1).trim_matches([' ', ',']).is_empty()) {
        Some(year) => {
            mention(3, true, Period { month, day, years: vec![year], ..Period::default() })
        }
        None => mention(2, true, Period { month, day, ..Period::default() }),
    }
}

/// `2019`, `2018/2019`, `2018/19`, `2025-03-29`, `09/15/2015`, `25 June 2022`.
fn take_digits<'a>(
    text: &str,
    tokens: &[Token],
    word: &impl Fn(usize) -> &'a str,
    gap: &impl Fn(usize) -> &'a str,
    mention: &impl Fn(usize, bool, Period) -> Option<(usize, Mention)>,
) -> Option<(usize, Mention)> {
    let number = |at: usize| word(at).parse::<u32>().ok();
    if let Some(first) = year(word(0)) {
        if is_amount(text, tokens[0]) {
            return None;
        }
        if gap(0) == "-"
            && gap(1) == "-"
            && let (Some(month @ 1..=12), Some(day @ 1..=31)) = (number(1), number(2))
        {
            let (month, day) = (Some(month), Some(day));
            return mention(
                3,
                true,
                Period { years: vec![first], month, day, ..Period::default() },
            );
        }
        if matches!(gap(0), "/" | "-" | "\u{2013}") {
            if let Some(last) = year(word(1)).filter(|last| first < *last && *last <= first + 10)
                && gap(0) != "/"
            {
                return mention(2, true, Period { years: vec![first, last], ..Period::default() });
            }
            let next = match (word(1).len(), gap(0)) {
                (4, "/") => year(word(1)),
                (2, _) => word(1).parse::<i32>().ok().map(|short| first / 100 * 100 + short),
                _ => None,
            };
            if let Some(last) = next.filter(|last| *last == first + 1) {
                let period = Period { years: vec![last], fiscal: true, ..Period::default() };
                return mention(2, true, period);
            }
        }
        return mention(1, true, Period { years: vec![first], ..Period::default() });
    }
    let leading = number(0).filter(|_| word(0).len() <= 2)?;
    if let Some(month) = calendar::month(word(1))
        && gap(0) == " "
        && (1..=31).contains(&leading)
    {
        // `25 June 2022`; without a year only a whole month's name will do.
        let (month, day) = (Some(month), Some(leading));
        if let Some(year) = year(word(2)).filter(|_| gap(1).trim_matches([' ', ',']).is_empty()) {
            return mention(3, true, Period { month, day, years: vec![year], ..Period::default() });
        }
        if word(1).len() > 3 {
            return mention(2, true, Period { month, day, ..Period::default() });
        }
    }
    let mark = gap(0);
    if matches!(mark, "/" | ".")
        && gap(1) == mark
        && let (Some(second), Some(year)) = (number(1), short_year(word(2)))
    {
        let (month, day) = match mark {
            "/" if leading <= 12 => (leading, second),
            _ => (second, leading),
        };
        if (1..=12).contains(&month) && (1..=31).contains(&day) {
            let (month, day) = (Some(month), Some(day));
            return mention(3, true, Period { month, day, years: vec![year], ..Period::default() });
        }
    }
    None
}

/// Whether four digits are money, a share or part of a longer number, and no year.
fn is_amount(text: &str, token: Token) -> bool {
    let before = text[..token.start].chars().next_back();
    let mut after = text[token.end..].chars();
    let (next, then) = (after.next(), after.next());
    matches!(before, Some('$' | '€' | '£' | '¥' | '.' | '#'))
        || (before == Some(',') && text[..token.start - 1].ends_with(|c: char| c.is_ascii_digit()))
        || next == Some('%')
        || (matches!(next, Some('.' | ',')) && then.is_some_and(|c| c.is_ascii_digit()))
        || [
            " million",
            " billion",
            " thousand",
            " trillion",
            " percent",
            " basis",
            " bps",
            " shares",
        ]
        .iter()
        .any(|unit| text[token.end..].starts_with(unit))
}

/// A year as it is written in full.
pub(super) fn year(word: &str) -> Option<i32> {
    (word.len() == 4)
        .then(|| word.parse().ok())
        .flatten()
        .filter(|year| (1900..2100).contains(year))
}

fn short_year(word: &str) -> Option<i32> {
    match word.len() {
        2 => word.parse::<i32>().ok().map(|short| 2000 + short),
        _ => year(word),
    }
}

fn day(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(['s', 't', 'h', 'n', 'd', 'r']);
    if word.len() > digits.len() + 2 {
        return None;
    }
    digits.parse().ok().filter(|day| (1..=31).contains(day))
}
