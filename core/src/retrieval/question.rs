//! What does a question ask for?

use super::analyse::{analyse, is_stop_word, terms};
use super::period::Periods;

/// A question, understood as far as search and quoting need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The terms to search for, each once, in order.
    pub terms: Vec<String>,
    /// The terms of the question in order with their positions, as indices of `terms`.
    pub sequence: Vec<(usize, u32)>,
    /// Which of `terms` stand in a name: written with a capital, or all in capitals.
    pub names: Vec<bool>,
    /// The times it speaks of.
    pub periods: Periods,
    /// Which of `terms` only say the time (`three`, `months`, `ended`, `2022`).
    pub times: Vec<bool>,
    /// Whether a number answers it.
    pub wants_number: bool,
    /// Whether it asks for what the newest of several documents says.
    pub wants_latest: bool,
}

/// The most terms that are searched for; a longer text is cut.
const MOST_TERMS: usize = 48;

impl Question {
    /// Understands a question.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut question = Self { periods: Periods::read(text), ..Self::default() };
        analyse(text, |term, place| {
            let known = question.terms.iter().position(|seen| seen == term);
            let at = known.unwrap_or(question.terms.len());
            if known.is_none() {
                if question.terms.len() >= MOST_TERMS {
                    return;
                }
                question.terms.push(term.to_owned());
            }
            question.sequence.push((at, place));
        });
        question.names = vec![false; question.terms.len()];
        for term in name_terms(text) {
            if let Some(at) = question.terms.iter().position(|seen| *seen == term) {
                question.names[at] = true;
            }
        }
        question.times = question.terms.iter().map(|term| is_time(term)).collect();
        question.wants_number = wants_number(text);
        question.wants_latest = wants_latest(text);
        question
    }
}

impl Question {
    /// What the store is asked for, each list a search of its own: all terms, and, where
    /// the question speaks of a time, those that say no time. Running text repeats "third
    /// quarter of fiscal year 2024" in every paragraph and would leave no place for the
    /// table that holds the figure.
    #[must_use]
    pub fn searches(&self) -> Vec<Vec<String>> {
        let content: Vec<String> = self
            .terms
            .iter()
            .zip(&self.times)
            .filter(|(_, time)| !**time)
            .map(|(term, _)| term.clone())
            .collect();
        if content.len() < 2 || content.len() == self.terms.len() {
            vec![self.terms.clone()]
        } else {
            vec![self.terms.clone(), content]
        }
    }
}

/// The terms of words with a capital that does not come from beginning the sentence.
fn name_terms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in text.split_whitespace().enumerate() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let has_capital = bare.chars().any(char::is_uppercase);
        let lower = bare.to_lowercase();
        let begins = at == 0 && (is_stop_word(&lower) || BEGINNINGS.contains(&lower.as_str()));
        if has_capital && !begins {
            found.extend(terms(bare).into_iter().filter(|term| !is_time(term)));
        }
    }
    found
}

/// Words that begin questions, beside the stop words.
const BEGINNINGS: [&str; 12] = [
    "when", "where", "why", "give", "list", "name", "show", "find", "state", "compare", "under",
    "during",
];

/// Whether a term only says a time.
fn is_time(term: &str) -> bool {
    const TIMES: [&str; 32] = [
        "april",
        "august",
        "december",
        "end",
        "februari",
        "first",
        "fiscal",
        "fourth",
        "januari",
        "juli",
        "jun",
        "march",
        "may",
        "month",
        "nin",
        "november",
        "october",
        "period",
        "q1",
        "q2",
        "q3",
        "q4",
        "quarter",
        "quarterli",
        "second",
        "september",
        "six",
        "third",
        "thre",
        "twelv",
        "week",
        "year",
    ];
    let year = term.len() == 4
        && (term.starts_with("19") || term.starts_with("20"))
        && term.bytes().all(|b| b.is_ascii_digit());
    year || TIMES.binary_search(&term).is_ok()
}

/// "The latest 10-Q", "the most recent quarterly report": one of several that follow each
/// other. "The latest iPhone" is none of them.
fn wants_latest(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '-'))
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().any(|(at, word)| {
        let newest = matches!(*word, "latest" | "newest")
            || (*word == "recent" && at > 0 && words[at - 1] == "most");
        newest && words[at + 1..].iter().take(3).any(|next| RECURRING.contains(next))
    })
}

/// What comes out again and again.
const RECURRING: [&str; 20] = [
    "10-k",
    "10-q",
    "10k",
    "10q",
    "20-f",
    "8-k",
    "annual",
    "factsheet",
    "filing",
    "filings",
    "month",
    "period",
    "quarter",
    "quarterly",
    "report",
    "reports",
    "results",
    "statement",
    "statements",
    "year",
];

/// Words that ask for a figure, beside "how much" and "how many".
const AMOUNTS: [&str; 32] = [
    "amount",
    "assets",
    "balance",
    "cash",
    "charges",
    "cost",
    "costs",
    "earnings",
    "equity",
    "expense",
    "expenses",
    "fee",
    "fees",
    "income",
    "inventories",
    "liabilities",
    "liability",
    "loss",
    "losses",
    "margin",
    "number",
    "percent",
    "percentage",
    "price",
    "profit",
    "rate",
    "revenue",
    "revenues",
    "salary",
    "sales",
    "total",
    "value",
];

fn wants_number(text: &str) -> bool {
    let lower = text.to_lowercase();
    if lower.contains("how much") || lower.contains("how many") {
        return true;
    }
    // "Which fund …?" asks for a name, whatever else it speaks of.
    let mut words = lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let names = matches!(first, "which" | "who" | "whose" | "when" | "where" | "why" | "how")
        || lower.contains("ticker")
        || lower.contains("symbol");
    !names && words.any(|word| AMOUNTS.binary_search(&word).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_times_and_words_are_told_apart() {
        let question = Question::read(
            "What was NVIDIA's Data Center revenue in the third quarter of fiscal year 2024?",
        );
        let named: Vec<_> = question
            .terms
            .iter()
            .zip(&question.names)
            .filter(|(_, named)| **named)
            .map(|(term, _)| term.as_str())
            .collect();
        assert_eq!(named, ["nvidia", "data", "center"]);
        let timed: Vec<_> = question
            .terms
            .iter()
            .zip(&question.times)
            .filter(|(_, timed)| **timed)
            .map(|(term, _)| term.as_str())
            .collect();
        assert_eq!(timed, ["third", "quarter", "fiscal", "year", "2024"]);
        assert!(question.wants_number);
        assert_eq!(question.periods.quarters, [3]);
    }

    #[test]
    fn the_latest_of_what_recurs_is_asked_for() {
        for asks in ["in the latest 10-Q", "Its most recent quarterly report?", "newest filing"] {
            assert!(Question::read(asks).wants_latest, "{asks}");
        }
        for not in ["the latest iPhone", "recent reports", "most of the recent year", "a late year"]
        {
            assert!(!Question::read(not).wants_latest, "{not}");
        }
    }

    #[test]
    fn each_term_is_searched_once() {
        let question = Question::read("sales, sales and more sales");
        assert_eq!(question.terms, ["sal", "mor"]);
        assert_eq!(question.sequence.len(), 4);
    }
}
