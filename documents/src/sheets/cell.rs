//! What does a person see in a cell?

use calamine::{DataRef, ExcelDateTime};

use crate::inline::clean;

/// A cell's value as text: dates as ISO dates, percents and currencies as their format
/// shows them, other numbers whole and without the noise of binary fractions.
pub(super) fn show(value: &DataRef<'_>, format: Option<&str>) -> String {
    match value {
        DataRef::Int(n) => show_number(*n as f64, format, || n.to_string()),
        DataRef::Float(n) => show_number(*n, format, || plain(*n)),
        DataRef::String(text) => clean(&text.replace("_x000D_", " ")),
        DataRef::SharedString(text) => clean(&text.replace("_x000D_", " ")),
        DataRef::Bool(true) => "TRUE".to_owned(),
        DataRef::Bool(false) => "FALSE".to_owned(),
        DataRef::DateTime(date) => show_date(date),
        DataRef::DateTimeIso(text) => text.trim_end_matches("T00:00:00").replace('T', " "),
        DataRef::DurationIso(text) => (*text).to_owned(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

fn show_date(date: &ExcelDateTime) -> String {
    if date.is_duration() {
        let seconds = (date.as_f64() * 86_400.0).round();
        let sign = if seconds < 0.0 { "-" } else { "" };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let seconds = seconds.abs() as u64;
        return format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    // Far outside of the calendar it is a number that was formatted as a date by mistake.
    if !(0.0..2_958_466.0).contains(&date.as_f64()) {
        return plain(date.as_f64());
    }
    let (year, month, day, hour, minute, second, _) = date.to_ymd_hms_milli();
    if date.as_f64() < 1.0 {
        return format!("{hour:02}:{minute:02}:{second:02}");
    }
    if (hour, minute, second) == (0, 0, 0) {
        return format!("{year:04}-{month:02}-{day:02}");
    }
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn show_number(n: f64, format: Option<&str>, plain_text: impl Fn() -> String) -> String {
    let Some(format) = format else { return plain_text() };
    let code = positive_section(format);
    if code.contains('%') {
        let decimals = decimals(&code);
        return format!("{:.decimals$}%", n * 100.0);
    }
    let scaled = code.contains(",,") || code.trim_end().ends_with(',');
    let shown = match decimals(&code) {
        0 => plain_text(),
        _ if scaled || n.fract() == 0.0 && n.abs() >= 1e15 || code.contains(['E', '/']) => {
            plain_text()
        }
        decimals => format!("{n:.decimals$}"),
    };
    let Some(sign) = ["US$", "$", "€", "£", "¥"].iter().find(|sign| code.contains(*sign))
    else {
        return shown;
    };
    let text = shown;
    match text.strip_prefix('-') {
        Some(text) => format!("-{sign}{text}"),
        None => format!("{sign}{text}"),
    }
}

/// The part of a format for positive numbers, without escapes and conditions; a currency
/// such as `[$€-407]` leaves its sign.
fn positive_section(format: &str) -> String {
    let mut code = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => break,
            // `_)` is a space as wide as `)`; `*x` fills with `x`.
            '_' | '*' => {
                chars.next();
            }
            '[' => {
                let inside: String = chars.by_ref().take_while(|&c| c != ']').collect();
                if let Some(currency) = inside.strip_prefix('$') {
                    code.push_str(currency.split('-').next().unwrap_or(""));
                }
            }
            '"' | '\\' => {}
            c => code.push(c),
        }
    }
    code
}

fn decimals(code: &str) -> usize {
    code.split_once('.')
        .map_or(0, |(_, rest)| rest.chars().take_while(|c| matches!(c, '0' | '#' | '?')).count())
        .min(10)
}

/// A number with the fifteen digits that a workbook keeps, and no more.
pub(super) fn plain(n: f64) -> String {
    if !n.is_finite() {
        return String::new();
    }
    let rounded: f64 = format!("{n:.14e}").parse().unwrap_or(n);
    if rounded != 0.0 && !(1e-7..1e17).contains(&rounded.abs()) {
        return format!("{rounded:e}");
    }
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use calamine::ExcelDateTimeType;

    #[test]
    fn cells_show_what_a_person_sees() {
        let number = |n, format| show(&DataRef::Float(n), format);
        assert_eq!(number(0.1 + 0.2, None), "0.3");
        assert_eq!(number(95_359.0, Some("#,##0_)")), "95359");
        assert_eq!(number(0.0525, Some("0.0%")), "5.2%");
        assert_eq!(number(0.25, Some("0%;(0%)")), "25%");
        assert_eq!(number(-12.5, Some("[$€-407] #,##0.00")), "-€12.50");
        assert_eq!(number(1.65, Some("\"$\"#,##0.00_);\\(\"$\"#,##0.00\\)")), "$1.65");
        let date = ExcelDateTime::new(45_745.0, ExcelDateTimeType::DateTime, false);
        assert_eq!(show(&DataRef::DateTime(date), None), "2025-03-29");
    }
}
