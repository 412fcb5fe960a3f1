//! Which times does a text speak of?
//!
//! Read from questions, table headers and captions alike, so that the two can be
//! compared: "nine months ended June 25, 2022", "third quarter of fiscal year 2024".

use chrono::{Datelike, NaiveDate};

use super::calendar;

/// The times that a text speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Periods {
    /// Lengths in months: 3 for a quarter, 12 for a year.
    pub months: Vec<u8>,
    /// Whole dates.
    pub dates: Vec<NaiveDate>,
    /// Months of a year that stand without a day.
    pub year_months: Vec<(i32, u32)>,
    /// Days of a month that stand without a year, as a table's header splits them.
    pub month_days: Vec<(u32, u32)>,
    /// Years, those of the dates included.
    pub years: Vec<i32>,
    /// Quarters by number, 1 to 4.
    pub quarters: Vec<u8>,
    /// Whether the years are fiscal ones, which may end in the calendar year before.
    pub fiscal: bool,
}

/// How the times of a place fit those of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The place speaks of another time.
    Contradicts,
    /// The place or the question speaks of no time.
    Silent,
    /// Something fits and nothing contradicts.
    Fits,
}

impl Periods {
    /// Reads the times of a text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        if !text.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_alphabetic()) {
            return found;
        }
        let words = words(text);
        let mut at = 0;
        while at < words.len() {
            at += found.take(&words[at..]);
        }
        found
    }

    /// Whether the text spoke of no time at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How the length of a place's period fits the question's.
    #[must_use]
    pub fn length_fit(&self, place: &Self) -> Fit {
        if self.months.is_empty() || place.months.is_empty() {
            Fit::Silent
        } else if self.months.iter().any(|months| place.months.contains(months)) {
            Fit::Fits
        } else {
            Fit::Contradicts
        }
    }

    /// How the dates of a place fit the question's: the day where both tell one, else
    /// the month, else the year.
    #[must_use]
    pub fn date_fit(&self, place: &Self) -> Fit {
        let day_of = |date: &NaiveDate| (date.month(), date.day());
        if !self.dates.is_empty() {
            if !place.dates.is_empty() {
                return fit(self.dates.iter().any(|date| place.dates.contains(date)));
            }
            if !place.month_days.is_empty() {
                let days = self.dates.iter().map(day_of);
                let year = place.years.is_empty()
                    || self.years.iter().any(|year| place.years.contains(year));
                return fit(year && days.into_iter().any(|day| place.month_days.contains(&day)));
            }
        }
        let tells_month = !place.dates.is_empty() || !place.year_months.is_empty();
        if tells_month && !self.year_months.is_empty() {
            let months = place.dates.iter().map(|date| (date.year(), date.month()));
            let mut months = months.chain(place.year_months.iter().copied());
            return fit(months.any(|month| self.year_months.contains(&month)));
        }
        if self.years.is_empty() || place.years.is_empty() {
            return Fit::Silent;
        }
        if self.years.iter().any(|year| place.years.contains(year)) {
            return Fit::Fits;
        }
        // Quarters of fiscal 2024 may lie in 2023.
        let shifted =
            self.fiscal && self.years.iter().any(|year| place.years.contains(&(year - 1)));
        if shifted { Fit::Silent } else { Fit::Contradicts }
    }

    /// How the quarter that a question names fits a place's dates, for calendar quarters.
    #[must_use]
    pub fn quarter_fit(&self, place: &Self) -> Fit {
        if self.quarters.is_empty() {
            return Fit::Silent;
        }
        if !place.quarters.is_empty() {
            return fit(self.quarters.iter().any(|quarter| place.quarters.contains(quarter)));
        }
        Fit::Silent
    }

    /// The words of one time at the front; how many words were read, at least one.
    fn take(&mut self, words: &[Word]) -> usize {
        let word = &words[0];
        let next = |offset: usize| words.get(offset).map_or("", Word::text);
        if let Some(month) = calendar::month(word.text()) {
            return self.take_month(month, words);
        }
        if let Some(count) = calendar::count(word.text()) {
            let unit = next(1);
            if unit.starts_with("month") {
                push(&mut self.months, count);
                return 2;
            }
            if unit.starts_with("week") {
                if let Some(months) = calendar::months_of_weeks(count) {
                    push(&mut self.months, months);
                }
                return 2;
            }
        }
        if let Some(quarter) = calendar::ordinal(word.text())
            && matches!(next(1), "quarter" | "fiscal")
            && (next(1) == "quarter" || next(2) == "quarter")
        {
            push(&mut self.quarters, quarter);
            push(&mut self.months, 3);
            return 2;
        }
        self.take_word(word, next(1), words)
    }

    fn take_word(&mut self, word: &Word, next: &str, words: &[Word]) -> usize {
        match word.text() {
            "q1" | "1q" => self.take_quarter(1),
            "q2" | "2q" => self.take_quarter(2),
            "q3" | "3q" => self.take_quarter(3),
            "q4" | "4q" => self.take_quarter(4),
            "quarter" | "quarters" | "quarterly" => push(&mut self.months, 3),
            "year" | "years" if matches!(next, "ended" | "ending") => push(&mut self.months, 12),
            "fiscal" if next.starts_with("quarter") => self.fiscal = true,
            "fiscal" if next == "year" || next == "years" || is_year(next).is_some() => {
                self.fiscal = true;
                // "The third quarter of fiscal year 2024" is not a year long.
                if self.quarters.is_empty() {
                    push(&mut self.months, 12);
                }
                if is_year(next).is_none() {
                    return 2;
                }
            }
            "annual" | "annually" => push(&mut self.months, 12),
            text => {
                if let Some(read) = self.take_slashed(words) {
                    return read;
                }
                if let Some(year) = is_year(text) {
                    return self.take_year(year, words);
                }
                if let Some(year) = text.strip_prefix("fy").and_then(fiscal_year) {
                    self.fiscal = true;
                    push(&mut self.years, year);
                    if self.quarters.is_empty() {
                        push(&mut self.months, 12);
                    }
                }
            }
        }
        1
    }

    /// `09/15/2015`, month first as American filings write it.
    fn take_slashed(&mut self, words: &[Word]) -> Option<usize> {
        let [month, day, year, ..] = words else { return None };
        if month.joined != Some('/') || day.joined != Some('/') {
            return None;
        }
        let (month, day) = (month.text().parse().ok()?, day.text().parse().ok()?);
        let date = NaiveDate::from_ymd_opt(is_year(year.text())?, month, day)?;
        push(&mut self.dates, date);
        push(&mut self.years, date.year());
        Some(3)
    }

    fn take_quarter(&mut self, quarter: u8) {
        push(&mut self.quarters, quarter);
        push(&mut self.months, 3);
    }

    /// `2025-03-29`, `2022Q3` (parted by the reader into two words), or a year alone.
    fn take_year(&mut self, year: i32, words: &[Word]) -> usize {
        push(&mut self.years, year);
        if let [_, month, day, ..] = words
            && words[0].joined == Some('-')
            && month.joined == Some('-')
            && let (Ok(month), Ok(day)) = (month.text().parse(), day.text().parse())
            && let Some(date) = NaiveDate::from_ymd_opt(year, month, day)
        {
            push(&mut self.dates, date);
            return 3;
        }
        1
    }

    fn take_month(&mut self, month: u32, words: &[Word]) -> usize {
        let number = |at: usize| words.get(at).map_or("", Word::text);
        if let Some(year) = is_year(number(1)) {
            push(&mut self.year_months, (year, month));
            push(&mut self.years, year);
            return 2;
        }
        let Some(day) = number(1).parse::<u32>().ok().filter(|day| (1..=31).contains(day)) else {
            return 1;
        };
        match is_year(number(2)).and_then(|year| NaiveDate::from_ymd_opt(year, month, day)) {
            Some(date) => {
                push(&mut self.dates, date);
                push(&mut self.years, date.year());
                3
            }
            None => {
                push(&mut self.month_days, (month, day));
                2
            }
        }
    }
}

