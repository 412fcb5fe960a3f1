//! How many tokens does a text cost a model?

/// The tokens of a text in the `o200k_base` vocabulary, which the present models of the
/// OpenAI-compatible providers share or come close to. The vocabulary is loaded at the
/// first call and takes about 60 MB: call it in the parent, never in the parsing child.
#[must_use]
pub fn count(text: &str) -> u32 {
    let n_tokens = tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
    u32::try_from(n_tokens).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_are_counted_as_the_models_count_them() {
        assert_eq!(super::count(""), 0);
        assert_eq!(super::count("hello world"), 2);
    }
}
