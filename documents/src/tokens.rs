//! How many tokens does a text cost a model?

/// The tokens of a text in the `o200k_base` vocabulary, which the present models of the
/// OpenAI-compatible providers share or come close to. The vocabulary is loaded at the
/// first call and takes about 60 MB: call it in the parent, never in the parsing child.
#[must_use]
pub fn count(text: &str) -> u32 {
    let n_tokens = tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
    u32::try_from(n_tokens).unwrap_or(u32::MAX)
}

/// About the tokens of a text, from the shapes of its words alone: within a fifth of
/// [`count`] for prose and tables, at a hundredth of its time and without a vocabulary.
/// For what is reported where a provider says nothing; never for what must fit.
#[must_use]
pub fn estimate(text: &str) -> u32 {
    let mut total = 0_u64;
    let mut run = Run { kind: Kind::Space, chars: 0 };
    for c in text.chars() {
        let kind = Kind::of(c);
        if kind == run.kind {
            run.chars += 1;
        } else {
            total += run.tokens();
            run = Run { kind, chars: 1 };
        }
    }
    total += run.tokens();
    u32::try_from(total).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A space goes with the word that follows it.
    Space,
    LineEnd,
    Digit,
    Latin,
    /// Letters outside of ASCII, in scripts with spaces.
    Letter,
    /// Signs that stand for a syllable or a word each.
    Ideograph,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            '\n' | '\r' => Self::LineEnd,
            c if c.is_whitespace() => Self::Space,
            c if c.is_ascii_digit() => Self::Digit,
            c if c.is_ascii_alphabetic() => Self::Latin,
            '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' => {
                Self::Ideograph
            }
            c if c.is_alphabetic() => Self::Letter,
            _ => Self::Other,
        }
    }
}

/// Neighbouring characters of one kind.
struct Run {
    kind: Kind,
    chars: u64,
}

impl Run {
    fn tokens(&self) -> u64 {
        match self.kind {
            Kind::Space => 0,
            Kind::LineEnd => 1,
            // The vocabulary holds all numbers of up to three digits.
            Kind::Digit => self.chars.div_ceil(3),
            // Most words of up to nine letters are one token.
            Kind::Latin => self.chars.div_ceil(9),
            Kind::Letter => self.chars.div_ceil(2),
            Kind::Ideograph => self.chars,
            // Signs stand together: `**`, `--`, `",`.
            Kind::Other => self.chars.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
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
