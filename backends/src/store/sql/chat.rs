//! Questions and answers: acceptance, what the handlers read and write, feedback.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{ChunkId, ConversationId, JobId, MessageId, PrincipalId, WorkspaceId};
use quaestor_core::model::Message;
use quaestor_core::ports::store::{
    AcceptQuestion, AcceptedQuestion, Advance, Answer, ChatStore, Claim, Grounding, Heartbeat,
    NewFeedback, QuestionContext, RetrievedPassage, StoreError, UnfinishedAnswer,
};
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore};
use super::ending::Ending;
use super::fault::{Fault, during};
use super::rows::message_columns;
use super::{claims, ending, hot, money, rows, search};

/// How much of a question a title takes.
const TITLE_CHARS: usize = 80;

#[async_trait]
impl ChatStore for DbStore {
    async fn accept_question(
        &self,
        workspace: WorkspaceId,
        question: AcceptQuestion,
    ) -> Result<Option<AcceptedQuestion>, StoreError> {
        hot::accept_question(self, workspace, question).await.map_err(during("accept a question"))
    }

    async fn question_context(
        &self,
        workspace: WorkspaceId,
        question: MessageId,
        answer: MessageId,
        earlier: u32,
    ) -> Result<Option<QuestionContext>, StoreError> {
        hot::question_context(self, workspace, question, answer, earlier)
            .await
            .map_err(during("read a question"))
    }

    async fn save_retrieved(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        standalone_question: &str,
        passages: &[RetrievedPassage],
        next: Advance,
    ) -> Result<Heartbeat, StoreError> {
        hot::save_retrieved(self, workspace, claim, answer, standalone_question, passages, next)
            .await
            .map_err(during("store what was retrieved"))
    }

    async fn grounding(
        &self,
        workspace: WorkspaceId,
        answer: MessageId,
    ) -> Result<Option<Grounding>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT standalone_question, passages FROM groundings
                 WHERE workspace_id = $1 AND answer_id = $2",
            )
            .bind(workspace.uuid())
            .bind(answer.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let kept: Vec<(ChunkId, f32)> = rows::from_json(&row, "passages")?;
            let ids: Vec<ChunkId> = kept.iter().map(|(chunk, _)| *chunk).collect();
            let stored = search::passages(&mut reader, workspace, &ids).await?;
            // Both are in the same order; those that are gone are missing in the second.
            let mut stored = stored.into_iter().peekable();
            let mut passages = Vec::with_capacity(kept.len());
            for (chunk, score) in kept {
                if let Some(passage) = stored.next_if(|passage| passage.chunk_id == chunk) {
                    passages.push((passage, score));
                }
            }
            Ok(Some(Grounding {
                standalone_question: row.try_get("standalone_question")?,
                passages,
            }))
        };
        work.await.map_err(during("read what was retrieved"))
    }

    async fn save_answer(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        content: Answer,
        now: Time,
    ) -> Result<(), StoreError> {
        hot::save_answer(self, workspace, claim, answer, content, now)
            .await
            .map_err(during("store an answer"))
    }

    async fn end_answer(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        end: UnfinishedAnswer,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            hold_answer(&mut tx, workspace, claim, answer).await?;
            let usage = end.usage.as_ref();
            sqlx::query(
                "UPDATE messages SET content = $3, model = $4, input_tokens = $5,
                     output_tokens = $6, cost_micros = $7
                 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(answer.uuid())
            .bind(dialect::text(end.partial))
            .bind(usage.map(|call| call.model.clone()))
            .bind(usage.map(|call| rows::signed(call.usage.input_tokens)))
            .bind(usage.map(|call| rows::signed(call.usage.output_tokens)))
            .bind(usage.map(|call| rows::signed(call.usage.cost_micros)))
            .execute(&mut *tx)
            .await?;
            money::account(&mut tx, workspace, claim, &end.calls).await?;
            let ending = match end.problem {
                None => Ending::Cancelled,
                Some(problem) => {
                    Ending::Unsuccessful { state: quaestor_core::model::JobState::Failed, problem }
                }
            };
            ending::end_with_subject(&mut tx, workspace, claim.job_id, &ending, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("end an answer"))
    }

    async fn save_feedback(
        &self,
        workspace: WorkspaceId,
        feedback: NewFeedback,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let kept = sqlx::query(
                "INSERT INTO feedback
                     (message_id, principal_id, workspace_id, rating, comment, created_at)
                 SELECT m.id, $3, $1, $4, $5, $6
                 FROM messages m JOIN conversations c ON c.id = m.conversation_id
                 WHERE m.workspace_id = $1 AND m.id = $2 AND m.role = 'assistant'
                   AND c.principal_id = $3
                 ON CONFLICT (message_id, principal_id) DO UPDATE SET rating = excluded.rating,
                     comment = excluded.comment, created_at = excluded.created_at",
            )
            .bind(workspace.uuid())
            .bind(feedback.message_id.uuid())
            .bind(feedback.principal_id.uuid())
            .bind(i64::from(feedback.rating))
            .bind(feedback.comment.map(dialect::text))
            .bind(rows::micros(feedback.created_at))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(kept.rows_affected() > 0)
        };
        work.await.map_err(during("keep a judgement"))
    }

    async fn unfinished_jobs(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
    ) -> Result<Vec<JobId>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            // The few pending answers first, and their jobs by subject: without statistics
            // a planner would walk through all jobs of the workspace.
            let found = sqlx::query(
                "WITH pending AS MATERIALIZED (
                     SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
                     WHERE m.conversation_id = $3 AND m.state = 'pending' AND m.workspace_id = $1
                         AND c.workspace_id = $1 AND c.principal_id = $2
                 )
                 SELECT j.id FROM jobs j WHERE j.subject_id IN (SELECT id FROM pending)
                     AND j.workspace_id = $1 AND j.state IN ('queued', 'running', 'waiting')
                 ORDER BY j.id LIMIT 64",
            )
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(conversation.uuid())
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(|row| rows::id(row, "id")).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("read a conversation's jobs"))
    }

    async fn answer_of_job(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        job: JobId,
    ) -> Result<Option<Message>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                message_columns!(),
                " FROM jobs j JOIN messages m ON m.id = j.subject_id
                  JOIN conversations c ON c.id = m.conversation_id
                  WHERE j.workspace_id = $1 AND j.id = $3 AND j.kind = 'chat'
                    AND m.workspace_id = $1 AND c.principal_id = $2"
            ))
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(job.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(rows::message).transpose()
        };
        work.await.map_err(during("read a job's answer"))
    }
}

/// A conversation without a title takes its first question's beginning.
pub(super) fn title_of(question: &str) -> String {
    question.trim().chars().take(TITLE_CHARS).collect()
}

/// Refuses a stale claim, and one of a job that writes another answer.
pub(super) async fn hold_answer(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    answer: MessageId,
) -> Result<(), Fault> {
    claims::hold(tx, workspace, claim).await?;
    let own =
        sqlx::query("SELECT 1 FROM jobs WHERE workspace_id = $1 AND id = $2 AND subject_id = $3")
            .bind(workspace.uuid())
            .bind(claim.job_id.uuid())
            .bind(answer.uuid())
            .fetch_optional(tx)
            .await?;
    match own {
        Some(_) => Ok(()),
        None => Err(StoreError::Fenced.into()),
    }
}
