//! The prompt: what a language model is asked, which passages fit, and what was said before.
//!
//! Its beginning is the same for every question, then comes the conversation, which only
//! grows, and the passages and the question come last: providers keep what they made of a
//! beginning that they have seen.

mod fence;
mod history;
mod template;

use quaestor_core::model::Passage;
use quaestor_core::ports::chat_model::{GroundingPassage, PromptMessage, PromptRole};
use quaestor_core::ports::store::{Grounding, QuestionContext};
use quaestor_core::tokens;

pub(crate) use template::ANSWER;

/// A prompt with the passages that went into it.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    /// The turns for a language model.
    pub(crate) messages: Vec<PromptMessage>,
    /// The question, made to stand alone.
    pub(crate) question: String,
    /// The passages as the model gets them.
    pub(crate) grounding: Vec<GroundingPassage>,
    /// The same passages, by ordinal minus one.
    pub(crate) passages: Vec<Passage>,
    /// What the messages cost to send, estimated.
    pub(crate) input_tokens: u64,
}

/// How many tokens the parts of a prompt may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// The passages, with all that stands around them.
    pub(crate) passages: u32,
    /// What was said before.
    pub(crate) history: u32,
}

/// Builds the prompt for a question. Passages are taken best first while they fit; one that
/// does not leaves its place to the next.
pub(crate) fn build(subject: &QuestionContext, grounding: &Grounding, shares: Shares) -> Prompt {
    let (given, passages) = pack(grounding, shares.passages);
    let instructions = ANSWER.instructions.to_owned();
    let mut messages = vec![PromptMessage { role: PromptRole::System, content: instructions }];
    messages.extend(history::history(&subject.earlier, shares.history));
    let content = format!("{}\nQuestion: {}", fence::fence(&given), subject.question.content);
    messages.push(PromptMessage { role: PromptRole::User, content });
    let input_tokens = messages.iter().map(|m| u64::from(tokens::estimate(&m.content))).sum();
    Prompt {
        messages,
        question: grounding.standalone_question.clone(),
        grounding: given,
        passages,
        input_tokens,
    }
}

fn pack(grounding: &Grounding, share: u32) -> (Vec<GroundingPassage>, Vec<Passage>) {
    let mut left = share;
    let (mut given, mut passages) = (Vec::new(), Vec::new());
    for (passage, score) in &grounding.passages {
        let ordinal = u32::try_from(given.len() + 1).unwrap_or(u32::MAX);
        let candidate = GroundingPassage {
            ordinal,
            filename: passage.filename.clone(),
            title: passage.title.clone(),
            page: passage.page,
            section: passage.section.clone(),
            header: passage.header.clone(),
            text: passage.text.clone(),
            is_table: passage.is_table,
            score: *score,
        };
        let cost = fence::most_tokens(&candidate, passage.tokens);
        let Some(rest) = left.checked_sub(cost) else { continue };
        left = rest;
        given.push(candidate);
        passages.push(passage.clone());
    }
    (given, passages)
}

#[cfg(test)]
mod tests {
    use quaestor_core::ids::{ChunkId, CollectionId, DocumentId};
    use quaestor_documents::tokens::count;
    use uuid::Uuid;

    use super::*;

    fn passage(n: u128, text: String) -> (Passage, f32) {
        let header = "in millions | 2024 | 2023".to_owned();
        let tokens = count(&format!("{header}\n{text}"));
        let passage = Passage {
            chunk_id: ChunkId(Uuid::from_u128(n)),
            document_id: DocumentId(Uuid::from_u128(n)),
            version: 1,
            collection_id: CollectionId(Uuid::from_u128(1)),
            filename: "Annual_report_2024-final (signed).pdf".into(),
            title: Some("Annual report of the Halden Fund".into()),
            media_type: "application/pdf".into(),
            document_date: None,
            ordinal: 0,
            page_ordinal: 0,
            page: Some(117),
            char_start: 0,
            char_end: 0,
            section: "Consolidated statements › Notes › 12. Revenue".into(),
            header,
            text,
            is_table: true,
            cells: None,
            tokens,
        };
        (passage, 1.0)
    }

    #[test]
    fn the_passages_never_cost_more_than_their_share_by_the_models_own_count() {
        let passages: Vec<_> = (0..40)
            .map(|n| {
                passage(n, format!("Net sales {n} | 82,959 | 81,434\n").repeat(1 + n as usize % 9))
            })
            .collect();
        let grounding = Grounding { standalone_question: String::new(), passages };
        for share in [0, 100, 500, 2_000, 6_000] {
            let (given, taken) = pack(&grounding, share);
            let cost = count(&fence::fence(&given));
            assert!(cost <= share.max(3), "{cost} of {share}");
            assert_eq!(given.len(), taken.len());
            if share == 6_000 {
                assert!(cost > share / 2, "{cost}: most of the share is used");
            }
            let ordinals: Vec<u32> = given.iter().map(|passage| passage.ordinal).collect();
            assert_eq!(ordinals, (1..=given.len() as u32).collect::<Vec<_>>());
        }
    }
}
