//! Timetables: a cron expression in a time zone, and the moments that it names.
//!
//! Where clocks are set forward, a time of the day that is left out is taken at the first moment
//! after the gap. Where they are set back, one that comes twice is taken the first time. That
//! holds for expressions that name their minutes and hours (`30 2 * * *`, `0,30 1-3 * * *`).
//! One with `*` or a step there (`*/15 * * * *`, `0 * * * *`) goes by the time that passes: it
//! is due in both of two hours of one name, and in none that is left out.

use std::fmt;
use std::str::FromStr;

use chrono::{TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// The longest expression and the longest name of a zone.
pub const MOST_CHARS: usize = 200;
/// So many times of the day are each looked for by themselves.
const MOST_TIMES: usize = 64;
/// How often a moment is looked for again that is not after the one before.
const LOOKS: usize = 8;

/// What is done about moments that passed while no process was there to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// It is run once, as soon as a process is there, however many moments have passed.
    #[default]
    RunOnce,
    /// The next moment is waited for.
    Skip,
}

impl Missed {
    /// What may be written, for people.
    pub const NAMES: &str = "`run_once` or `skip`";

    /// The name in rows, JSON and the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunOnce => "run_once",
            Self::Skip => "skip",
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Missed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::RunOnce, Self::Skip]
            .into_iter()
            .find(|missed| missed.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not {}", Self::NAMES))
    }
}

/// Why there is no such timetable. Each says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// The expression cannot be read.
    #[error(
        "`{cron}` is no cron expression ({why}): write five fields, the minute, hour, day of the \
         month, month and day of the week, such as `30 2 * * *` for each day at 02:30"
    )]
    Cron {
        /// The expression.
        cron: String,
        /// What is wrong with it.
        why: String,
    },
    /// No day is ever named by it.
    #[error(
        "`{cron}` never comes: no month has such a day; name one that there is, such as \
         `0 0 28 2 *`"
    )]
    Never {
        /// The expression.
        cron: String,
    },
    /// There is no such zone.
    #[error(
        "`{zone}` is no time zone: name one as the IANA database does, such as Europe/Zurich, \
         America/New_York or UTC"
    )]
    Zone {
        /// The name.
        zone: String,
    },
}

impl TimetableError {
    /// The field that is wrong: `cron` or `zone`.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Cron { .. } | Self::Never { .. } => "cron",
            Self::Zone { .. } => "zone",
        }
    }
}

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Timetable {
    zone: Tz,
    /// The expression, or one for each of the times of the day that it names.
    times: Vec<Cron>,
}

impl Timetable {
    /// Reads an expression of five fields and the name of a zone.
    ///
    /// # Errors
    /// What is wrong with either, and an expression that names no moment after `now`.
    pub fn new(cron: &str, zone: &str, now: Time) -> Result<Self, TimetableError> {
        let timetable = Self { zone: read_zone(zone)?, times: read_times(cron)? };
        match timetable.after(now) {
            Some(_) => Ok(timetable),
            None => Err(TimetableError::Never { cron: cron.to_owned() }),
        }
    }

    /// The first moment after `at`. None where the calendar ends before it.
    #[must_use]
    pub fn after(&self, at: Time) -> Option<Time> {
        self.times.iter().filter_map(|cron| next(cron, self.zone, at)).min()
    }

    /// The last moment after `after` and not after `until`.
    #[must_use]
    pub fn last(&self, after: Time, until: Time) -> Option<Time> {
        // What comes each minute is found in the last days, what comes each year is rare.
        for window in [TimeDelta::days(2), TimeDelta::days(400), until - after] {
            let from = until.checked_sub_signed(window).unwrap_or(after).max(after);
            let mut found = None;
            let mut next = self.after(from);
            while let Some(moment) = next.filter(|moment| *moment <= until) {
                found = Some(moment);
                next = self.after(moment);
            }
            if found.is_some() || from == after {
                return found;
            }
        }
        None
    }

    /// A moment as clocks of the zone show it: `2026-03-29 03:00 CEST`.
    #[must_use]
    pub fn shown(&self, at: Time) -> String {
        at.with_timezone(&self.zone).format("%F %R %Z").to_string()
    }
}

fn read_zone(zone: &str) -> Result<Tz, TimetableError> {
    zone.parse().map_err(|_| TimetableError::Zone { zone: short(zone) })
}

