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
    use quaestor_core::tokens::estimate;

    use super::*;

    #[test]
    fn tokens_are_counted_as_the_models_count_them() {
        assert_eq!(count(""), 0);
        assert_eq!(count("hello world"), 2);
    }

    #[test]
    fn an_estimate_is_near_the_count() {
        for text in [
            "The Company recognises revenue when control of the promised services is transferred \
             to customers, in an amount that reflects the consideration it expects to receive.",
            "| Net sales | 383,285 | 394,328 | (3)% |\n| Cost of sales | 214,137 | 223,546 | (4)% |\n\
             | Gross margin | 169,148 | 170,782 | (1)% |\n",
            "Der Umsatz stieg im dritten Quartal um 12,5 % auf 418 Millionen Euro, nach 9,1 % im \
             Vorjahr; das bereinigte Ergebnis vor Steuern sank dagegen leicht.",
            "# Third quarter report\n\nRevenue growth in Q3 was **12.5 %**, after 9.1 % [1].\n",
        ] {
            let (estimated, counted) = (f64::from(estimate(text)), f64::from(count(text)));
            let off = (estimated - counted).abs() / counted;
            assert!(off <= 0.2, "{estimated} for {counted}: {text}");
        }
        assert_eq!(estimate(""), 0);
    }
}
