//! Where do the sentences of running text begin and end?

/// Endings with a point that end no sentence.
const ABBREVIATIONS: [&str; 26] = [
    "inc", "corp", "co", "ltd", "no", "nos", "vs", "mr", "mrs", "ms", "dr", "st", "jr", "u.s",
    "u.k", "e.g", "i.e", "approx", "sec", "art", "jan", "feb", "aug", "sept", "oct", "dec",
];

/// Longer pieces are cut at the next space.
const LONGEST: usize = 600;

/// The sentences of a text, as they stand in it, without the spaces around them.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut start = 0;
        let bytes = paragraph.as_bytes();
        for (at, c) in paragraph.char_indices() {
            let end = at + c.len_utf8();
            let long = end - start > LONGEST && c == ' ';
            let ends = matches!(c, '.' | '?' | '!')
                && bytes.get(end).is_none_or(u8::is_ascii_whitespace)
                && !(c == '.' && is_abbreviation(&paragraph[start..at]))
                && next_begins(&paragraph[end..]);
            if ends || long {
                add(&paragraph[start..end], &mut found);
                start = end;
            }
        }
        add(&paragraph[start..], &mut found);
    }
    found
}

fn add<'a>(sentence: &'a str, found: &mut Vec<&'a str>) {
    let sentence = sentence.trim();
    if sentence.chars().any(char::is_alphanumeric) {
        found.push(sentence);
    }
}

fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    let lower = word.to_lowercase();
    ABBREVIATIONS.contains(&lower.as_str())
        || (word.len() == 1 && word.chars().all(char::is_uppercase))
}

/// Whether what follows looks like the beginning of a sentence.
fn next_begins(rest: &str) -> bool {
    rest.trim_start().chars().next().is_none_or(|c| !c.is_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_and_decimals_end_no_sentence() {
        let text =
            "Apple Inc. sold 1.5 billion units. We paid $61.8 billion in cash. See Note 2\n\nNext";
        assert_eq!(
            sentences(text),
            [
                "Apple Inc. sold 1.5 billion units.",
                "We paid $61.8 billion in cash.",
                "See Note 2",
                "Next"
            ]
        );
    }
}
