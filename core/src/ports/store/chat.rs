//! Questions and answers: acceptance, what the handlers read and write, feedback, usage.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Advance, Claim, Heartbeat, IdempotencyKey, NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{
    ChunkId, CollectionId, ConversationId, JobId, MessageId, PrincipalId, WorkspaceId,
};
use crate::jobs::NewJob;
use crate::model::{Citation, Figure, Message, MessageState, Passage, Usage};
use crate::ports::model_call::ModelCall;
use crate::problem::Problem;

/// A question to be accepted.
#[derive(Clone, Debug)]
pub struct AcceptQuestion {
    /// The chat it is asked in.
    pub conversation_id: ConversationId,
    /// Who asks.
    pub principal_id: PrincipalId,
    /// The question's row.
    pub message_id: MessageId,
    /// The answer's row, pending.
    pub answer_id: MessageId,
    /// The question.
    pub content: String,
    /// The job that answers it.
    pub job: NewJob,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The entry for the audit log.
    pub audit: NewAuditEntry,
}

/// The answer to a question's acceptance, kept with its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedQuestion {
    /// The question.
    pub message_id: MessageId,
    /// The answer to come.
    pub answer_id: MessageId,
    /// The job that writes it.
    pub job_id: JobId,
}

/// What a handler needs to know of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionContext {
    /// The question.
    pub question: Message,
    /// Where its answer stands.
    pub answer_state: MessageState,
    /// Finished turns before it, oldest first, at most the number asked for.
    pub earlier: Vec<Message>,
    /// The collections it asks: the conversation's, or all of the workspace, those that
    /// were deleted since left out.
    pub collection_ids: Vec<CollectionId>,
}

/// A passage that was retrieved for a question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrievedPassage {
    /// The chunk.
    pub chunk_id: ChunkId,
    /// As search scored it.
    pub score: f32,
}

/// What was retrieved for a question, read back by `chat.generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grounding {
    /// The question, made to stand alone.
    pub standalone_question: String,
    /// The passages, best first; those whose document was deleted since are left out.
    pub passages: Vec<(Passage, f32)>,
}

/// An answer to be stored.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// Its citations, checked.
    pub citations: Vec<Citation>,
    /// Its figures, checked.
    pub figures: Vec<Figure>,
    /// `provider:model`.
    pub model: String,
    /// What it cost, all requests together, as readers are shown it.
    pub usage: Usage,
    /// The requests that it took, to be accounted.
    pub calls: Vec<ModelCall>,
}

/// Who wrote an unfinished answer, and what it cost, as readers are shown it.
#[derive(Clone, Debug)]
pub struct NewUsage {
    /// `provider:model`.
    pub model: String,
    /// What it cost.
    pub usage: Usage,
}

/// How an answer ended that was not finished.
#[derive(Clone, Debug)]
pub struct UnfinishedAnswer {
    /// What was written so far.
    pub partial: String,
    /// Who wrote it and what it cost, where a model was asked.
    pub usage: Option<NewUsage>,
    /// The requests that were sent, to be accounted.
    pub calls: Vec<ModelCall>,
    /// Why it failed; none where it was cancelled.
    pub problem: Option<Problem>,
}

/// A reader's judgement of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFeedback {
    /// The answer.
    pub message_id: MessageId,
    /// Who judges.
    pub principal_id: PrincipalId,
    /// 1 for good, -1 for bad.
    pub rating: i8,
    /// In words.
    pub comment: Option<String>,
    /// When.
    pub created_at: Time,
}

/// Questions and answers.
#[async_trait]
pub trait ChatStore: Send + Sync {
    /// Accepts a question in one transaction: question, pending answer, job, outbox row,
    /// audit entry, idempotency key. None where the principal has no such conversation.
    async fn accept_question(
        &self,
        workspace: WorkspaceId,
        question: AcceptQuestion,
    ) -> Result<Option<AcceptedQuestion>, StoreError>;

    /// What `chat.retrieve` and `chat.generate` need to know; none if the conversation
    /// was deleted since.
    async fn question_context(
        &self,
        workspace: WorkspaceId,
        question: MessageId,
        answer: MessageId,
        earlier: u32,
    ) -> Result<Option<QuestionContext>, StoreError>;

    /// Keeps what was retrieved and advances the job, in one transaction. Where the next
    /// step is kept, the claim that holds from then on is the next attempt's. Says, as a
    /// heartbeat does, whether somebody wants the job cancelled; `Lost` it never says, that
    /// is the error `Fenced`.
    async fn save_retrieved(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        standalone_question: &str,
        passages: &[RetrievedPassage],
        next: Advance,
    ) -> Result<Heartbeat, StoreError>;

    /// What was retrieved for an answer.
    async fn grounding(
        &self,
        workspace: WorkspaceId,
        answer: MessageId,
    ) -> Result<Option<Grounding>, StoreError>;

    /// Stores the answer: text, citations, figures, usage, message `done`, job `done`, and
    /// the requests that it took, in one transaction.
    async fn save_answer(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        content: Answer,
        now: Time,
    ) -> Result<(), StoreError>;

    /// Ends the answer without success: message `failed` or `cancelled` with what was
    /// written so far, job likewise, and the requests that were sent, in one transaction.
    async fn end_answer(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        end: UnfinishedAnswer,
        now: Time,
    ) -> Result<(), StoreError>;

    /// Keeps a judgement; a second one of the same principal replaces the first. False
    /// where the principal has no such answer.
    async fn save_feedback(
        &self,
        workspace: WorkspaceId,
        feedback: NewFeedback,
    ) -> Result<bool, StoreError>;

    /// The jobs of a conversation of the principal that are not finished, oldest first, at
    /// most 64; none where there is no such conversation.
    async fn unfinished_jobs(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
    ) -> Result<Vec<JobId>, StoreError>;

    /// The principal's answer that a job writes, for a watcher whose events are gone.
    async fn answer_of_job(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        job: JobId,
    ) -> Result<Option<Message>, StoreError>;
}
