//! "In millions", "$'000", "€m": what does a caption, a column's name or the text above a
//! table say that its figures are multiplied by?

use super::units;

/// Every scale that a text states, as a power of ten, in order. `5 million` is a figure and states
/// nothing about others.
fn stated(text: &str) -> Vec<i32> {
    let lower = text.to_ascii_lowercase();
    let mut found: Vec<i32> = Vec::new();
    for token in super::words::tokens(&lower) {
        let word = token.of(&lower);
        let exponent = match word {
            "thousand" | "thousands" | "000" | "000s" | "k" => 3,
            "million" | "millions" | "mn" | "m" | "mm" | "mln" => 6,
            "billion" | "billions" | "bn" => 9,
            // `US$m` and `RMBm` are one token for the letters.
            "rmbm" | "eurm" | "usdm" | "gbpm" => 6,
            _ => continue,
        };
        let before = &text[..token.start];
        let after = &lower[token.end..];
        let says = match word {
            "000" | "000s" => {
                before.ends_with(['\'', '\u{2019}', '\u{2018}', '`'])
                    || ends_in_currency(before)
                    || before.ends_with('(')
            }
            "k" | "m" | "mm" | "mn" | "mln" | "bn" => {
                ends_in_currency(before.trim_end_matches(' '))
            }
            "rmbm" | "eurm" | "usdm" | "gbpm" => true,
            _ => says_scale(before, after),
        };
        if says {
            found.push(exponent);
        }
    }
    found
}

fn ends_in_currency(text: &str) -> bool {
    let mut from = text.len().saturating_sub(8);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = &text[from..];
    tail.ends_with(['$', '€', '£', '¥', '₹'])
        || ["RMB", "USD", "EUR", "GBP", "CNY", "JPY", "CHF", "INR", "HKD", "CAD", "AUD"]
            .iter()
            .any(|code| tail.ends_with(code))
}

/// Whether a scale word after `before` speaks of other figures.
fn says_scale(before: &str, after: &str) -> bool {
    let head = before.trim_end_matches([' ', '\u{a0}', '\'', '\u{2019}', '\u{2018}']);
    if head.ends_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let mut from = head.len().saturating_sub(24);
    while !head.is_char_boundary(from) {
        from += 1;
    }
    let lower = head[from..].to_ascii_lowercase();
    let says = |word: &str| {
        lower.strip_suffix(word).is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric()))
    };
    let of_money = [
        " of dollars",
        " of u.s.",
        " of us",
        " of euro",
        " of pounds",
        " of rmb",
        " of yen",
        " of canadian",
        " of renminbi",
    ];
    says("in")
        || says("dollars")
        || says("us")
        || says("in u.s. dollar")
        || head.ends_with('(')
        || ends_in_currency(head)
        || of_money.iter().any(|money| after.starts_with(money))
}

/// The scale that a heading, a caption or a column's name states: its first one.
pub(super) fn first(text: &str) -> Option<i32> {
    stated(text).first().copied()
}

/// The scale stated last in a text: what stands nearest above a table.
pub(super) fn last(text: &str) -> Option<i32> {
    stated(text).last().copied()
}

/// What a table says of all its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Basis {
    /// The power of ten, where one is stated.
    pub(super) scale: Option<i32>,
    /// The currency, where one is named.
    pub(super) currency: Option<units::Currency>,
    /// Whether it is said that counts of shares are on another scale.
    pub(super) except_shares: bool,
}

impl Basis {
    /// What a text above a table says.
    pub(super) fn read(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        Self {
            scale: first(text),
            currency: units::currency_in(text),
            except_shares: lower.split_once("except").is_some_and(|(_, rest)| {
                rest.replace("per share", "").replace("per-share", "").contains("share")
            }),
        }
    }

    /// Fills in what is not said from a wider place.
    pub(super) fn or(self, wider: Self) -> Self {
        Self {
            scale: self.scale.or(wider.scale),
            currency: self.currency.or(wider.currency),
            except_shares: if self.scale.is_some() {
                self.except_shares
            } else {
                wider.except_shares
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_read_from_captions_and_not_from_figures() {
        for (text, exponent) in [
            ("(in millions, except per share data)", Some(6)),
            ("Dollars in thousands", Some(3)),
            ("€ million", Some(6)),
            ("$'000", Some(3)),
            ("RMB’000", Some(3)),
            ("£m", Some(6)),
            ("(thousands)", Some(3)),
            ("USD ($) $ in Billions", Some(9)),
            ("thousands of dollars", Some(3)),
            ("sales of $5 million", None),
            ("1,000 and $2,000", None),
        ] {
            assert_eq!(first(text), exponent, "{text}");
        }
        assert_eq!(last("(in thousands) and then (in millions)"), Some(6));
    }
}
