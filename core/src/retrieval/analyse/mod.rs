//! How is text turned into the terms that it is indexed and searched by?
//!
//! Index and query go through the same function, so that every store finds the same,
//! whatever its own tokenizer does: a term holds letters and digits only and is never
//! split further by SQLite's `unicode61` or PostgreSQL's `simple`.

mod fold;
mod stem;
mod stop;

use fold::fold;
use stem::stem;
pub use stop::is_stop_word;

/// Longer words are cut: they are never words of a question.
const LONGEST_TERM: usize = 40;

/// The terms of a text in order, parted into a vector.
#[must_use]
pub fn terms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    analyse(text, |term, _| found.push(term.to_owned()));
    found
}

/// Calls `visit` with every term of a text and its position.
///
/// Words are lower-cased, stripped of diacritics and lightly stemmed; stop words are
/// left out but keep their position. `82,959` is `82959`, `$61.8` is `61p8` (the point
/// would split the term in a store), `10-K` is `10k`, `Apple's` is `appl`. Parts of a
/// compound (`RevenueFromContracts`, `2022Q3`, `non-GAAP`) are terms as well.
pub fn analyse(text: &str, visit: impl FnMut(&str, u32)) {
    walk(text, &Beginnings::any(), visit);
}

/// As [`analyse`], for a reader who wants to see only some terms: others may be left
/// out. How many places the text has.
pub(super) fn analyse_for(text: &str, wanted: &Beginnings, visit: impl FnMut(&str, u32)) -> u32 {
    walk(text, wanted, visit)
}

/// How the terms begin that a reader wants to see: the first two letters survive
/// stemming, so most words of a text can be passed over before it.
#[derive(Debug)]
pub(super) struct Beginnings {
    any: bool,
    /// For each first letter, a bit for each second one; digits and `other` share bits.
    seconds: [u32; 256],
}

impl Beginnings {
    fn any() -> Self {
        Self { any: true, seconds: [0; 256] }
    }

    /// The beginnings of these terms.
    pub(super) fn of(terms: &[String]) -> Self {
        let mut seconds = [0; 256];
        for term in terms {
            let bytes = term.as_bytes();
            let first = bytes[0];
            if first.is_ascii_lowercase() {
                seconds[usize::from(first)] |= bit(bytes.get(1).copied());
            } else {
                // Numbers lose their marks and zeros, and letters outside of ASCII are
                // folded: no second letter is sure.
                seconds[usize::from(first)] = u32::MAX;
            }
        }
        Self { any: false, seconds }
    }

    fn has(&self, word: &str) -> bool {
        let bytes = word.as_bytes();
        let second = bytes.get(1).copied();
        let sure = bytes[0].is_ascii() && second.is_none_or(|b| b.is_ascii_alphanumeric());
        self.any
            || !sure
            || self.seconds[usize::from(bytes[0].to_ascii_lowercase())] & bit(second) != 0
    }
}

/// The bit of a second letter: one each for `a` to `z`, one for none, one for the rest.
fn bit(second: Option<u8>) -> u32 {
    match second.map(|b| b.to_ascii_lowercase()) {
        Some(letter @ b'a'..=b'z') => 1 << (letter - b'a'),
        None => 1 << 26,
        Some(_) => 1 << 27,
    }
}

fn walk(text: &str, wanted: &Beginnings, mut visit: impl FnMut(&str, u32)) -> u32 {
    let mut scratch = String::with_capacity(LONGEST_TERM);
    let mut position = 0;
    let mut rest = text;
    let mut previous = "";
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        let end = token_end(rest);
        let (token, after) = rest.split_at(end);
        if let Some(name) = designation(previous, token)
            && wanted.has(&name)
        {
            visit(&name, position);
        }
        token_terms(token, wanted, &mut scratch, &mut position, &mut visit);
        previous = token;
        rest = after;
    }
    position
}

/// What a letter names after such a word: `Class I` is `classi`. Alone the letter would
/// be a stop word, and one share class would be taken for another.
fn designation(previous: &str, token: &str) -> Option<String> {
    let word = ["class", "series", "tranche", "part", "schedule", "exhibit", "appendix"]
        .into_iter()
        .find(|word| previous.eq_ignore_ascii_case(word))?;
    let is_letter = token.len() == 1 && token.as_bytes()[0].is_ascii_alphabetic();
    let is_roman = token.len() <= 4 && token.bytes().all(|b| matches!(b, b'I' | b'V' | b'X'));
    (is_letter || is_roman).then(|| format!("{word}{}", token.to_ascii_lowercase()))
}

