//! What was said before in the conversation, within its share of the prompt.
//!
//! The latest turns stand as they were said. What does not fit is summarised: of each older
//! turn its question and how its answer began, oldest first, as far as a part of the share
//! reaches. The summary is made of the conversation's own words. A model would write a
//! smoother one, but it costs a call before every answer, and may say what nobody said.

use quaestor_core::model::{Message, MessageRole, MessageState};
use quaestor_core::ports::chat_model::{PromptMessage, PromptRole};
use quaestor_core::tokens;

/// The summary takes up to this part of the share.
const SUMMARY_PART: u32 = 3;
/// Characters of an older question, and of the beginning of its answer.
const SUMMARISED_CHARS: usize = 240;

/// The turns before the question, for a prompt: at most about `share` tokens.
pub(crate) fn history(earlier: &[Message], share: u32) -> Vec<PromptMessage> {
    let turns: Vec<PromptMessage> = earlier
        .iter()
        .filter(|turn| turn.state == MessageState::Done)
        .map(|turn| {
            let role = match turn.role {
                MessageRole::User => PromptRole::User,
                MessageRole::Assistant => PromptRole::Assistant,
            };
            // Markers of an earlier answer name passages that are not given now.
            PromptMessage { role, content: without_markers(&turn.content) }
        })
        .collect();
    let all: u32 = turns.iter().map(cost).fold(0, u32::saturating_add);
    if all <= share {
        return turns;
    }
    let mut left = share - share / SUMMARY_PART;
    let mut first_whole = turns.len();
    while let Some(turn) = first_whole.checked_sub(1).map(|before| &turns[before]) {
        let Some(rest) = left.checked_sub(cost(turn)) else { break };
        left = rest;
        first_whole -= 1;
    }
    // A conversation begins with a question.
    while turns.get(first_whole).is_some_and(|turn| turn.role == PromptRole::Assistant) {
        first_whole += 1;
    }
    let (older, whole) = turns.split_at(first_whole);
    let mut history = Vec::with_capacity(whole.len() + 2);
    if let Some(summary) = summary(older, share / SUMMARY_PART) {
        history.push(PromptMessage { role: PromptRole::User, content: summary });
        let noted = "I keep that in mind.".to_owned();
        history.push(PromptMessage { role: PromptRole::Assistant, content: noted });
    }
    history.extend(whole.iter().cloned());
    history
}

/// The older turns in short, the latest of them first to be let in.
fn summary(older: &[PromptMessage], share: u32) -> Option<String> {
    const LEAD: &str = "Earlier in this conversation, in short:";
    let mut left = share.checked_sub(tokens::estimate(LEAD))?;
    let mut lines = Vec::new();
    for turn in older.iter().rev() {
        let who = match turn.role {
            PromptRole::Assistant => "A",
            PromptRole::User | PromptRole::System => "Q",
        };
        let line = format!("{who}: {}", beginning(&turn.content));
        let Some(rest) = left.checked_sub(tokens::estimate(&line) + 1) else { break };
        left = rest;
        lines.push(line);
    }
    if lines.is_empty() {
        return None;
    }
    lines.push(LEAD.to_owned());
    lines.reverse();
    Some(lines.join("\n"))
}

/// A text up to its first paragraph's end, or cut at a word.
fn beginning(text: &str) -> String {
    let text = text.trim();
    let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    if paragraph.chars().count() <= SUMMARISED_CHARS {
        return paragraph;
    }
    let cut: String = paragraph.chars().take(SUMMARISED_CHARS).collect();
    let words = cut.rfind(' ').map_or(cut.as_str(), |space| &cut[..space]);
    format!("{words} …")
}

fn cost(turn: &PromptMessage) -> u32 {
    tokens::estimate(&turn.content).saturating_add(4)
}

fn without_markers(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let (before, from_bracket) = rest.split_at(start);
        clean.push_str(before);
        let digits = from_bracket[1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && from_bracket[1 + digits..].starts_with(']') {
            rest = &from_bracket[digits + 2..];
        } else {
            clean.push('[');
            rest = &from_bracket[1..];
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::{Clock, ManualClock};
    use quaestor_core::ids::{ConversationId, MessageId};
    use uuid::Uuid;

    use super::*;

    fn message(role: MessageRole, content: String) -> Message {
        Message {
            id: MessageId(Uuid::from_u128(1)),
            conversation_id: ConversationId(Uuid::from_u128(1)),
            role,
            state: MessageState::Done,
            content,
            citations: Vec::new(),
            figures: Vec::new(),
            model: None,
            usage: None,
            error: None,
            created_at: ManualClock::at_millis(0).now(),
        }
    }

    fn turns(count: usize, words: usize) -> Vec<Message> {
        (0..count)
            .flat_map(|n| {
                let question = format!("Question {n} about fund {n}?");
                let answer = format!("Answer {n} [1]. {}", "more words ".repeat(words));
                [message(MessageRole::User, question), message(MessageRole::Assistant, answer)]
            })
            .collect()
    }

    #[test]
    fn what_fits_stands_as_it_was_said_without_its_markers() {
        let history = history(&turns(2, 1), 1_000);
        let texts: Vec<&str> = history.iter().map(|turn| turn.content.trim()).collect();
        assert_eq!(texts[1], "Answer 0 . more words");
        assert_eq!(texts.len(), 4);
    }

    #[test]
    fn what_does_not_fit_is_summarised_and_the_share_is_kept() {
        for share in [0, 50, 300, 900, 2_000] {
            let history = history(&turns(20, 60), share);
            let cost: u32 = history.iter().map(cost).sum();
            assert!(cost <= share, "{cost} of {share}");
            if share < 300 {
                continue;
            }
            assert!(history[0].content.starts_with("Earlier in this conversation, in short:"));
            assert!(history[0].content.contains("Q: Question"), "{}", history[0].content);
            assert_eq!(history[0].role, PromptRole::User);
            for pair in history.windows(2) {
                assert_ne!(pair[0].role, pair[1].role, "turns alternate");
            }
            assert_eq!(history.last().unwrap().role, PromptRole::Assistant);
        }
    }

    #[test]
    fn a_part_that_is_no_marker_stays() {
        assert_eq!(
            without_markers("Sales rose [1][12]. See [a] and ["),
            "Sales rose . See [a] and ["
        );
    }
}
