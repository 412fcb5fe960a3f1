//! What was retrieved, and with it the next step.

use std::sync::Arc;

use quaestor_core::ids::{MessageId, WorkspaceId};
use quaestor_core::ports::store::{Advance, Claim, Heartbeat, StoreError};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, place, workspaces};

/// What was retrieved for an answer.
#[derive(Clone)]
pub(super) struct Retrieved {
    pub(super) workspace: WorkspaceId,
    pub(super) claim: Claim,
    pub(super) answer: MessageId,
    pub(super) standalone_question: Arc<str>,
    pub(super) passages: Arc<str>,
    pub(super) payload: Arc<str>,
    pub(super) next: Arc<Advance>,
}

const ADVANCE: &str = "
SELECT * FROM keep_retrieved($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
    $15)";

impl Call for Retrieved {
    type Answer = Heartbeat;

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Heartbeat, Fault>>, Fault> {
        let written = sqlx::query(ADVANCE)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| call.answer.uuid()))
            .bind(column(&calls, |call| &*call.standalone_question))
            .bind(column(&calls, |call| &*call.passages))
            .bind(column(&calls, |call| call.next.step.as_str()))
            .bind(column(&calls, |call| &*call.payload))
            .bind(column(&calls, |call| call.next.outbox_id.uuid()))
            .bind(column(&calls, |call| rows::micros(call.next.due_at)))
            .bind(column(&calls, |call| call.next.kept.map(|kept| kept.worker.uuid())))
            .bind(column(&calls, |call| call.next.kept.map(|kept| rows::micros(kept.lease_until))))
            .bind(column(&calls, |call| call.claim.outbox_id.uuid()))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        let mut answers: Vec<Result<Heartbeat, Fault>> =
            calls.iter().map(|_| Err(StoreError::Fenced.into())).collect();
        for row in &written {
            if let Some(answer) = answers.get_mut(place(row)?) {
                *answer = Ok(match row.try_get("cancel_requested")? {
                    true => Heartbeat::CancelRequested,
                    false => Heartbeat::Held,
                });
            }
        }
        Ok(answers)
    }
}