/// Where the token that begins a text ends: a number with its separators, or a word
/// with its inner apostrophes and hyphens.
fn token_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_alphanumeric() {
            end = at + c.len_utf8();
            continue;
        }
        let before = bytes[..at].last().copied().unwrap_or(b' ');
        let after = chars.peek().map_or(' ', |(_, next)| *next);
        let joins = match c {
            '.' => before.is_ascii_digit() && after.is_ascii_digit(),
            ',' => before.is_ascii_digit() && three_digits(&bytes[at + 1..]),
            '\'' | '\u{2019}' | '-' | '\u{2010}' | '\u{2011}' | '&' => after.is_alphanumeric(),
            _ => false,
        };
        if !joins {
            break;
        }
    }
    end
}

/// Whether exactly three digits follow: a separator of thousands.
fn three_digits(bytes: &[u8]) -> bool {
    bytes.len() >= 3
        && bytes[..3].iter().all(u8::is_ascii_digit)
        && !bytes.get(3).is_some_and(u8::is_ascii_digit)
}

fn token_terms(
    token: &str,
    wanted: &Beginnings,
    scratch: &mut String,
    position: &mut u32,
    visit: &mut impl FnMut(&str, u32),
) {
    let is_number = token.as_bytes()[0].is_ascii_digit()
        && token.bytes().all(|b| b.is_ascii_digit() || b == b',' || b == b'.');
    if is_number {
        number_term(token, scratch);
        visit(scratch, *position);
        *position += 1;
        return;
    }
    let hyphens = ['-', '\u{2010}', '\u{2011}', '&'];
    if token.contains(hyphens) {
        let short = token.len() <= 12;
        let with_digit = token.bytes().any(|b| b.is_ascii_digit());
        let parts = || token.split(hyphens).filter(|part| !part.is_empty());
        let brief = short && parts().all(|part| part.chars().count() <= 3);
        // `10-K`, `S&P`, `COVID-19`: one word, and its longer parts beside it.
        if brief || (short && with_digit) {
            scratch.clear();
            parts().for_each(|part| push_folded(part, scratch));
            visit(scratch, *position);
            *position += 1;
        }
        for part in parts() {
            if !(brief && part.chars().count() <= 2) {
                word_terms(part, wanted, scratch, position, visit);
            }
        }
        return;
    }
    word_terms(token, wanted, scratch, position, visit);
}

/// `1,496.50` becomes `1496p5`.
fn number_term(token: &str, scratch: &mut String) {
    scratch.clear();
    scratch.extend(token.chars().filter(|c| *c != ',').map(|c| if c == '.' { 'p' } else { c }));
    if scratch.matches('p').count() == 1 {
        let kept = scratch.trim_end_matches('0').trim_end_matches('p').len();
        scratch.truncate(kept);
        if scratch.is_empty() {
            scratch.push('0');
        }
    }
    scratch.truncate(LONGEST_TERM);
}

fn word_terms(
    word: &str,
    wanted: &Beginnings,
    scratch: &mut String,
    position: &mut u32,
    visit: &mut impl FnMut(&str, u32),
) {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        number_term(word, scratch);
        visit(scratch, *position);
        *position += 1;
        return;
    }
    let word = without_possessive(word);
    let place = *position;
    *position += 1;
    if let Some(inner) = compound(word) {
        for part in inner {
            plain_term(part, wanted, scratch, place, visit);
        }
    }
    plain_term(word, wanted, scratch, place, visit);
}

fn plain_term(
    word: &str,
    wanted: &Beginnings,
    scratch: &mut String,
    place: u32,
    visit: &mut impl FnMut(&str, u32),
) {
    if word.is_empty() || !wanted.has(word) {
        return;
    }
    scratch.clear();
    push_folded(word, scratch);
    // `IT` and `US` are no pronouns.
    let shouted = word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
    if scratch.is_empty() || (is_stop_word(scratch) && !(shouted && word.len() == 2)) {
        return;
    }
    stem(scratch);
    visit(scratch, place);
}

fn push_folded(word: &str, scratch: &mut String) {
    for c in word.chars() {
        if scratch.len() >= LONGEST_TERM {
            return;
        }
        fold(c, scratch);
    }
}

