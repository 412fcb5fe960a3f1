//! Acceptance of questions.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{AcceptQuestion, AcceptedQuestion, StoreError};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::super::chat::title_of;
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::{dialect, rows};
use super::{column, none_yet, place, workspaces};

/// A question to be accepted.
#[derive(Clone)]
pub(super) struct Accept {
    workspace: WorkspaceId,
    question: Arc<AcceptQuestion>,
    accepted: AcceptedQuestion,
    title: Arc<str>,
    content: Arc<str>,
    payload: Arc<str>,
    response: Arc<str>,
}

impl Accept {
    pub(super) fn new(workspace: WorkspaceId, question: AcceptQuestion) -> Result<Self, Fault> {
        let accepted = AcceptedQuestion {
            message_id: question.message_id,
            answer_id: question.answer_id,
            job_id: question.job.id,
        };
        Ok(Self {
            workspace,
            accepted,
            title: dialect::text(title_of(&question.content)).into(),
            content: dialect::text(question.content.clone()).into(),
            payload: rows::to_json(&question.job.payload)?.into(),
            response: rows::to_json(&accepted)?.into(),
            question: Arc::new(question),
        })
    }
}

const ACCEPT: &str = "
SELECT * FROM accept_questions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
    $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

impl Call for Accept {
    type Answer = Option<AcceptedQuestion>;

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Self::Answer, Fault>>, Fault> {
        let key = |call: &'_ Self| call.question.idempotency.clone();
        let found = sqlx::query(ACCEPT)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.question.conversation_id.uuid()))
            .bind(column(&calls, |call| call.question.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.message_id.uuid()))
            .bind(column(&calls, |call| call.question.answer_id.uuid()))
            .bind(column(&calls, |call| &*call.content))
            .bind(column(&calls, |call| &*call.title))
            .bind(column(&calls, |call| rows::micros(call.question.job.created_at)))
            .bind(column(&calls, |call| call.question.job.id.uuid()))
            .bind(column(&calls, |call| call.question.job.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.job.kind.as_str()))
            .bind(column(&calls, |call| call.question.job.step.as_str()))
            .bind(column(&calls, |call| &*call.payload))
            .bind(column(&calls, |call| call.question.job.batch_id.map(|batch| batch.uuid())))
            .bind(column(&calls, |call| call.question.job.outbox_id.uuid()))
            .bind(column(&calls, |call| call.question.job.deadline.map(rows::micros)))
            .bind(column(&calls, |call| call.question.job.traceparent.as_deref()))
            .bind(column(&calls, |call| call.question.audit.id.uuid()))
            .bind(column(&calls, |call| call.question.audit.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.audit.action))
            .bind(column(&calls, |call| call.question.audit.subject.as_str()))
            .bind(column(&calls, |call| rows::micros(call.question.audit.at)))
            .bind(column(&calls, |call| key(call).map(|key| key.principal_id.uuid())))
            .bind(column(&calls, |call| key(call).map(|key| dialect::text(key.key))))
            .bind(column(&calls, |call| key(call).map(|key| key.request_sha256.to_vec())))
            .bind(column(&calls, |call| key(call).map(|key| rows::micros(key.created_at))))
            .bind(column(&calls, |call| &*call.response))
            .bind(column(&calls, |call| {
                let job = &call.question.job;
                rows::micros(job.held_until.unwrap_or(job.created_at))
            }))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        let mut answers = none_yet(calls.len());
        for row in &found {
            let place = place(row)?;
            let (Some(answer), Some(call)) = (answers.get_mut(place), calls.get(place)) else {
                continue;
            };
            *answer = match (row.try_get("accepted")?, row.try_get("known")?) {
                (true, _) => Ok(Some(call.accepted)),
                (false, true) => {
                    Err(StoreError::Conflict { what: "a request with this idempotency key" }.into())
                }
                (false, false) => Ok(None),
            };
        }
        Ok(answers)
    }
}
