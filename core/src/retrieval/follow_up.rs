//! What does a follow-up speak of that only the turns before it name?

use super::analyse::{analyse, terms};
use super::question::Question;
use crate::model::{Message, MessageRole};

/// A follow-up made to stand alone: what the turns before it speak of is added, so that
/// it can be searched for. A question that stands alone is given back as it is.
#[must_use]
pub fn standalone_question(question: &str, earlier: &[Message]) -> String {
    let mut asked = earlier.iter().rev().filter(|message| message.role == MessageRole::User);
    let Some(before) = asked.next() else { return question.trim().to_owned() };
    let now = Question::read(question);
    if !leans_back(question, &now) {
        return question.trim().to_owned();
    }
    // The turn before may itself be a follow-up: take in what it followed.
    let before = match asked.next() {
        Some(first) if leans_back(&before.content, &Question::read(&before.content)) => {
            joined(&before.content, &first.content)
        }
        _ => before.content.clone(),
    };
    joined(question, &before)
}

/// Whether a question cannot be understood alone.
fn leans_back(text: &str, question: &Question) -> bool {
    let lower = text.trim().to_lowercase();
    let begins = ["and ", "what about", "how about", "same ", "but ", "or ", "also ", "then "];
    let points_back = [
        " it ", " its ", " they ", " their ", " them ", " that ", " those ", " these ", " he ",
        " she ", " his ", " her ", " same ", " instead",
    ];
    let padded = format!(" {} ", lower.trim_end_matches(['?', '.', '!']));
    let telling = question.times.iter().zip(&question.names).filter(|(time, _)| !**time).count();
    begins.iter().any(|begin| lower.starts_with(begin))
        || (points_back.iter().any(|word| padded.contains(word)) && telling <= 4)
        || telling <= 1
}

/// The question, then what the earlier one says and it does not replace: its times are
/// replaced by the question's, and its names where the question brings another one.
fn joined(question: &str, before: &str) -> String {
    let now = Question::read(question);
    let said = Question::read(before);
    let brings_time = now.times.contains(&true);
    let only_names = now
        .terms
        .iter()
        .enumerate()
        .all(|(at, _)| now.names[at] || now.times[at] || is_filler(&now.terms[at]));
    let brings_name = now.names.contains(&true) && only_names;
    let mut kept = Vec::new();
    for word in before.split_whitespace() {
        let found = terms(word);
        let of = |flags: &[bool]| {
            found.iter().any(|term| {
                said.terms.iter().position(|seen| seen == term).is_some_and(|at| flags[at])
            })
        };
        let mut said_already = !found.is_empty();
        analyse(word, |term, _| said_already &= now.terms.iter().any(|seen| seen == term));
        let replaced_time = brings_time && (of(&said.times) || is_day(word));
        let replaced_name = brings_name && of(&said.names) && first_name(&said, &found);
        if !found.is_empty() && !said_already && !replaced_time && !replaced_name {
            kept.push(word.trim_matches(|c: char| matches!(c, '?' | '!' | ',' | ';')));
        }
    }
    let question = question.trim();
    if kept.is_empty() { question.to_owned() } else { format!("{question} ({})", kept.join(" ")) }
}

/// Whether a word belongs to the first name of a question: "Apple" in "Apple's Services".
fn first_name(question: &Question, found: &[String]) -> bool {
    let first = question.names.iter().position(|named| *named);
    first.is_some_and(|at| found.contains(&question.terms[at]))
}

fn is_filler(term: &str) -> bool {
    matches!(term, "same" | "sam" | "instead" | "then" | "compani" | "fund")
}

fn is_day(word: &str) -> bool {
    let digits = word.trim_matches(|c: char| !c.is_alphanumeric());
    digits.len() <= 2 && digits.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConversationId, MessageId};
    use crate::model::MessageState;

    fn turn(role: MessageRole, content: &str) -> Message {
        Message {
            id: MessageId(uuid::Uuid::nil()),
            conversation_id: ConversationId(uuid::Uuid::nil()),
            role,
            state: MessageState::Done,
            content: content.to_owned(),
            citations: Vec::new(),
            figures: Vec::new(),
            model: None,
            usage: None,
            error: None,
            created_at: crate::clock::Time::default(),
        }
    }

    fn after(earlier: &[&str], question: &str) -> String {
        let mut turns = Vec::new();
        for asked in earlier {
            turns.push(turn(MessageRole::User, asked));
            turns.push(turn(MessageRole::Assistant, "“82,959” [1]"));
        }
        standalone_question(question, &turns)
    }

    const FIRST: &str =
        "What were Apple's total net sales in the three months ended June 25, 2022?";

    #[test]
    fn another_period_replaces_the_one_before() {
        let whole = after(&[FIRST], "And for the nine months?");
        for word in ["nine", "Apple's", "net", "sales"] {
            assert!(whole.contains(word), "{whole}");
        }
        assert!(!whole.contains("three"), "{whole}");
    }

    #[test]
    fn another_company_replaces_the_one_before() {
        let whole = after(&[FIRST], "What about Intel?");
        assert!(whole.contains("Intel") && whole.contains("net sales"), "{whole}");
        assert!(!whole.contains("Apple"), "{whole}");
        assert!(whole.contains("2022"), "{whole}");
    }

    #[test]
    fn a_follow_up_of_a_follow_up_reaches_the_first_question() {
        let whole = after(&[FIRST, "What about Intel?"], "And Amazon?");
        assert!(whole.contains("Amazon") && whole.contains("net sales"), "{whole}");
        assert!(!whole.contains("Apple"), "{whole}");
    }

    #[test]
    fn a_question_that_stands_alone_is_left_as_it_is() {
        let own = "How much did Amazon record as estimated severance costs in 2023?";
        assert_eq!(after(&[FIRST], own), own);
        assert_eq!(after(&[], "And then?"), "And then?");
    }
}