fn fit(fits: bool) -> Fit {
    if fits { Fit::Fits } else { Fit::Contradicts }
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// A lower-case word and the character that joins it to the next one directly. Words
/// are kept in place: a ranking reads thousands of them, and no word of a time is longer.
struct Word {
    letters: [u8; LONGEST_WORD],
    length: usize,
    joined: Option<char>,
}

/// `september` and `quarterly`, and some to spare.
const LONGEST_WORD: usize = 12;

impl Word {
    /// A word; one that is too long to speak of a time is empty.
    fn new(word: &str, joined: Option<char>) -> Self {
        let mut letters = [0; LONGEST_WORD];
        let mut length = 0;
        if let Some(place) = letters.get_mut(..word.len()) {
            place.copy_from_slice(word.as_bytes());
            place.make_ascii_lowercase();
            length = word.len();
        }
        Self { letters, length, joined }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::with_capacity(text.len() / 5);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let mut following = after.chars();
        let joined =
            following.next().filter(|_| following.next().is_some_and(|c| c.is_ascii_digit()));
        // `2022Q3` of a file name.
        match word.split_at_checked(4) {
            Some((year, quarter)) if is_year(year).is_some() && quarter.starts_with(['q', 'Q']) => {
                words.push(Word::new(year, None));
                words.push(Word::new(quarter, joined));
            }
            _ => words.push(Word::new(word, joined)),
        }
        rest = after;
    }
    words
}

fn is_year(word: &str) -> Option<i32> {
    (word.len() == 4)
        .then(|| word.parse().ok())
        .flatten()
        .filter(|year| (1900..2100).contains(year))
}

fn fiscal_year(word: &str) -> Option<i32> {
    match word.len() {
        2 => word.parse::<i32>().ok().map(|year| 2000 + year),
        4 => is_year(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).expect("a date")
    }

    #[test]
    fn lengths_and_dates_are_read() {
        let read = Periods::read("Three Months Ended June 25, 2022");
        assert_eq!(read.months, [3]);
        assert_eq!(read.dates, [day(2022, 6, 25)]);
        assert_eq!(read.years, [2022]);
        assert_eq!(Periods::read("3 Months Ended Mar. 29, 2025").dates, [day(2025, 3, 29)]);
        assert_eq!(
            Periods::read("2024-10-01,2025-03-29").dates,
            [day(2024, 10, 1), day(2025, 3, 29)]
        );
        assert_eq!(Periods::read("09/15/2015 to 1/2/99").dates, [day(2015, 9, 15)]);
        assert_eq!(Periods::read("in September 2015").year_months, [(2015, 9)]);
    }

    #[test]
    fn a_quarter_of_a_fiscal_year_is_three_months() {
        let read = Periods::read("in the third quarter of fiscal year 2024");
        assert_eq!((read.months.as_slice(), read.quarters.as_slice()), (&[3][..], &[3][..]));
        assert_eq!(read.years, [2024]);
        assert_eq!(Periods::read("AAPL_10Q_2022Q3.pdf").quarters, [3]);
        assert_eq!(Periods::read("fiscal year 2024").months, [12]);
    }

    #[test]
    fn a_fiscal_year_may_lie_in_the_calendar_year_before() {
        let asked = Periods::read("third quarter of fiscal year 2024");
        let place = |text| asked.date_fit(&Periods::read(text));
        assert_eq!(place("Three Months Ended October 29, 2023"), Fit::Silent);
        assert_eq!(place("Three Months Ended October 30, 2022"), Fit::Contradicts);
        assert_eq!(place("Q3 FY2024"), Fit::Fits);
    }

    #[test]
    fn another_length_or_day_contradicts() {
        let asked = Periods::read("nine months ended June 25, 2022");
        let three = Periods::read("Three Months Ended June 25, 2022");
        let before = Periods::read("Nine Months Ended June 26, 2021");
        assert_eq!(asked.length_fit(&three), Fit::Contradicts);
        assert_eq!(asked.date_fit(&three), Fit::Fits);
        assert_eq!(asked.date_fit(&before), Fit::Contradicts);
        assert_eq!(asked.date_fit(&Periods::read("Total net sales")), Fit::Silent);
    }
}
