//! What a relay does to the outbox: takes due messages, marks them as sent, gives them back.

use quaestor_core::clock::Time;
use quaestor_core::ids::OutboxId;
use quaestor_core::ports::store::OutboxRow;
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
