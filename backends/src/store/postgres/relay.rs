//! What a relay does to the outbox: takes due messages, marks them as sent, gives them back.
//!
//! Relays of several processes do so at once. None waits for another's rows: a row that
//! somebody holds is being taken, or replaced, or removed.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::ports::store::OutboxRow;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::fault::Fault;
use super::{outbox, rows};

/// Takes due messages, which are then not due before `hold_until`.
pub(super) async fn take(
    tx: &mut PgConnection,
    now: Time,
    hold_until: Time,
    limit: u32,
) -> Result<Vec<OutboxRow>, Fault> {
    let found = sqlx::query(
        "WITH first AS MATERIALIZED (
             SELECT id, job_id, due_at FROM outbox
             WHERE sent_at IS NULL AND NOT bulk AND due_at <= $1
             ORDER BY due_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
         ), rest AS MATERIALIZED (
             SELECT id, job_id, due_at FROM outbox
             WHERE sent_at IS NULL AND bulk AND due_at <= $1
             ORDER BY due_at, id LIMIT $3 - (SELECT count(*) FROM first)
             FOR NO KEY UPDATE SKIP LOCKED
         ), due AS (
             SELECT id, job_id, due_at, FALSE AS bulk FROM first
             UNION ALL SELECT id, job_id, due_at, TRUE FROM rest
         ), held AS (
             UPDATE outbox o SET due_at = greatest(o.due_at, $2) FROM due WHERE o.id = due.id
             RETURNING o.id, o.workspace_id, o.job_id, o.enqueued_at, due.due_at AS was_due_at,
                 due.bulk
         )
         SELECT h.id, h.workspace_id, h.job_id, h.enqueued_at, j.step, j.principal_id, j.payload,
             j.traceparent, j.deadline, j.attempt
         FROM held h JOIN jobs j ON j.id = h.job_id
         ORDER BY h.bulk, h.was_due_at, h.id",
    )
    .bind(rows::micros(now))
    .bind(rows::micros(hold_until))
    .bind(i64::from(limit))
    .fetch_all(tx)
    .await?;
    found.iter().map(outbox::row).collect()
}

/// Makes messages that were taken due at `due_at`.
pub(super) async fn give_back(
    tx: &mut PgConnection,
    taken: &[OutboxId],
    due_at: Time,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE outbox SET due_at = $2 WHERE id IN
             (SELECT id FROM outbox WHERE id = ANY ($1) AND sent_at IS NULL
              ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(uuids(taken))
    .bind(rows::micros(due_at))
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes those of the jobs due that wait for this reason and were not called before: a message
/// that a relay holds is not due as long, but not at the moment until which its job waits.
/// Returns all of them that wait for the reason.
pub(super) async fn bring_forward(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    jobs: &[JobId],
    reason: &str,
    now: Time,
) -> Result<Vec<JobId>, Fault> {
    let found = sqlx::query(
        "WITH moved AS (
             UPDATE outbox SET due_at = $4 WHERE id IN
                 (SELECT o.id FROM outbox o JOIN jobs j ON j.id = o.job_id
                  WHERE o.workspace_id = $1 AND o.job_id = ANY ($2) AND o.sent_at IS NULL
                    AND o.due_at > $4 AND o.due_at = j.until
                    AND j.state = 'waiting' AND j.reason = $3
                  ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED))
         SELECT id FROM jobs WHERE workspace_id = $1 AND id = ANY ($2) AND state = 'waiting'
             AND reason = $3",
    )
    .bind(workspace.uuid())
    .bind(jobs.iter().map(|job| job.uuid()).collect::<Vec<Uuid>>())
    .bind(reason)
    .bind(rows::micros(now))
    .fetch_all(tx)
    .await?;
    found.iter().map(|row| rows::id(row, "id")).collect()
}

/// Marks messages as sent; those that were marked stay as they are.
pub(super) async fn mark_sent(
    tx: &mut PgConnection,
    sent: &[OutboxId],
    now: Time,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE outbox SET sent_at = $2 WHERE id IN
             (SELECT id FROM outbox WHERE id = ANY ($1) AND sent_at IS NULL
              ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(uuids(sent))
    .bind(rows::micros(now))
    .execute(tx)
    .await?;
    Ok(())
}

fn uuids(messages: &[OutboxId]) -> Vec<Uuid> {
    messages.iter().map(|message| message.uuid()).collect()
}
