//! Questions and answers: those of a conversation, or a chosen set.

use std::collections::BTreeSet;

use quaestor_core::ids::{CollectionId, ConversationId, MessageId};
use quaestor_core::model::{
    Cursor, ExportSelection, FigureStatus, MAX_PAGE, Message, MessageRole, PageRequest,
};
use quaestor_exports::part::{About, Counts};
use quaestor_exports::{Cover, Part, Turn};

use super::output::Output;
use super::{Produced, Writing, gone};
use crate::decision::Decision;

/// The most models that a title page names.
const MODELS_MAX: usize = 20;

/// Writes the cover and every turn. What is chosen is read twice: the cover tells what is in
/// it, and stands before it.
pub(super) async fn write(writing: &Writing<'_>, output: &mut Output) -> Result<(), Produced> {
    let mut seen = Seen::default();
    let mut turns = Turns::of(writing)?;
    while let Some(turn) = turns.next(writing).await? {
        seen.take(&turn);
    }
    let (title, collections) = about(writing).await?;
    let cover = Cover {
        about: About::Answers,
        title,
        asker: writing.asker(),
        created_at: writing.work.created_at,
        models: seen.models.into_iter().collect(),
        generations: writing.generations(collections.as_deref()).await?,
        counts: seen.counts,
    };
    output.part(Part::Cover(cover)).await?;
    let mut turns = Turns::of(writing)?;
    let mut written = 0;
    while let Some(turn) = turns.next(writing).await? {
        output.part(Part::Turn(Box::new(turn))).await?;
        written += 1;
        writing.progress(written, seen.turns.max(written), "answers").await?;
    }
    Ok(())
}

/// The title, and the collections that were asked; none for all.
async fn about(writing: &Writing<'_>) -> Result<(String, Option<Vec<CollectionId>>), Decision> {
    let ExportSelection::ConversationId(id) = writing.work.selection else {
        return Ok(("Answers".to_owned(), None));
    };
    let (workspace, principal) = (writing.job.workspace, writing.work.principal_id);
    let found = writing.context.store.conversation(workspace, principal, id).await?;
    let conversation = found.ok_or_else(|| gone("the conversation"))?;
    let title = conversation.title.filter(|title| !title.trim().is_empty());
    Ok((title.unwrap_or_else(|| "Conversation".to_owned()), conversation.collection_ids))
}

/// What the cover tells of the turns.
#[derive(Default)]
struct Seen {
    turns: u64,
    counts: Counts,
    models: BTreeSet<String>,
}

impl Seen {
    fn take(&mut self, turn: &Turn) {
        self.turns += 1;
        self.counts.questions += u64::from(turn.question.is_some());
        let Some(answer) = &turn.answer else { return };
        for figure in &answer.figures {
            match figure.status {
                FigureStatus::Supported => self.counts.figures_supported += 1,
                FigureStatus::Unsupported => self.counts.figures_unsupported += 1,
            }
        }
        if let Some(model) = answer.model.as_ref().filter(|_| self.models.len() < MODELS_MAX) {
            self.models.insert(model.clone());
        }
    }
}

/// Turns, one after the other.
struct Turns {
    from: From,
    number: u64,
}

enum From {
    Conversation {
        id: ConversationId,
        /// What was read and not given yet, the next one last.
        read: Vec<Message>,
        after: Option<Cursor>,
        ended: bool,
    },
    Answers(std::vec::IntoIter<MessageId>),
}

impl Turns {
    fn of(writing: &Writing<'_>) -> Result<Self, Decision> {
        let from = match &writing.work.selection {
            ExportSelection::ConversationId(id) => {
                From::Conversation { id: *id, read: Vec::new(), after: None, ended: false }
            }
            ExportSelection::MessageIds(ids) => From::Answers(ids.clone().into_iter()),
            ExportSelection::CollectionId(_) | ExportSelection::DocumentIds(_) => {
                return Err(gone("the conversation"));
            }
        };
        Ok(Self { from, number: 0 })
    }

    async fn next(&mut self, writing: &Writing<'_>) -> Result<Option<Turn>, Decision> {
        self.number += 1;
        let number = self.number;
        if let From::Answers(ids) = &mut self.from {
            let Some(id) = ids.next() else { return Ok(None) };
            let (workspace, principal) = (writing.job.workspace, writing.work.principal_id);
            let store = &writing.context.store;
            let found = store.answer_with_question(workspace, principal, id).await?;
            let (answer, question) = found.ok_or_else(|| gone("one of the answers"))?;
            return Ok(Some(Turn { number, question, answer: Some(answer) }));
        }
        let Some(first) = self.message(writing).await? else { return Ok(None) };
        if first.role == MessageRole::Assistant {
            return Ok(Some(Turn { number, question: None, answer: Some(first) }));
        }
        let answer = match self.message(writing).await? {
            Some(next) if next.role == MessageRole::Assistant => Some(next),
            Some(next) => {
                self.give_back(next);
                None
            }
            None => None,
        };
        Ok(Some(Turn { number, question: Some(first), answer }))
    }

    /// The next message of the conversation that was there when the export was asked for.
    async fn message(&mut self, writing: &Writing<'_>) -> Result<Option<Message>, Decision> {
        let From::Conversation { id, read, after, ended } = &mut self.from else {
            return Ok(None);
        };
        if read.is_empty() && !*ended {
            let page = PageRequest { limit: MAX_PAGE, after: *after };
            let (workspace, principal) = (writing.job.workspace, writing.work.principal_id);
            let store = &writing.context.store;
            let found = store.list_messages(workspace, principal, *id, page).await?;
            let found = found.ok_or_else(|| gone("the conversation"))?;
            *after = found.next;
            *ended = found.next.is_none();
            let until = writing.work.created_at;
            read.extend(found.items.into_iter().filter(|message| message.created_at <= until));
            read.reverse();
        }
        Ok(read.pop())
    }

    fn give_back(&mut self, message: Message) {
        if let From::Conversation { read, .. } = &mut self.from {
            read.push(message);
        }
    }
}
