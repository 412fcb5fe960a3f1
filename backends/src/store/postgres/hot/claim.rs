//! Claims that can be granted as they stand.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Claim, ClaimRequest, Claimed};

use super::super::connections::{Commit, Connections};
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, place, workspaces};

/// A wish to claim.
#[derive(Clone)]
pub(super) struct Take {
    pub(super) workspace: WorkspaceId,
    pub(super) request: Arc<ClaimRequest>,
}

/// The job alone is looked at: of two claims at once the later one waits for the row and
/// then finds it running. Where one job is claimed twice in a group, one of them has it.
const CLAIM: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[],
        $7::bigint[])
    WITH ORDINALITY AS t(workspace_id, job_id, step, outbox_id, worker_id, now, lease_until, place)
    ORDER BY job_id
)
UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, step_attempt = j.step_attempt + 1,
    lease_until = i.lease_until, worker_id = i.worker_id, reason = NULL, until = NULL,
    updated_at = i.now
FROM input i
WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.step = i.step
    AND j.outbox_id = i.outbox_id AND NOT j.cancel_requested
    AND (j.state IN ('queued', 'waiting')
         OR (j.state = 'running' AND coalesce(j.lease_until <= i.now, TRUE)))
RETURNING i.place, j.attempt, j.step_attempt, j.payload, j.principal_id, j.deadline, j.created_at";

impl Call for Take {
    type Answer = Option<Claimed>;

    async fn write(
        connections: &Connections,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Self::Answer, Fault>>, Fault> {
        let named = workspaces(&calls, |call| call.workspace);
        let mut writer = connections.group(named, Commit::Soon);
        let mut tx = writer.begin().await?;
        let found = sqlx::query(CLAIM)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.request.job_id.uuid()))
            .bind(column(&calls, |call| call.request.step.as_str()))
            .bind(column(&calls, |call| call.request.outbox_id.uuid()))
            .bind(column(&calls, |call| call.request.worker.uuid()))
            .bind(column(&calls, |call| rows::micros(call.request.now)))
            .bind(column(&calls, |call| rows::micros(call.request.lease_until)))
            .fetch_all(&mut *tx)
            .await?;
        let mut answers: Vec<Result<Self::Answer, Fault>> =
            calls.iter().map(|_| Ok(None)).collect();
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
        tx.commit().await?;
        Ok(answers)
    }
}
