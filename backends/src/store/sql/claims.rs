//! Claims: who may write for a job, and until when.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::jobs::Step;
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{
    Claim, ClaimOutcome, ClaimRequest, Claimed, Heartbeat, StoreError,
};
use sqlx::Row;

use super::dialect::{self, DbConnection, for_update, of_message};
use super::ending::{self, Ending};
use super::fault::{Fault, corrupt};
use super::{batches, jobs, rows};

/// Claims a step, or says why not.
pub(super) async fn claim(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    request: &ClaimRequest,
) -> Result<ClaimOutcome, Fault> {
    dialect::lock_job(tx, workspace, request.job_id).await?;
    let found = sqlx::query(
        "SELECT j.step, j.state, j.attempt, j.step_attempt, j.lease_until, j.cancel_requested,
             j.payload, j.principal_id, j.deadline, j.created_at, o.id AS outbox_id,
             b.state AS batch_state
         FROM jobs j LEFT JOIN outbox o ON o.job_id = j.id
         LEFT JOIN batches b ON b.id = j.batch_id
         WHERE j.workspace_id = $1 AND j.id = $2",
    )
    .bind(workspace.uuid())
    .bind(request.job_id.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = found else { return Ok(ClaimOutcome::Stale) };

    let state: JobState = rows::named(&row, "state")?;
    if state.is_terminal() {
        let job = jobs::find(tx, workspace, None, request.job_id)
            .await?
            .ok_or_else(|| corrupt("job", "it vanished within a transaction"))?;
        return Ok(ClaimOutcome::Ended { job: Box::new(job) });
    }
    // A message that was sent again after its step was put off or handed on names an
    // outbox row that is gone: were it followed, the delay would be lost.
    let message = row.try_get::<Option<uuid::Uuid>, _>("outbox_id")?.map(OutboxId);
    if rows::named::<Step>(&row, "step")? != request.step || message != Some(request.outbox_id) {
        return Ok(ClaimOutcome::Stale);
    }
    if state == JobState::Running
        && let Some(until) = rows::optional_time(&row, "lease_until")?
        && until > request.now
    {
        return Ok(ClaimOutcome::Held { until });
    }
    let attempt = rows::number(&row, "attempt")?;
    let of_batch = row.try_get::<Option<String>, _>("batch_state")?;
    let batch_ends = of_batch.as_deref() == Some(batches::CANCELLING);
    if row.try_get::<bool, _>("cancel_requested")? || batch_ends {
        ending::end_with_subject(tx, workspace, request.job_id, &Ending::Cancelled, request.now)
            .await?;
        return Ok(ClaimOutcome::Cancelled { attempt });
    }
    if of_batch.as_deref() == Some(batches::PAUSED) {
        return Ok(ClaimOutcome::BatchPaused);
    }

    let attempt = attempt + 1;
    let step_attempt = rows::number(&row, "step_attempt")? + 1;
    sqlx::query(
        "UPDATE jobs SET state = 'running', attempt = $3, step_attempt = $4, lease_until = $5,
             worker_id = $6, reason = NULL, until = NULL, updated_at = $7
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(request.job_id.uuid())
    .bind(i64::from(attempt))
    .bind(i64::from(step_attempt))
    .bind(rows::micros(request.lease_until))
    .bind(request.worker.uuid())
    .bind(rows::micros(request.now))
    .execute(tx)
    .await?;
    Ok(ClaimOutcome::Claimed(Box::new(Claimed {
        claim: Claim {
            job_id: request.job_id,
            step: request.step,
            attempt,
            outbox_id: request.outbox_id,
        },
        restarted: step_attempt > 1,
        step_attempt,
        payload: rows::from_json(&row, "payload")?,
        principal_id: rows::id(&row, "principal_id")?,
        deadline: rows::optional_time(&row, "deadline")?,
        created_at: rows::time(&row, "created_at")?,
    })))
}

/// Refuses a claim that a later one, a sweep or the job's end has replaced. Every write
/// of a handler begins with it, in the same transaction.
pub(super) async fn hold(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
) -> Result<(), Fault> {
    let held = sqlx::query(concat!(
        "SELECT 1 FROM jobs WHERE workspace_id = $1 AND id = $2 AND attempt = $3 AND step = $4
         AND state = 'running'",
        of_message!("$5"),
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(claim.job_id.uuid())
    .bind(i64::from(claim.attempt))
    .bind(claim.step.as_str())
    .bind(claim.outbox_id.uuid())
    .fetch_optional(tx)
    .await?;
    match held {
        Some(_) => Ok(()),
        None => Err(StoreError::Fenced.into()),
    }
}

/// Extends the lease of a claim that still holds.
pub(super) async fn extend(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    lease_until: Time,
) -> Result<Heartbeat, Fault> {
    let extended = sqlx::query(concat!(
        "UPDATE jobs SET lease_until = CASE WHEN lease_until < $5 THEN $5 ELSE lease_until END
         WHERE workspace_id = $1 AND id = $2 AND attempt = $3 AND step = $4 AND state = 'running'",
        of_message!("$6"),
        " RETURNING cancel_requested"
    ))
    .bind(workspace.uuid())
    .bind(claim.job_id.uuid())
    .bind(i64::from(claim.attempt))
    .bind(claim.step.as_str())
    .bind(rows::micros(lease_until))
    .bind(claim.outbox_id.uuid())
    .fetch_optional(tx)
    .await?;
    Ok(match extended {
        None => Heartbeat::Lost,
        Some(row) if row.try_get("cancel_requested")? => Heartbeat::CancelRequested,
        Some(_) => Heartbeat::Held,
    })
}

/// Tells whoever holds the job that it is no longer wanted.
pub(super) async fn ask_to_stop(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    now: Time,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE jobs SET cancel_requested = TRUE, updated_at = $3
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(rows::micros(now))
    .execute(tx)
    .await?;
    Ok(())
}
