//! Which forms of an English word are one term?
//!
//! A light stemmer: plurals, `-ed`, `-ing`, a last `e` and `y`, after step 1 of M. F.
//! Porter, "An algorithm for suffix stripping", 1980. The later steps are left out:
//! they make one term of `operating` and `operations`, which a filing keeps apart.

/// Cuts a folded word to its stem, in place.
pub(super) fn stem(word: &mut String) {
    if word.len() < 4 || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return;
    }
    plural(word);
    past_and_progressive(word);
    let length = word.len();
    if length > 3 && word.ends_with('e') {
        word.truncate(length - 1);
    } else if word.ends_with('y') && length > 2 && !is_vowel(word.as_bytes(), length - 2) {
        word.truncate(length - 1);
        word.push('i');
    }
}

fn plural(word: &mut String) {
    let length = word.len();
    if word.ends_with("sses") {
        word.truncate(length - 2);
    } else if word.ends_with("ies") && length > 4 {
        word.truncate(length - 3);
        word.push('y');
    } else if word.ends_with('s')
        && !word.ends_with("ss")
        && !word.ends_with("us")
        && !word.ends_with("is")
    {
        word.truncate(length - 1);
    }
}

fn past_and_progressive(word: &mut String) {
    let cut = if word.ends_with("ing") {
        3
    } else if word.ends_with("eed") {
        return;
    } else if word.ends_with("ed") {
        2
    } else {
        return;
    };
    let kept = word.len() - cut;
    // `king` and `red` have no stem before the ending.
    if kept < 3 || !(0..kept).any(|at| is_vowel(word.as_bytes(), at)) {
        return;
    }
    word.truncate(kept);
    let bytes = word.as_bytes();
    let last = bytes[kept - 1];
    if bytes[kept - 2] == last && !is_vowel(bytes, kept - 1) && !matches!(last, b'l' | b's' | b'z')
    {
        word.truncate(kept - 1);
    }
}

fn is_vowel(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => true,
        b'y' => at > 0 && !is_vowel(bytes, at - 1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stemmed(word: &str) -> String {
        let mut word = word.to_owned();
        stem(&mut word);
        word
    }

    #[test]
    fn forms_of_a_word_have_one_stem() {
        for forms in [
            ["sale", "sales"],
            ["company", "companies"],
            ["restructure", "restructuring"],
            ["record", "recorded"],
            ["plan", "planned"],
            ["lease", "leasing"],
            ["share", "shares"],
            ["acquire", "acquired"],
            ["loss", "losses"],
            ["liability", "liabilities"],
        ] {
            assert_eq!(stemmed(forms[0]), stemmed(forms[1]), "{forms:?}");
        }
    }

    #[test]
    fn words_that_only_look_inflected_stay() {
        assert_eq!(stemmed("king"), "king");
        assert_eq!(stemmed("basis"), "basis");
        assert_eq!(stemmed("status"), "status");
        assert_ne!(stemmed("operating"), stemmed("operations"));
    }
}
