//! What the product asks of a language model, in versions.
//!
//! A text that was in use is never edited: a better one gets the next number, so that a
//! difference between two answers can be laid to the prompt.

/// A version of the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Its name, as the log and the metrics have it.
    pub(crate) name: &'static str,
    /// The instructions: the first message of every prompt, and the same for all of them,
    /// so that a provider can keep what it made of it.
    pub(crate) instructions: &'static str,
}

/// The version in use.
pub(crate) const ANSWER: Template =
    Template { name: "answer-1", instructions: include_str!("answer-1.txt").trim_ascii_end() };

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_version_stays_what_it_was() {
        let hash = Sha256::digest(ANSWER.instructions);
        let hex: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((ANSWER.name, hex.as_str()), ("answer-1", "b4afc63f00570a03"));
    }
}
