//! Where is text cut that is too long for one passage?

/// Cuts a text into pieces of bytes `from..to` without white space at their ends. A text
/// that fits into a passage is one piece; otherwise pieces end, in this order of choice,
/// after a sentence, at a line's end, between cells, between words, and only then inside
/// a word; never inside a number that is shorter than a passage.
pub(super) fn pieces(text: &str, target_chars: usize, max_chars: usize) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut at = text.len() - text.trim_start().len();
    let end = text.trim_end().len();
    while at < end {
        let rest = &text[at..end];
        let Some((limit, _)) = rest.char_indices().nth(max_chars) else {
            out.push((at, end));
            break;
        };
        let target = rest.char_indices().nth(target_chars).map_or(limit, |(target, _)| target);
        let cut = cut(rest, target, limit);
        let piece = &rest[..cut];
        let trimmed = piece.trim_end().len();
        if trimmed > 0 {
            out.push((at, at + trimmed));
        }
        at += cut;
        at += text[at..end].len() - text[at..end].trim_start().len();
    }
    out
}

/// The best place to cut at or before `limit`, hopefully near `target`.
fn cut(text: &str, target: usize, limit: usize) -> usize {
    let low = floor(text, target / 3);
    let until = |end: usize| text.get(low..end).unwrap_or("");
    for window in [until(target), until(limit)] {
        let found = sentence_end(window)
            .or_else(|| window.rfind('\n').map(|at| at + 1))
            .or_else(|| window.rfind(" | ").map(|at| at + 1));
        if let Some(at) = found.filter(|at| low + at > 0) {
            return low + at;
        }
    }
    if let Some((at, c)) =
        text[..limit].char_indices().rev().find(|(at, c)| c.is_whitespace() && *at > 0)
    {
        return at + c.len_utf8();
    }
    // No space at all: the last place that is not inside a number.
    let mut before: Option<char> = None;
    let mut best = None;
    for (at, c) in text[..limit].char_indices() {
        if before.is_some_and(|before| !(is_numeric(before) && is_numeric(c))) {
            best = Some(at);
        }
        before = Some(c);
    }
    let next = text[limit..].chars().next();
    if before.zip(next).is_none_or(|(a, b)| !(is_numeric(a) && is_numeric(b))) {
        return limit;
    }
    best.filter(|&at| at > 0).unwrap_or(limit)
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | ',')
}

/// One past the last end of a sentence.
fn sentence_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (1..bytes.len().saturating_sub(1))
        .rev()
        .find(|&at| {
            bytes[at] == b' '
                && matches!(bytes[at - 1], b'.' | b'!' | b'?')
                && text[at + 1..].starts_with(|c: char| c.is_uppercase() || c.is_numeric())
                && !bytes[..at - 1].ends_with(b"No")
        })
        .map(|at| at + 1)
}

fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
