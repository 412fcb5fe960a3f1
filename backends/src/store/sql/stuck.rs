//! Work that stands still, and the messages that a queue gave up.

use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::jobs::Step;
use quaestor_core::ports::store::{
    Backlog, DeadCount, KeptMessage, NewDeadMessage, QueueLoad, QueuedJob, StuckWork,
};
use sqlx::Row;
use uuid::Uuid;

use super::dialect::{self, DbConnection, DbRow};
use super::fault::Fault;
use super::rows;

/// The jobs that are queued at a step, in the order in which its queue has them.
pub(super) async fn queue_front(
    connection: &mut DbConnection,
    step: Step,
    limit: u32,
) -> Result<Vec<QueuedJob>, Fault> {
    let found = sqlx::query(
        "SELECT o.workspace_id, o.job_id, o.due_at, o.sent_at
         FROM outbox o JOIN jobs j ON j.id = o.job_id
         WHERE j.state = 'queued' AND j.step = $1 ORDER BY o.enqueued_at, o.id LIMIT $2",
    )
    .bind(step.as_str())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let queued = |row: &DbRow| {
        Ok(QueuedJob {
            workspace_id: rows::id(row, "workspace_id")?,
            job_id: rows::id(row, "job_id")?,
            due_at: rows::time(row, "due_at")?,
            sent: row.try_get::<Option<i64>, _>("sent_at")?.is_some(),
        })
    };
    found.iter().map(queued).collect()
}

/// What the queues have. Reads the rows of unfinished jobs alone.
pub(super) async fn queue_loads(
    connection: &mut DbConnection,
    turn: &str,
    now: Time,
) -> Result<Vec<QueueLoad>, Fault> {
    let found = sqlx::query(
        "SELECT j.step AS step,
             sum(CASE WHEN j.state = 'running' THEN 0 ELSE 1 END) AS ready,
             sum(CASE WHEN j.state = 'running' THEN 1 ELSE 0 END) AS running,
             min(CASE WHEN j.state = 'queued' THEN o.due_at END) AS oldest_at
         FROM outbox o JOIN jobs j ON j.id = o.job_id
         WHERE j.state = 'running' OR (j.state = 'queued' AND o.due_at <= $1)
             OR (j.state = 'waiting' AND j.reason = $2)
         GROUP BY j.step ORDER BY j.step",
    )
    .bind(rows::micros(now))
    .bind(turn)
    .fetch_all(connection)
    .await?;
    let mut loads = Vec::new();
    for row in &found {
        // A later program's step may wait here while it is rolled out.
        let Ok(step) = row.try_get::<String, _>("step")?.parse() else { continue };
        loads.push(QueueLoad {
            step,
            ready: rows::unsigned(row, "ready")?,
            running: rows::unsigned(row, "running")?,
            oldest_at: rows::optional_time(row, "oldest_at")?,
        });
    }
    Ok(loads)
}

fn backlog(row: &DbRow) -> Result<Backlog, Fault> {
    Ok(Backlog {
        name: row.try_get::<Option<String>, _>("name")?.unwrap_or_default(),
        count: rows::unsigned(row, "jobs")?,
        oldest_at: rows::time(row, "oldest_at")?,
    })
}

