//! Claims that can be granted as they stand.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Claim, ClaimRequest, Claimed};
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, none_yet, place, workspaces};

/// A wish to claim.
#[derive(Clone)]
pub(super) struct Take {
    pub(super) workspace: WorkspaceId,
    pub(super) request: Arc<ClaimRequest>,
}

const CLAIM: &str = "
SELECT * FROM claim_steps_of_batches($1, $2, $3, $4, $5, $6, $7, $8)";

impl Call for Take {
    type Answer = Option<Claimed>;

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Self::Answer, Fault>>, Fault> {
        let found = sqlx::query(CLAIM)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.request.job_id.uuid()))
            .bind(column(&calls, |call| call.request.step.as_str()))
            .bind(column(&calls, |call| call.request.outbox_id.uuid()))
            .bind(column(&calls, |call| call.request.worker.uuid()))
            .bind(column(&calls, |call| rows::micros(call.request.now)))
            .bind(column(&calls, |call| rows::micros(call.request.lease_until)))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        let mut answers = none_yet(calls.len());
        for row in &found {
            let place = place(row)?;
            let (Some(answer), Some(call)) = (answers.get_mut(place), calls.get(place)) else {
                continue;
            };
            let step_attempt = rows::number(row, "step_attempt")?;
            *answer = Ok(Some(Claimed {
                claim: Claim {
                    job_id: call.request.job_id,
                    step: call.request.step,
                    attempt: rows::number(row, "attempt")?,
                    outbox_id: call.request.outbox_id,
                },
                restarted: step_attempt > 1,
                step_attempt,
                payload: rows::from_json(row, "payload")?,
                principal_id: rows::id(row, "principal_id")?,
                deadline: rows::optional_time(row, "deadline")?,
                created_at: rows::time(row, "created_at")?,
            }));
        }
        Ok(answers)
    }
}
