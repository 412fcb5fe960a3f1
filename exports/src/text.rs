//! Text as files may hold it.

use chrono::SecondsFormat;
use quaestor_core::clock::Time;

/// Text without what no file format can hold: control characters become U+FFFD, ends of
/// lines become `\n`.
pub(crate) fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Text on one line.
pub(crate) fn line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A moment for people.
pub(crate) fn moment(time: Time) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A moment for programs.
pub(crate) fn stamp(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
