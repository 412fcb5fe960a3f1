//! What a relay does to the outbox: takes due messages, marks them as sent, gives them back.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::ports::store::OutboxRow;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::fault::Fault;
use super::{outbox, rows};

/// Takes due messages, which are then not due before `hold_until`.
pub(super) async fn take(
    tx: &mut SqliteConnection,
    now: Time,
    hold_until: Time,
    limit: u32,
) -> Result<Vec<OutboxRow>, Fault> {
    let mut taken = Vec::new();
    for bulk in [false, true] {
        let left = i64::from(limit) - rows::signed(rows::length(&taken));
        let found = sqlx::query(
            "SELECT o.id, o.workspace_id, o.job_id, o.enqueued_at, j.step, j.principal_id,
                 j.payload, j.traceparent, j.deadline, j.attempt
             FROM outbox o JOIN jobs j ON j.id = o.job_id
             WHERE o.sent_at IS NULL AND o.bulk = $3 AND o.due_at <= $1
             ORDER BY o.due_at, o.id LIMIT $2",
        )
        .bind(rows::micros(now))
        .bind(left.max(0))
        .bind(bulk)
        .fetch_all(&mut *tx)
        .await?;
        for row in &found {
            taken.push(outbox::row(row)?);
        }
    }
    for row in &taken {
        sqlx::query("UPDATE outbox SET due_at = max(due_at, $2) WHERE id = $1")
            .bind(row.envelope.outbox_id.uuid())
            .bind(rows::micros(hold_until))
            .execute(&mut *tx)
            .await?;
    }
    Ok(taken)
}

/// Makes messages that were taken due at `due_at`.
pub(super) async fn give_back(
    tx: &mut SqliteConnection,
    taken: &[OutboxId],
    due_at: Time,
) -> Result<(), Fault> {
    for message in taken {
        sqlx::query("UPDATE outbox SET due_at = $2 WHERE id = $1 AND sent_at IS NULL")
            .bind(message.uuid())
            .bind(rows::micros(due_at))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Makes those of the jobs due that wait for this reason and were not called before: a message
/// that a relay holds is not due as long, but not at the moment until which its job waits.
/// Returns all of them that wait for the reason.
pub(super) async fn bring_forward(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    jobs: &[JobId],
    reason: &str,
    now: Time,
) -> Result<Vec<JobId>, Fault> {
    let mut found = Vec::new();
    for job in jobs {
        let waits = sqlx::query(
            "SELECT until FROM jobs WHERE workspace_id = $1 AND id = $2 AND state = 'waiting'
                 AND reason = $3",
        )
        .bind(workspace.uuid())
        .bind(job.uuid())
        .bind(reason.to_owned())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(waits) = waits else { continue };
        found.push(*job);
        sqlx::query(
            "UPDATE outbox SET due_at = $2
             WHERE job_id = $1 AND sent_at IS NULL AND due_at > $2 AND due_at = $3",
        )
        .bind(job.uuid())
        .bind(rows::micros(now))
        .bind(waits.try_get::<Option<i64>, _>("until")?)
        .execute(&mut *tx)
        .await?;
    }
    Ok(found)
}

/// Marks messages as sent; those that were marked stay as they are.
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
