//! The forms in which models write citations: `[1]`, `[1, 2]`, `[1-3]`, `【1】`,
//! `【1†source】`.

/// The longest marker that is waited for, in bytes: longer is not one of ours.
pub(super) const LONGEST: usize = 40;

/// The most digits of an ordinal.
const MAX_DIGITS: usize = 7;

/// The most passages that one range names.
const MAX_RANGE: usize = 32;

/// Whether a marker whose inside begins so may go on with this character.
pub(super) fn may_go_on(inside: &str, next: char) -> bool {
    if inside.contains('†') {
        return !matches!(next, '\n' | '[' | '【');
    }
    match next {
        '0'..='9' => inside.bytes().rev().take_while(u8::is_ascii_digit).count() < MAX_DIGITS,
        ',' | ';' | '-' | '\u{2013}' | '†' => {
            inside.ends_with(|c: char| c.is_ascii_digit() || c == ' ')
        }
        ' ' => inside.len() < LONGEST,
        _ => false,
    }
}

/// The ordinals that the inside of a marker names, in order; none where it is no marker:
/// empty, an amount (`1,234`), or something else in brackets.
pub(super) fn ordinals(inside: &str) -> Option<Vec<usize>> {
    let inside = inside.split('†').next().unwrap_or_default();
    if is_amount(inside) {
        return None;
    }
    let mut ordinals = Vec::new();
    for piece in inside.split([',', ';']) {
        let mut ends =
            piece.splitn(2, ['-', '\u{2013}']).map(|end| end.trim().parse::<usize>().ok());
        let first = ends.next()??;
        match ends.next() {
            None => ordinals.push(first),
            Some(last) => {
                let last = last?;
                if last < first || last - first >= MAX_RANGE {
                    return None;
                }
                ordinals.extend(first..=last);
            }
        }
    }
    (!ordinals.is_empty()).then_some(ordinals)
}

/// `1,234`: a comma without a space before three digits parts thousands.
fn is_amount(inside: &str) -> bool {
    inside.split_once(',').is_some_and(|(_, rest)| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits == 3
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read_and_amounts_are_not() {
        assert_eq!(ordinals("1"), Some(vec![1]));
        assert_eq!(ordinals("1, 2;4"), Some(vec![1, 2, 4]));
        assert_eq!(ordinals("1-3"), Some(vec![1, 2, 3]));
        assert_eq!(ordinals("2\u{2020}source"), Some(vec![2]));
        for no_marker in ["", " ", "1,234", "3-1", "1-9999", "-", "1,,2", "a"] {
            assert_eq!(ordinals(no_marker), None, "{no_marker}");
        }
    }
}
