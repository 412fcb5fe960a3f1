//! What does running text look like once marks nobody sees are gone?

/// Adds `text` to `out` with every run of white space as one space, and without control
/// characters and invisible marks. A space at the start is kept only after other text.
pub(crate) fn push_clean(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with([' ', '\n']) {
                out.push(' ');
            }
        } else if !is_invisible(c) {
            out.push(c);
        }
    }
}

/// `text` cleaned as [`push_clean`] does, without space at either end.
#[must_use]
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_clean(&mut out, text);
    out.truncate(out.trim_end().len());
    out
}

/// The line as it stands, without control characters and invisible marks: for text whose
/// columns are made of spaces. A tab counts as four spaces.
#[must_use]
pub(crate) fn clean_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c == '\t' {
            out.push_str("    ");
        } else if c == '\u{a0}' {
            out.push(' ');
        } else if !is_invisible(c) {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Control characters, soft hyphens, zero-width marks and the tag block: text hidden in
/// them is seen by no reader, so none of it may reach a model.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_one_space_and_hidden_marks_are_gone() {
        assert_eq!(clean("  Net\u{a0}\n\t sales\u{200b}\0 \u{ad}up "), "Net sales up");
        assert_eq!(clean("a\u{e0041}b\u{202e}c"), "abc");
    }
}
