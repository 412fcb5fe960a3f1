//! Words of the calendar, as questions, table headers and answers write them.

/// The number of a month that is named in full or by three letters, in lower case.
#[must_use]
pub fn month(word: &str) -> Option<u32> {
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
    if word.len() < 3 {
        return None;
    }
    let known = |name: &&'static str| {
        *name == word
            || (word.len() == 3 && name.starts_with(word))
            || (word == "sept" && *name == "september")
    };
    let at = MONTHS.iter().position(known)?;
    u32::try_from(at + 1).ok()
}

/// A count of months or weeks, in digits or as reports write it out.
#[must_use]
pub fn count(word: &str) -> Option<u8> {
    Some(match word {
        "three" => 3,
        "six" => 6,
        "nine" => 9,
        "twelve" => 12,
        "thirteen" => 13,
        _ => return word.parse().ok().filter(|count| (1..=53).contains(count)),
    })
}

/// The number of a quarter.
#[must_use]
pub fn ordinal(word: &str) -> Option<u8> {
    Some(match word {
        "first" | "1st" => 1,
        "second" | "2nd" => 2,
        "third" | "3rd" => 3,
        "fourth" | "4th" => 4,
        _ => return None,
    })
}

/// The months that a count of weeks stands for in a report; none where it is no quarter of
/// a year or several.
#[must_use]
pub fn months_of_weeks(weeks: u8) -> Option<u8> {
    match weeks {
        12..=14 => Some(3),
        25..=27 => Some(6),
        38..=40 => Some(9),
        51..=53 => Some(12),
        _ => None,
    }
}
