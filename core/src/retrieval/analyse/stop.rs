//! Which words say nothing about what a text speaks of?

/// Function words of English and the words that questions are made of.
///
/// Kept short on purpose: words that head a column or a row (`total`, `ended`, `three`,
/// `other`, `before`, `after`) decide between two tables.
const STOP_WORDS: [&str; 78] = [
    "a",
    "about",
    "according",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "being",
    "both",
    "but",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "doing",
    "each",
    "for",
    "from",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "his",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "many",
    "me",
    "much",
    "my",
    "of",
    "on",
    "or",
    "our",
    "please",
    "s",
    "she",
    "so",
    "such",
    "tell",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "was",
    "we",
    "were",
    "what",
    "which",
    "who",
    "whose",
    "with",
    "you",
];

/// Whether a folded word is a stop word.
#[must_use]
pub fn is_stop_word(word: &str) -> bool {
    word.len() <= 9 && STOP_WORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("what"));
        assert!(!is_stop_word("total"));
    }
}
