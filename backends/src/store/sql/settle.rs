//! What a claim settles into when the job goes on: the next step, or a later try.

use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Advance, Claim, PutOff, StoreError};

use super::dialect::{self, DbConnection, of_message};
use super::fault::Fault;
use super::{outbox, relay, rows};

/// Ends the claim and makes the job wait for the due time of `next`, with the reason.
pub(super) async fn put_off(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    why: PutOff<'_>,
    next: &Advance,
    now: Time,
) -> Result<(), Fault> {
    go_on(tx, workspace, claim, Some(why), !why.is_try, next, now).await
}

/// Ends the claim and queues the next step.
pub(super) async fn advance(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    next: &Advance,
    now: Time,
) -> Result<(), Fault> {
    go_on(tx, workspace, claim, None, false, next, now).await
}

/// Ends the claim and queues the same step again. However often a step is handed back, it
/// counts as one try: whoever stops workers does not use a job's tries up.
pub(super) async fn hand_back(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    next: &Advance,
    now: Time,
) -> Result<(), Fault> {
    go_on(tx, workspace, claim, None, true, next, now).await
}

async fn go_on(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    why: Option<PutOff<'_>>,
    untried: bool,
    next: &Advance,
    now: Time,
) -> Result<(), Fault> {
    let reason = why.map(|why| why.reason);
    let failure = why.and_then(|why| why.failure).map(rows::to_json).transpose()?;
    let moved = sqlx::query(concat!(
        "UPDATE jobs SET state = $5, step = $6, payload = $7, reason = $8, until = $9,
             first_failed_at = CASE WHEN $16 IS NULL THEN first_failed_at
                 ELSE coalesce(first_failed_at, $10) END,
             last_error = coalesce($16, last_error), attempt = attempt + $12,
             step_attempt = CASE WHEN step <> $6 THEN 0
                 WHEN $11 AND step_attempt > 1 THEN step_attempt - 1
                 ELSE step_attempt END + $12,
             lease_until = $13, worker_id = $14, updated_at = $10
         WHERE workspace_id = $1 AND id = $2 AND attempt = $3 AND step = $4 AND state = 'running'",
        of_message!("$15")
    ))
    .bind(workspace.uuid())
    .bind(claim.job_id.uuid())
    .bind(i64::from(claim.attempt))
    .bind(claim.step.as_str())
    .bind(match (reason, next.kept) {
        (Some(_), _) => "waiting",
        (None, Some(_)) => "running",
        (None, None) => "queued",
    })
    .bind(next.step.as_str())
    .bind(rows::to_json(&next.payload)?)
    .bind(reason.map(str::to_owned))
    .bind(reason.map(|_| rows::micros(next.due_at)))
    .bind(rows::micros(now))
    .bind(untried)
    .bind(i64::from(next.kept.is_some()))
    .bind(next.kept.map(|kept| rows::micros(kept.lease_until)))
    .bind(next.kept.map(|kept| kept.worker.uuid()))
    .bind(claim.outbox_id.uuid())
    .bind(failure.map(dialect::text))
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 0 {
        return Err(StoreError::Fenced.into());
    }
    outbox::put(tx, workspace, claim.job_id, (next.outbox_id, next.step), now, next.due_at).await?;
    if next.kept.is_some() {
        // Nobody waits for its message.
        relay::mark_sent(tx, &[next.outbox_id], now).await?;
    }
    Ok(())
}