/// What has stood still since before a moment. Reads the rows of unfinished jobs alone.
pub(super) async fn stuck_work(
    connection: &mut DbConnection,
    before: Time,
) -> Result<StuckWork, Fault> {
    let queued = sqlx::query(
        "SELECT j.step AS name, count(*) AS jobs, min(o.due_at) AS oldest_at
         FROM outbox o JOIN jobs j ON j.id = o.job_id
         WHERE j.state = 'queued' AND o.due_at < $1 GROUP BY j.step ORDER BY j.step",
    )
    .bind(rows::micros(before))
    .fetch_all(&mut *connection)
    .await?;
    let waiting = sqlx::query(
        "SELECT j.reason AS name, count(*) AS jobs, min(j.created_at) AS oldest_at
         FROM outbox o JOIN jobs j ON j.id = o.job_id
         WHERE j.state = 'waiting' GROUP BY j.reason ORDER BY j.reason",
    )
    .fetch_all(&mut *connection)
    .await?;
    let expired = sqlx::query(
        "SELECT 'expired' AS name, count(*) AS jobs, min(lease_until) AS oldest_at
         FROM jobs WHERE state = 'running' AND lease_until < $1 HAVING count(*) > 0",
    )
    .bind(rows::micros(before))
    .fetch_optional(&mut *connection)
    .await?;
    let unsent = sqlx::query(
        "SELECT 'unsent' AS name, count(*) AS jobs, min(due_at) AS oldest_at
         FROM outbox WHERE sent_at IS NULL AND due_at < $1 HAVING count(*) > 0",
    )
    .bind(rows::micros(before))
    .fetch_optional(&mut *connection)
    .await?;
    Ok(StuckWork {
        queued: queued.iter().map(backlog).collect::<Result<_, Fault>>()?,
        waiting: waiting.iter().map(backlog).collect::<Result<_, Fault>>()?,
        expired: expired.as_ref().map(backlog).transpose()?,
        unsent: unsent.as_ref().map(backlog).transpose()?,
    })
}

/// Counts dead letters by kind and class.
pub(super) async fn dead_counts(
    connection: &mut DbConnection,
    limit: u32,
) -> Result<Vec<DeadCount>, Fault> {
    let found = sqlx::query(
        "SELECT kind, code, count(*) AS letters FROM dead_letters GROUP BY kind, code
         ORDER BY letters DESC, kind, code LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let count = |row: &DbRow| {
        Ok(DeadCount {
            kind: row.try_get("kind")?,
            code: row.try_get("code")?,
            count: rows::unsigned(row, "letters")?,
        })
    };
    found.iter().map(count).collect()
}

/// Keeps a message that its queue gave up. `first` is the oldest workspace.
pub(super) async fn keep_message(
    tx: &mut DbConnection,
    first: WorkspaceId,
    message: NewDeadMessage,
    cap: u32,
) -> Result<KeptMessage, Fault> {
    let counted = sqlx::query(
        "SELECT count(*) AS letters FROM
             (SELECT 1 FROM dead_letters WHERE kind = 'message' LIMIT $1) d",
    )
    .bind(i64::from(cap))
    .fetch_one(&mut *tx)
    .await?;
    if rows::unsigned(&counted, "letters")? >= u64::from(cap) {
        return Ok(KeptMessage::Full);
    }
    let NewDeadMessage {
        id,
        code,
        detail,
        step,
        names,
        mut message,
        attempts,
        died_at,
        traceparent,
    } = message;
    // What a message says of itself counts where the job's row says the same.
    let mut owner = first;
    if let Some((named, job)) = names {
        let found = sqlx::query("SELECT workspace_id FROM jobs WHERE id = $1")
            .bind(job.uuid())
            .fetch_optional(&mut *tx)
            .await?;
        let of_row: Option<Uuid> = found.map(|row| row.try_get("workspace_id")).transpose()?;
        if of_row == Some(named.uuid()) {
            owner = named;
        } else if named != first {
            message.body = None;
        }
    }
    dialect::see(tx, owner).await?;
    sqlx::query(
        "INSERT INTO dead_letters (id, workspace_id, kind, step, code, detail, causes, attempts,
             first_failed_at, died_at, traceparent, message)
         VALUES ($1, $2, 'message', $3, $4, $5, '[]', $6, $7, $7, $8, $9)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(owner.uuid())
    .bind(step)
    .bind(code)
    .bind(dialect::text(detail))
    .bind(i64::from(attempts))
    .bind(rows::micros(died_at))
    .bind(traceparent.map(dialect::text))
    .bind(dialect::text(rows::to_json(&message)?))
    .execute(tx)
    .await?;
    Ok(KeptMessage::Kept)
}