/// What is shown of a text that may be of any length.
fn short(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

fn read(parser: &CronParser, cron: &str) -> Result<Cron, TimetableError> {
    parser
        .parse(cron)
        .map_err(|error| TimetableError::Cron { cron: short(cron), why: error.to_string() })
}

fn read_times(cron: &str) -> Result<Vec<Cron>, TimetableError> {
    let wrong = |why: &str| TimetableError::Cron { cron: short(cron), why: why.to_owned() };
    if cron.chars().count() > MOST_CHARS {
        return Err(wrong("it is too long"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let whole = read(&parser, cron)?;
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let &[minutes, hours, day, month, weekday] = &fields[..] else {
        // A name such as `@daily`.
        return Ok(vec![whole]);
    };
    let (Some(minutes), Some(hours)) = (numbers(minutes), numbers(hours)) else {
        return Ok(vec![whole]);
    };
    if minutes.len() * hours.len() > MOST_TIMES {
        return Ok(vec![whole]);
    }
    let mut times = Vec::with_capacity(minutes.len() * hours.len());
    for hour in &hours {
        for minute in &minutes {
            times.push(read(&parser, &format!("{minute} {hour} {day} {month} {weekday}"))?);
        }
    }
    Ok(times)
}

/// The numbers of a field that names them: `5`, `0,30`, `1-3`. The parser has seen to it that
/// they are in bounds.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    for part in field.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
        found.extend(first..=last.min(59));
    }
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then_some(found)
}

fn next(cron: &Cron, zone: Tz, at: Time) -> Option<Time> {
    let mut from = at;
    for _ in 0..LOOKS {
        let found = cron.find_next_occurrence(&from.with_timezone(&zone), false).ok()?;
        let found = found.with_timezone(&Utc);
        if found > at {
            return Some(found);
        }
        from = from.checked_add_signed(TimeDelta::seconds(1))?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(text: &str) -> Time {
        text.parse().unwrap()
    }

    /// The moments in a span, as clocks of the zone show them.
    fn shown(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let (from, until) = (moment(from), moment(until));
        let timetable = Timetable::new(cron, zone, from).unwrap();
        let mut found = Vec::new();
        let mut at = from;
        while let Some(next) = timetable.after(at).filter(|next| *next <= until) {
            found.push(timetable.shown(next));
            at = next;
        }
        found
    }

    #[test]
    fn a_time_that_is_left_out_in_spring_is_taken_after_the_gap() {
        // 02:00 to 03:00 is not there on 2026-03-29 in Zurich.
        let span = ("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z");
        assert_eq!(
            shown("30 2 * * *", "Europe/Zurich", span.0, span.1),
            ["2026-03-28 02:30 CET", "2026-03-29 03:00 CEST", "2026-03-30 02:30 CEST"]
        );
        // On 2026-03-08 in New York. One of several times of the day is no exception.
        assert_eq!(
            shown(
                "30 2,14 * * *",
                "America/New_York",
                "2026-03-07T12:00:00Z",
                "2026-03-09T12:00:00Z"
            ),
            [
                "2026-03-07 14:30 EST",
                "2026-03-08 03:00 EDT",
                "2026-03-08 14:30 EDT",
                "2026-03-09 02:30 EDT"
            ]
        );
    }

    #[test]
    fn what_goes_by_the_hour_passes_over_the_gap() {
        assert_eq!(
            shown("30 * * * *", "Europe/Zurich", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"),
            ["2026-03-29 01:30 CET", "2026-03-29 03:30 CEST"]
        );
        assert_eq!(
            shown(
                "*/30 * * * *",
                "America/New_York",
                "2026-03-08T06:15:00Z",
                "2026-03-08T07:45:00Z"
            ),
            ["2026-03-08 01:30 EST", "2026-03-08 03:00 EDT", "2026-03-08 03:30 EDT"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_in_autumn_is_taken_once() {
        // 02:00 to 03:00 comes twice on 2026-10-25 in Zurich.
        assert_eq!(
            shown("30 2 * * *", "Europe/Zurich", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
            ["2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"]
        );
        // 01:00 to 02:00 on 2026-11-01 in New York.
        assert_eq!(
            shown(
                "0,30 1-2 * * *",
                "America/New_York",
                "2026-11-01T04:00:00Z",
                "2026-11-01T12:00:00Z"
            ),
            [
                "2026-11-01 01:00 EDT",
                "2026-11-01 01:30 EDT",
                "2026-11-01 02:00 EST",
                "2026-11-01 02:30 EST"
            ]
        );
        // Whoever looks between the two finds the next day's.
        let zurich = Timetable::new("30 2 * * *", "Europe/Zurich", moment("2026-01-01T00:00:00Z"));
        let next = zurich.unwrap().after(moment("2026-10-25T01:10:00Z"));
        assert_eq!(next, Some(moment("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn what_goes_by_the_hour_comes_in_both_hours_of_one_name() {
        assert_eq!(
            shown("0 * * * *", "Europe/Zurich", "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"),
            ["2026-10-25 02:00 CEST", "2026-10-25 02:00 CET", "2026-10-25 03:00 CET"]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_and_says_how_to_mend_it() {
        let now = moment("2026-11-22T08:00:00Z");
        for (cron, zone, field, says) in [
            ("", "UTC", "cron", "five fields"),
            ("every day", "UTC", "cron", "30 2 * * *"),
            ("61 * * * *", "UTC", "cron", "`61 * * * *`"),
            ("* * * *", "UTC", "cron", "five fields"),
            ("0 30 2 * * *", "UTC", "cron", "five fields"),
            ("0 0 30 2 *", "UTC", "cron", "never comes"),
            ("0 0 31 4,6,9,11 *", "Europe/Zurich", "cron", "never comes"),
            ("0 0 * * *", "Europe/Züri", "zone", "Europe/Zurich"),
            ("0 0 * * *", "", "zone", "IANA"),
            ("0 0 * * *", "CEST+1", "zone", "UTC"),
            ("0 0 * * *", "europe/zurich", "zone", "Europe/Zurich"),
        ] {
            let error = Timetable::new(cron, zone, now).unwrap_err();
            assert_eq!(error.field(), field, "{cron} {zone}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let long = "0,".repeat(20_000) + "0 * * * *";
        let error = Timetable::new(&long, "UTC", now).unwrap_err().to_string();
        assert!(error.len() < 600, "{}", error.len());
    }

    #[test]
    fn a_day_that_is_rare_is_found() {
        let timetable = Timetable::new("0 0 29 2 *", "UTC", moment("2026-11-22T08:00:00Z"));
        let timetable = timetable.unwrap();
        let found = timetable.after(moment("2096-03-01T00:00:00Z"));
        assert_eq!(found, Some(moment("2104-02-29T00:00:00Z")), "2100 is no leap year");
    }

    #[test]
    fn the_last_moment_is_found_however_long_ago_it_is() {
        let (from, until) = (moment("2020-01-01T00:00:00Z"), moment("2026-11-22T08:10:30Z"));
        for (cron, wanted) in [
            ("* * * * *", Some("2026-11-22T08:10:00Z")),
            ("0 3 * * *", Some("2026-11-22T03:00:00Z")),
            ("0 0 1 1 *", Some("2026-01-01T00:00:00Z")),
            ("0 0 29 2 *", Some("2024-02-29T00:00:00Z")),
        ] {
            let timetable = Timetable::new(cron, "UTC", from).unwrap();
            assert_eq!(timetable.last(from, until), wanted.map(moment), "{cron}");
        }
        let daily = Timetable::new("0 3 * * *", "UTC", from).unwrap();
        assert_eq!(daily.last(moment("2026-11-22T03:00:00Z"), until), None);
    }

    fn expression() -> impl Strategy<Value = String> {
        let minute = prop_oneof![
            Just("*".to_owned()),
            Just("*/7".to_owned()),
            (0..60u8).prop_map(|minute| minute.to_string()),
            (0..60u8, 0..60u8).prop_map(|(a, b)| format!("{a},{b}")),
        ];
        let hour = prop_oneof![
            Just("*".to_owned()),
            Just("*/2".to_owned()),
            (0..24u8).prop_map(|hour| hour.to_string()),
            (0..4u8, 1..20u8).prop_map(|(a, more)| format!("{a}-{}", a + more)),
        ];
        let day = prop_oneof![Just("*".to_owned()), (1..29u8).prop_map(|day| day.to_string())];
        let weekday = prop_oneof![Just("*".to_owned()), (0..7u8).prop_map(|day| day.to_string())];
        (minute, hour, day, weekday).prop_map(|(m, h, d, w)| format!("{m} {h} {d} * {w}"))
    }

    proptest! {
        /// From wherever one looks, the moments rise, none comes twice, and none is left out.
        #[test]
        fn moments_rise_and_none_is_left_out(
            cron in expression(),
            zone in prop::sample::select(vec![
                "UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
            ]),
            // Days around the changes of the clocks, and others.
            begin in prop::sample::select(vec![
                "2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-03-07T12:00:00Z",
                "2026-10-31T12:00:00Z", "2026-04-04T00:00:00Z", "2026-10-03T00:00:00Z",
                "2026-12-31T00:00:00Z",
            ]),
            offset_ms in 0..(36 * 3_600_000_i64),
            between in 0..1_000_000_i64,
        ) {
            let from = moment(begin) + TimeDelta::milliseconds(offset_ms);
            let timetable = Timetable::new(&cron, zone, from).unwrap();
            let mut at = from;
            for _ in 0..40 {
                let next = timetable.after(at).unwrap();
                prop_assert!(next > at, "{next} is not after {at}");
                prop_assert_eq!(next.timestamp() % 60, 0);
                // Whoever looks from between the two finds the same.
                let gap = (next - at).num_milliseconds();
                let middle = at + TimeDelta::milliseconds(gap * between / 1_000_000);
                prop_assert_eq!(timetable.after(middle), Some(next), "from {}", middle);
                prop_assert_eq!(timetable.last(at, next), Some(next));
                prop_assert_eq!(timetable.last(at, next - TimeDelta::milliseconds(1)), None);
                at = next;
            }
        }
    }
}
