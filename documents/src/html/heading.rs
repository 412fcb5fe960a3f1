//! Is a line of a filing a heading, and of which level?
//!
//! Filings have no heading elements: their headings are lines set in bold, centred or
//! underlined, and the fixed names of the forms ("Part I", "Item 7.").

use super::flow::Text;

/// A heading has at most this many characters.
const MAX_CHARS: usize = 160;

/// The level of a heading, or none where the line is running text.
pub(super) fn level(text: &Text) -> Option<u8> {
    if text.heading > 0 {
        return Some(text.heading);
    }
    let line = text.text.trim();
    let n_chars = line.chars().count();
    if n_chars > MAX_CHARS || line.matches('\n').count() > 2 {
        return None;
    }
    if line.starts_with('(') {
        return None;
    }
    let n_letters = line.chars().filter(|c| c.is_alphabetic()).count();
    if n_letters < 3 || n_letters * 2 < n_chars {
        return None;
    }
    if let Some(level) = form_level(line)
        && (text.bold || text.centred || text.italic || n_chars < 80)
        && !line.ends_with(|c: char| c.is_ascii_digit())
    {
        return Some(level);
    }
    let ends_sentence = line.ends_with(['.', ';', ',', ':']) && !is_capitals(line);
    if text.bold && (!ends_sentence || n_chars < 60) {
        return Some(match (is_capitals(line), text.centred, text.italic) {
            (true, _, _) | (_, true, false) => 3,
            (false, _, false) => 4,
            (false, _, true) => 5,
        });
    }
    if text.centred && is_capitals(line) && n_chars < 100 {
        return Some(3);
    }
    if text.italic && !ends_sentence && n_chars < 90 && line.starts_with(char::is_uppercase) {
        return Some(6);
    }
    None
}

/// The level of a form's own parts: `PART I` is above `Item 7.`.
pub(crate) fn form_level(line: &str) -> Option<u8> {
    let lower = line.to_lowercase();
    let mut words = lower.split_whitespace();
    let (first, second) = (words.next()?, words.next()?);
    let second = second.trim_end_matches(['.', ':', ',', '\u{2014}', '\u{2013}', '-']);
    match first {
        "part" if matches!(second, "i" | "ii" | "iii" | "iv" | "1" | "2" | "3" | "4") => Some(1),
        "item" => {
            let digits = second.bytes().take_while(u8::is_ascii_digit).count();
            let rest = &second[digits..];
            let is_number = (1..=2).contains(&digits)
                && (rest.is_empty()
                    || rest.len() <= 3
                        && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'));
            is_number.then_some(2)
        }
        _ => None,
    }
}

fn is_capitals(line: &str) -> bool {
    line.chars().any(char::is_uppercase) && !line.chars().any(char::is_lowercase)
}
