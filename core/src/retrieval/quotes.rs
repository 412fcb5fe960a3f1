//! How does an answer mark words that it took over from a passage?
//!
//! `“words” [3]`: what stands between the marks is word for word from the passage of
//! ordinal 3, and of others where their ordinals follow. A quote may itself hold such marks; it ends where a citation follows.

/// Words that an answer quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The passages they stand in, by ordinal, from 1; at least one.
    pub ordinals: Vec<u32>,
    /// The words, as the answer has them.
    pub text: String,
}

/// Writes a quote, so that [`quotes`] finds it again.
#[must_use]
pub fn write_quote(text: &str, ordinals: &[u32]) -> String {
    let marks: String = ordinals.iter().map(|ordinal| format!(" [{ordinal}]")).collect();
    format!("“{text}”{marks}")
}

/// The quotes of an answer, in order.
#[must_use]
pub fn quotes(answer: &str) -> Vec<Quote> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some(start) = rest.find('“') {
        let inside = &rest[start + '“'.len_utf8()..];
        let closing = inside.match_indices('”').find_map(|(at, mark)| {
            let (ordinals, length) = citations(&inside[at + mark.len()..]);
            (!ordinals.is_empty()).then_some((at, at + mark.len() + length, ordinals))
        });
        let Some((length, after, ordinals)) = closing else { break };
        found.push(Quote { ordinals, text: inside[..length].to_owned() });
        rest = &inside[after..];
    }
    found
}

/// The citations ` [n]` that a text begins with, and their length.
fn citations(text: &str) -> (Vec<u32>, usize) {
    let mut ordinals = Vec::new();
    let mut at = 0;
    while let Some(number) = text[at..].strip_prefix(" [") {
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(ordinal) = number[..digits].parse() else { break };
        if !number[digits..].starts_with(']') {
            break;
        }
        ordinals.push(ordinal);
        at += digits + 3;
    }
    (ordinals, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_a_quote_is_read_as_one() {
        let answer = format!(
            "Two say so. {} And: {}",
            write_quote("Net sales | $82,959", &[1, 4]),
            write_quote("the “Merger Agreement” of [2] May", &[12]),
        );
        let read = quotes(&answer);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], Quote { ordinals: vec![1, 4], text: "Net sales | $82,959".to_owned() });
        assert_eq!(read[1].text, "the “Merger Agreement” of [2] May");
        assert_eq!(quotes("no “mark” here"), []);
    }
}
