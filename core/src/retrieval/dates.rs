//! Reads the day that a document speaks of out of its first pages.

use chrono::NaiveDate;

const MONTHS: [&str; 12] = [
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
];

/// Words after which a date is the one that a report is about.
const LEADS: [&str; 8] = [
    "period ended",
    "year ended",
    "quarter ended",
    "months ended",
    "as of",
    "as at",
    "date of report",
    "dated",
];

/// How far after such words the date may stand, in bytes.
const REACH: usize = 80;

/// The first date that follows a lead, or else the first date in the text.
pub(super) fn first_reporting_date(text: &str) -> Option<NaiveDate> {
    let lower = text.to_lowercase();
    let led = LEADS.iter().filter_map(|lead| {
        let at = lower.find(lead)? + lead.len();
        let mut end = (at + REACH).min(lower.len());
        while !lower.is_char_boundary(end) {
            end -= 1;
        }
        Some((at, first_date(&lower[at..end])?))
    });
    led.min_by_key(|(at, _)| *at).map(|(_, date)| date).or_else(|| first_date(&lower))
}

/// The first date of a lower-case text: `june 25, 2022`, `25 june 2022` or `2022-06-25`.
fn first_date(text: &str) -> Option<NaiveDate> {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '-'))
        .filter(|w| !w.is_empty())
        .collect();
    words.iter().enumerate().find_map(|(at, word)| {
        if let Ok(date) = NaiveDate::parse_from_str(word, "%Y-%m-%d") {
            return plausible(date);
        }
        let month = u32::try_from(MONTHS.iter().position(|month| month == word)? + 1).ok()?;
        let number = |offset: isize| -> Option<u32> {
            words.get(at.checked_add_signed(offset)?)?.parse().ok()
        };
        let american = number(1).zip(number(2));
        let european = number(-1).zip(number(1));
        [american, european].into_iter().flatten().find_map(|(day, year)| {
            plausible(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?)
        })
    })
}

fn plausible(date: NaiveDate) -> Option<NaiveDate> {
    use chrono::Datelike;
    (1900..=2200).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(i32, u32, u32)>) {
        let expected = expected.and_then(|(y, m, d)| NaiveDate::from_ymd_opt(y, m, d));
        assert_eq!(first_reporting_date(text), expected, "{text}");
    }

    #[test]
    fn the_reporting_date_is_read_from_a_cover_page() {
        check(
            "Filed July 29, 2022. For the quarterly period ended June 25, 2022 or",
            Some((2022, 6, 25)),
        );
        check("Report as at 31 December 2025", Some((2025, 12, 31)));
        check("holdings 2026-03-31", Some((2026, 3, 31)));
        check("no date, only May 12 and 2022", None);
    }
}
