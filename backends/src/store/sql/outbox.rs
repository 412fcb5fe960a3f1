//! The outbox: one row for each unfinished job, the message of the step it is at.
//!
//! The row is written with the job, replaced when the job advances and removed when it
//! ends, all in the transaction of that change.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::jobs::{ENVELOPE_VERSION, Envelope, Step};
use quaestor_core::ports::store::OutboxRow;
use sqlx::Row;

use super::dialect::{self, DbConnection, DbRow, skip_locked};
use super::fault::Fault;
use super::rows;

/// Makes `message` the job's only message, unsent.
pub(super) async fn put(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    (message, step): (OutboxId, Step),
    enqueued_at: Time,
    due_at: Time,
) -> Result<(), Fault> {
    remove(tx, workspace, job).await?;
    sqlx::query(
        "INSERT INTO outbox (id, workspace_id, job_id, enqueued_at, due_at, bulk)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(message.uuid())
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(rows::micros(enqueued_at))
    .bind(rows::micros(due_at))
    .bind(is_bulk(step))
    .execute(&mut *tx)
    .await?;
    dialect::message_changed(tx, workspace, job, message).await
}

/// Whether messages of the step come after those that somebody waits for. Ten thousand files
/// that were uploaded together must not stand before a question.
pub(super) fn is_bulk(step: Step) -> bool {
    match step {
        Step::ChatRetrieve | Step::ChatGenerate => false,
        Step::DocumentsIngest
        | Step::DocumentsEmbed
        | Step::CollectionsReindex
        | Step::ExportsWrite => true,
    }
}

/// Removes the job's message.
pub(super) async fn remove(
    tx: &mut DbConnection,
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

/// Of those that wait for their turn, so many are looked at to find whose turn it is: the ones
/// that are due first.
const TURNS_LOOKED_AT: i64 = 10_000;

/// Makes up to `limit` jobs due that wait for this reason, of all workspaces in turn. A message
/// that a relay holds was called before: it is not due at the moment until which its job waits.
pub(super) async fn call_turns(
    tx: &mut DbConnection,
    reason: &str,
    limit: u32,
    now: Time,
) -> Result<Vec<(WorkspaceId, JobId)>, Fault> {
    let called = sqlx::query(concat!(
        "UPDATE outbox SET due_at = $1 WHERE id IN
             (SELECT id FROM outbox WHERE id IN
                  (SELECT id FROM
                       (SELECT o.id, o.job_id,
                            row_number() OVER (PARTITION BY o.workspace_id ORDER BY o.job_id)
                                AS turn
                        FROM (SELECT id, workspace_id, job_id, due_at FROM outbox
                              WHERE sent_at IS NULL AND NOT bulk AND due_at > $1
                              ORDER BY due_at, id LIMIT $4) o
                        JOIN jobs j ON j.id = o.job_id
                        WHERE j.state = 'waiting' AND j.reason = $2 AND o.due_at = j.until) waiting
                   ORDER BY turn, job_id LIMIT $3)
                AND sent_at IS NULL AND due_at > $1
              ORDER BY id",
        skip_locked!(),
        ")
         RETURNING workspace_id, job_id"
    ))
    .bind(rows::micros(now))
    .bind(reason.to_owned())
    .bind(i64::from(limit))
    .bind(TURNS_LOOKED_AT)
    .fetch_all(tx)
    .await?;
    let of_job = |row: &DbRow| Ok((rows::id(row, "workspace_id")?, rows::id(row, "job_id")?));
    called.iter().map(of_job).collect()
}

pub(super) fn row(row: &DbRow) -> Result<OutboxRow, Fault> {
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
        attempt: rows::number(row, "attempt")?,
    })
}

pub(super) async fn next_due(connection: &mut DbConnection) -> Result<Option<Time>, Fault> {
    let mut next: Option<Time> = None;
    for bulk in [false, true] {
        let first = sqlx::query(
            "SELECT due_at FROM outbox WHERE sent_at IS NULL AND bulk = $1
             ORDER BY due_at LIMIT 1",
        )
        .bind(bulk)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = first {
            let due = rows::time(&row, "due_at")?;
            next = Some(next.map_or(due, |other| other.min(due)));
        }
    }
    Ok(next)
}

/// Makes sent messages of a step unsent and due, whose jobs nobody has claimed.
pub(super) async fn resend(
    tx: &mut DbConnection,
    step: Step,
    sent_before: Time,
    now: Time,
    limit: u32,
) -> Result<u64, Fault> {
    let lost = sqlx::query(
        "UPDATE outbox SET sent_at = NULL, due_at = $3 WHERE id IN
             (SELECT o.id FROM outbox o JOIN jobs j ON j.id = o.job_id
              WHERE o.sent_at < $2 AND j.step = $1 AND j.state IN ('queued', 'waiting')
              ORDER BY o.sent_at LIMIT $4)",
    )
    .bind(step.as_str())
    .bind(rows::micros(sent_before))
    .bind(rows::micros(now))
    .bind(i64::from(limit))
    .execute(tx)
    .await?;
    Ok(lost.rows_affected())
}

pub(super) async fn unsent(connection: &mut DbConnection, cap: u32) -> Result<u64, Fault> {
    let counted = sqlx::query(
        "SELECT count(*) AS unsent FROM (SELECT 1 FROM outbox WHERE sent_at IS NULL LIMIT $1) o",
    )
    .bind(i64::from(cap))
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(counted.try_get::<i64, _>("unsent")?).unwrap_or(0))
}