fn without_possessive(word: &str) -> &str {
    for ending in ["'s", "\u{2019}s", "'S", "\u{2019}S"] {
        if let Some(stripped) = word.strip_suffix(ending) {
            return stripped;
        }
    }
    word
}

/// The parts of `RevenueFromContracts`, `2022Q3` or `FY2024`.
fn compound(word: &str) -> Option<Vec<&str>> {
    if word.len() < 5 || !word.is_ascii() {
        return None;
    }
    let bytes = word.as_bytes();
    let mut cuts = vec![0];
    for at in 1..bytes.len() {
        let (before, here) = (bytes[at - 1], bytes[at]);
        let next_lower = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let camel = here.is_ascii_uppercase()
            && (before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next_lower));
        let year_edge = (at == 4 && bytes[..4].iter().all(u8::is_ascii_digit))
            || (at + 4 == bytes.len() && bytes[at..].iter().all(u8::is_ascii_digit));
        if camel || (year_edge && before.is_ascii_digit() != here.is_ascii_digit()) {
            cuts.push(at);
        }
    }
    cuts.push(word.len());
    let parts: Vec<&str> = cuts.windows(2).map(|edge| &word[edge[0]..edge[1]]).collect();
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let enough = match parts.len() {
        0 | 1 => false,
        2 => has_digit || parts.iter().all(|part| part.len() >= 4),
        _ => true,
    };
    enough.then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> String {
        terms(text).join(" ")
    }

    #[test]
    fn a_letter_after_class_names_the_class() {
        assert!(terms("NAV of Class I shares").contains(&"classi".to_owned()));
        assert!(!terms("NAV of Class A shares").contains(&"classi".to_owned()));
        assert!(!terms("a class I like").iter().any(|term| term == "classlike"));
    }

    #[test]
    fn numbers_are_one_term_however_they_are_written() {
        assert_eq!(joined("$82,959"), "82959");
        assert_eq!(joined("82959"), "82959");
        assert_eq!(joined("$ 61.8 billion"), "61p8 billion");
        assert_eq!(joined("12.50%"), joined("12.5"));
        assert_eq!(joined("June 25,2022"), "jun 25 2022");
        assert_eq!(joined("(1,211)"), "1211");
        assert_eq!(joined("0.0"), "0");
    }

    #[test]
    fn a_word_is_found_in_every_common_form() {
        assert_eq!(joined("Apple's charges"), joined("apple charge"));
        assert_eq!(joined("Nestlé"), joined("NESTLE"));
        assert_eq!(joined("companies"), joined("company"));
        assert_eq!(joined("recorded"), joined("record"));
        assert_eq!(joined("Form 10-K"), joined("form 10K"));
        assert_eq!(joined("ﬁnancial"), joined("financial"));
    }

    #[test]
    fn parts_of_compounds_are_terms() {
        assert_eq!(joined("AAPL_10Q_2022Q3.pdf"), "aapl 10q 2022 q3 2022q3 pdf");
        assert!(joined("NetIncomeLoss").starts_with("net incom loss"));
        assert_eq!(joined("FY2024"), "fy 2024 fy2024");
        assert_eq!(joined("non-GAAP"), "non gaap");
        assert_eq!(joined("iPhone"), "iphon");
    }

    #[test]
    fn stop_words_keep_their_position() {
        let mut places = Vec::new();
        analyse("cost of sales", |term, at| places.push((term.to_owned(), at)));
        assert_eq!(places, [("cost".to_owned(), 0), ("sal".to_owned(), 2)]);
    }

    #[test]
    fn a_reader_of_some_terms_sees_them_all() {
        let text = "Apple's net sales rose 5.0% to $82,959; É É-clair O'Neil flies, flying FY2024";
        for wanted in terms(text) {
            let count = |seen: &mut u32, term: &str| *seen += u32::from(term == wanted);
            let (mut all, mut some) = (0, 0);
            analyse(text, |term, _| count(&mut all, term));
            let only = Beginnings::of(std::slice::from_ref(&wanted));
            analyse_for(text, &only, |term, _| count(&mut some, term));
            assert_eq!(all, some, "{wanted}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_analysed_and_terms_hold_letters_and_digits_only(text in ".{0,200}") {
            analyse(&text, |term, _| {
                assert!(!term.is_empty());
                assert!(term.chars().all(char::is_alphanumeric), "{term:?}");
            });
        }
    }
}
