//! The outbox: one row for each unfinished job, the message of the step it is at.
//!
//! The row is written with the job, replaced when the job advances and removed when it
//! ends, all in the transaction of that change.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::jobs::{ENVELOPE_VERSION, Envelope};
use quaestor_core::ports::store::OutboxRow;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::fault::Fault;
use super::rows;

/// Makes `message` the job's only message, unsent.
pub(super) async fn put(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    job: JobId,
    message: OutboxId,
    enqueued_at: Time,
    due_at: Time,
) -> Result<(), Fault> {
    remove(tx, workspace, job).await?;
    sqlx::query(
        "INSERT INTO outbox (id, workspace_id, job_id, enqueued_at, due_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(message.uuid())
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(rows::micros(enqueued_at))
    .bind(rows::micros(due_at))
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes the job's message.
pub(super) async fn remove(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    job: JobId,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM outbox WHERE workspace_id = $1 AND job_id = $2")
        .bind(workspace.uuid())
        .bind(job.uuid())
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn due(
    connection: &mut SqliteConnection,
    now: Time,
    limit: u32,
) -> Result<Vec<OutboxRow>, Fault> {
    let found = sqlx::query(
        "SELECT o.id, o.workspace_id, o.job_id, o.enqueued_at, j.step, j.principal_id, j.payload,
             j.traceparent, j.deadline, j.attempt
         FROM outbox o JOIN jobs j ON j.id = o.job_id
         WHERE o.sent_at IS NULL AND o.due_at <= $1
         ORDER BY o.due_at, o.id LIMIT $2",
    )
    .bind(rows::micros(now))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found.iter().map(outbox_row).collect()
}

fn outbox_row(row: &SqliteRow) -> Result<OutboxRow, Fault> {
    Ok(OutboxRow {
        envelope: Envelope {
            v: ENVELOPE_VERSION,
            outbox_id: rows::id(row, "id")?,
            job_id: rows::id(row, "job_id")?,
            step: rows::named(row, "step")?,
            workspace_id: rows::id(row, "workspace_id")?,
            principal_id: rows::id(row, "principal_id")?,
            payload: rows::from_json(row, "payload")?,
            traceparent: row.try_get("traceparent")?,
            enqueued_at: rows::time(row, "enqueued_at")?,
            deadline: rows::optional_time(row, "deadline")?,
        },
        attempt: row.try_get("attempt")?,
    })
}

pub(super) async fn next_due(connection: &mut SqliteConnection) -> Result<Option<Time>, Fault> {
    let next =
        sqlx::query("SELECT due_at FROM outbox WHERE sent_at IS NULL ORDER BY due_at LIMIT 1")
            .fetch_optional(connection)
            .await?;
    next.map(|row| rows::time(&row, "due_at")).transpose()
}

pub(super) async fn mark_sent(
    tx: &mut SqliteConnection,
    sent: &[OutboxId],
    now: Time,
) -> Result<(), Fault> {
    for message in sent {
        sqlx::query("UPDATE outbox SET sent_at = $2 WHERE id = $1 AND sent_at IS NULL")
            .bind(message.uuid())
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
