//! The words of a text in a form that compares: lower case, without endings that only
//! tell one from many, and without words that say nothing about which line is meant.

/// A word that says something, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The same for words that mean the same here.
    pub(super) id: u64,
    /// The first byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

/// A run of letters or digits, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The first byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

impl Token {
    /// The token as the text has it.
    pub(super) fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }
}

/// The runs of letters and digits of a text. Letters and digits are not parted: `FY19`
/// and `Q3` are one token each.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::with_capacity(text.len() / 6);
    let mut start = None;
    for (at, character) in text.char_indices() {
        if character.is_alphanumeric() {
            start.get_or_insert(at);
        } else if let Some(start) = start.take() {
            found.push(Token { start, end: at });
        }
    }
    if let Some(start) = start {
        found.push(Token { start, end: text.len() });
    }
    found
}

/// Words longer than this are compared by their beginning, so that `operating` and
/// `operations` meet and `current` and `currency` do not.
const STEM_CHARS: usize = 7;

/// The words of a text that tell lines apart, in order. Digits of amounts and years are
/// none of them; a short number that stands alone is (`Level 3`).
pub(super) fn words(text: &str) -> Vec<Word> {
    let bytes = text.as_bytes();
    tokens(text)
        .into_iter()
        .filter_map(|Token { start, end }| {
            let token = &text[start..end];
            if token.bytes().all(|b| b.is_ascii_digit())
                && (token.len() > 2 || is_number(bytes, start, end) || !is_numbered(&text[..start]))
            {
                return None;
            }
            if token.len() == 1 && !token.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let lower = token.to_lowercase();
            if is_silent(&lower) {
                return None;
            }
            Some(Word { id: word_id(&lower), start, end })
        })
        .collect()
}

/// Whether the word before a number makes the two a name: `Level 3`.
fn is_numbered(before: &str) -> bool {
    let word = before.trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    [
        "level", "tier", "class", "stage", "phase", "tranche", "type", "series", "category",
        "scope", "region",
    ]
    .iter()
    .any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether digits are part of an amount, a marker `[1]` or a footnote `(1)`.
fn is_number(bytes: &[u8], start: usize, end: usize) -> bool {
    let at = |place: Option<usize>| place.and_then(|place| bytes.get(place)).copied();
    let (left, right) = (at(start.checked_sub(1)), at(Some(end)));
    let digit = |place: Option<usize>| at(place).is_some_and(|b| b.is_ascii_digit());
    let joins = |mark: Option<u8>, beside: Option<usize>| match mark {
        Some(b'$' | b'%' | b'[' | b']') => true,
        Some(b'.' | b',') => digit(beside),
        _ => false,
    };
    joins(left, start.checked_sub(2))
        || joins(right, Some(end + 1))
        || (left == Some(b'(') && right == Some(b')'))
}

/// The identity of one lower-case word.
pub(super) fn word_id(lower: &str) -> u64 {
    let whole = match lower {
        "revenues" | "revenue" => "sale",
        "capex" => "capital",
        other => other,
    };
    let single = singular(whole);
    let cut = single.char_indices().nth(STEM_CHARS).map_or(single.len(), |(at, _)| at);
    // FNV-1a: the same in every run.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in single.as_bytes()[..cut].iter() {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

fn singular(word: &str) -> std::borrow::Cow<'_, str> {
    if word.len() > 4 && word.ends_with("ies") {
        return format!("{}y", &word[..word.len() - 3]).into();
    }
    if word.len() > 4 && ["xes", "sses", "ches", "shes"].iter().any(|ending| word.ends_with(ending))
    {
        return word[..word.len() - 2].into();
    }
    let plural = word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    if plural { word[..word.len() - 1].into() } else { word.into() }
}

/// Words that stand in any sentence, and words of time, which are read apart.
fn is_silent(word: &str) -> bool {
    matches!(
        word,
        "a" | "about"
            | "according"
            | "after"
            | "all"
            | "also"
            | "amount"
            | "amounted"
            | "amounts"
            | "an"
            | "and"
            | "any"
            | "approximately"
            | "are"
            | "as"
            | "at"
            | "be"
            | "been"
            | "before"
            | "being"
            | "below"
            | "between"
            | "billion"
            | "both"
            | "bn"
            | "but"
            | "by"
            | "can"
            | "company"
            | "compared"
            | "did"
            | "do"
            | "does"
            | "down"
            | "during"
            | "each"
            | "ended"
            | "ending"
            | "figure"
            | "figures"
            | "first"
            | "fiscal"
            | "following"
            | "for"
            | "fourth"
            | "from"
            | "fy"
            | "group"
            | "had"
            | "has"
            | "have"
            | "how"
            | "however"
            | "in"
            | "into"
            | "is"
            | "it"
            | "its"
            | "m"
            | "many"
            | "million"
            | "millions"
            | "mn"
            | "months"
            | "more"
            | "much"
            | "no"
            | "note"
            | "of"
            | "on"
            | "one"
            | "only"
            | "or"
            | "our"
            | "out"
            | "over"
            | "percent"
            | "percentage"
            | "period"
            | "prior"
            | "quarter"
            | "reported"
            | "respectively"
            | "s"
            | "same"
            | "second"
            | "shows"
            | "so"
            | "stood"
            | "table"
            | "than"
            | "that"
            | "the"
            | "their"
            | "them"
            | "then"
            | "there"
            | "these"
            | "they"
            | "third"
            | "this"
            | "those"
            | "thousand"
            | "thousands"
            | "to"
            | "two"
            | "under"
            | "up"
            | "us"
            | "usd"
            | "versus"
            | "vs"
            | "was"
            | "we"
            | "were"
            | "what"
            | "when"
            | "which"
            | "while"
            | "who"
            | "whose"
            | "will"
            | "with"
            | "within"
            | "year"
            | "years"
            | "january"
            | "february"
            | "march"
            | "april"
            | "may"
            | "june"
            | "july"
            | "august"
            | "september"
            | "october"
            | "november"
            | "december"
            | "eur"
            | "previous"
            | "came"
            | "stands"
            | "recorded"
            | "document"
            | "passage"
            | "value"
    )
}

/// The ids of the words that many labels share.
pub(super) fn generic_ids() -> Vec<u64> {
    [
        "total", "net", "other", "income", "sale", "expense", "cost", "asset", "increase",
        "decrease", "change",
    ]
    .iter()
    .map(|word| word_id(word))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        word_id(left) == word_id(right)
    }

    #[test]
    fn one_and_many_and_near_forms_are_one_word() {
        assert!(
            same("liabilities", "liability") && same("taxes", "tax") && same("sales", "revenue")
        );
        assert!(same("operating", "operations"));
        assert!(!same("current", "currency") && !same("product", "process"));
    }

    #[test]
    fn amounts_and_years_are_no_words() {
        let text = "Level 3 assets of $1,496.5 in 2019";
        let read: Vec<&str> = words(text).iter().map(|w| &text[w.start..w.end]).collect();
        assert_eq!(read, ["Level", "3", "assets"]);
    }
}
