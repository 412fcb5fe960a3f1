//! Jobs that end as done with nothing else to write.

use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::Claim;

use super::super::connections::{Commit, Connections};
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, held, workspaces};

/// A job to be ended.
#[derive(Clone)]
pub(super) struct End {
    pub(super) workspace: WorkspaceId,
    pub(super) claim: Claim,
    pub(super) now: Time,
}

const END: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[])
    WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, now, place)
    ORDER BY job_id
), ended AS (
    UPDATE jobs j SET state = 'done', problem = NULL, reason = NULL, until = NULL,
        lease_until = NULL, worker_id = NULL, updated_at = i.now, finished_at = i.now
    FROM input i
    WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
        AND j.step = i.step AND j.state = 'running'
    RETURNING i.place
), removed AS (
    DELETE FROM outbox o USING input i JOIN ended USING (place)
    WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
)
SELECT place FROM ended";

impl Call for End {
    type Answer = ();

    async fn write(
        connections: &Connections,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let named = workspaces(&calls, |call| call.workspace);
        let mut writer = connections.group(named, Commit::OnDisk);
        let mut tx = writer.begin().await?;
        let written = sqlx::query(END)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| rows::micros(call.now)))
            .fetch_all(&mut *tx)
            .await?;
        let answers = held(calls.len(), &written)?;
        tx.commit().await?;
        Ok(answers)
    }
}
