//! How does an answer mark words that it took over from a passage?
//!
//! `“words” [3]`: what stands between the marks is word for word from the passage of
//! ordinal 3. A quote may itself hold such marks; it ends where a citation follows.

/// Words that an answer quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The passage's ordinal, from 1.
    pub ordinal: u32,
    /// The words, as the answer has them.
    pub text: String,
}

/// Writes a quote, so that [`quotes`] finds it again.
#[must_use]
pub fn write_quote(text: &str, ordinal: u32) -> String {
    format!("“{text}” [{ordinal}]")
}

/// The quotes of an answer, in order.
#[must_use]
pub fn quotes(answer: &str) -> Vec<Quote> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some(start) = rest.find('“') {
        let inside = &rest[start + '“'.len_utf8()..];
        let Some((length, after, ordinal)) = closing(inside) else { break };
        let text = inside[..length].to_owned();
        found.push(Quote { ordinal, text });
        rest = &inside[after..];
    }
    found
}

/// The first `” [n]`: where it begins, where it ends, and `n`.
fn closing(text: &str) -> Option<(usize, usize, u32)> {
    text.match_indices("” [").find_map(|(at, mark)| {
        let number = &text[at + mark.len()..];
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let ordinal = number[..digits].parse().ok()?;
        number[digits..].starts_with(']').then_some((at, at + mark.len() + digits + 1, ordinal))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_a_quote_is_read_as_one() {
        let answer = format!(
            "Two say so. {} And: {}",
            write_quote("Net sales | $82,959", 1),
            write_quote("the “Merger Agreement” of [2] May", 12),
        );
        let read = quotes(&answer);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], Quote { ordinal: 1, text: "Net sales | $82,959".to_owned() });
        assert_eq!(read[1].text, "the “Merger Agreement” of [2] May");
        assert_eq!(quotes("no “mark” here"), []);
    }
}
