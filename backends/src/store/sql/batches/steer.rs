//! What changes of batches: files come, they are paused, resumed, cancelled, tried again.

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::{BatchId, JobId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Batch, BatchState, JobState, Reason};
use quaestor_core::ports::store::{
    CancelledFiles, NewBatch, Replay, ReplayReport, Replayed, Steer, Unclaimed,
};
use sqlx::Row;
use uuid::Uuid;

use super::super::dialect::{self, DbConnection, for_share, for_update, of_message};
use super::super::ending::{self, Ending};
use super::super::fault::Fault;
use super::super::{claims, replay, rows};
use super::{ACTIVE, CANCELLED, CANCELLING, PAUSED, count, look};

/// The time that a file has whose batch is paused: it is given its own when it goes on.
const NEVER_LATE: TimeDelta = TimeDelta::days(3_650);

pub(super) async fn insert(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: &NewBatch,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO batches (id, workspace_id, principal_id, name, state, expected, files,
             duplicates, size_bytes, created_at)
         VALUES ($1, $2, $3, $4, 'active', $5, 0, 0, 0, $6)",
    )
    .bind(batch.id.uuid())
    .bind(workspace.uuid())
    .bind(batch.principal_id.uuid())
    .bind(batch.name.clone().map(dialect::text))
    .bind(batch.expected.map(count))
    .bind(rows::micros(batch.created_at))
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a batch takes more files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Room {
    /// It does, and is locked.
    Open,
    /// It does not, or is not there.
    None,
}

/// Locks a batch that files come to.
pub(in super::super) async fn take_in(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
) -> Result<Room, Fault> {
    let row = look::row(tx, workspace, None, batch, true).await?;
    Ok(if row.is_some_and(|row| row.is_open()) { Room::Open } else { Room::None })
}

/// Whether there is such a batch; it is locked.
pub(in super::super) async fn is_there(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
) -> Result<bool, Fault> {
    Ok(look::row(tx, workspace, None, batch, true).await?.is_some())
}

/// Gives a batch its name.
pub(in super::super) async fn name(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    name: &str,
) -> Result<(), Fault> {
    sqlx::query("UPDATE batches SET name = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(batch.uuid())
        .bind(dialect::text(name.to_owned()))
        .execute(tx)
        .await?;
    Ok(())
}

/// Files that were accepted for a batch.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Added {
    pub(in super::super) files: u64,
    pub(in super::super) duplicates: u64,
    pub(in super::super) size_bytes: u64,
}

/// Adds files to a batch that was begun before, or makes one of them that takes no others.
pub(in super::super) async fn add_files(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    made_by: Option<PrincipalId>,
    added: Added,
    now: Time,
) -> Result<(), Fault> {
    let Some(principal) = made_by else {
        sqlx::query(
            "UPDATE batches SET files = files + $3, duplicates = duplicates + $4,
                 size_bytes = size_bytes + $5
             WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace.uuid())
        .bind(batch.uuid())
        .bind(count(added.files))
        .bind(count(added.duplicates))
        .bind(count(added.size_bytes))
        .execute(tx)
        .await?;
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO batches (id, workspace_id, principal_id, state, files, duplicates, size_bytes,
             created_at, closed_at)
         VALUES ($1, $2, $3, 'active', $4, $5, $6, $7, $7)",
    )
    .bind(batch.uuid())
    .bind(workspace.uuid())
    .bind(principal.uuid())
    .bind(count(added.files))
    .bind(count(added.duplicates))
    .bind(count(added.size_bytes))
    .bind(rows::micros(now))
    .execute(tx)
    .await?;
    Ok(())
}

/// What a wish to steer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Change,
    Nothing,
    Refused,
}

pub(super) fn wanted(batch: &Batch, steer: Steer) -> Wanted {
    let is_cancelled = matches!(batch.state, BatchState::Cancelling | BatchState::Cancelled);
    match (steer, batch.state) {
        (Steer::Close, _) if batch.open => Wanted::Change,
        (Steer::Close, _) => Wanted::Nothing,
        (Steer::Cancel, _) if is_cancelled => Wanted::Nothing,
        (Steer::Cancel, BatchState::Done) => Wanted::Refused,
        (Steer::Cancel, _) => Wanted::Change,
        (Steer::Pause | Steer::Resume { .. }, _) if is_cancelled => Wanted::Refused,
        (Steer::Pause, BatchState::Paused) => Wanted::Nothing,
        (Steer::Pause, BatchState::Done) => Wanted::Refused,
        (Steer::Pause, _) => Wanted::Change,
        (Steer::Resume { .. }, BatchState::Paused) => Wanted::Change,
        (Steer::Resume { .. }, _) => Wanted::Nothing,
    }
}

/// Changes a batch that is locked.
pub(super) async fn change(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    steer: Steer,
    now: Time,
) -> Result<(), Fault> {
    match steer {
        Steer::Close => {
            sqlx::query("UPDATE batches SET closed_at = $3 WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(batch.uuid())
                .bind(rows::micros(now))
                .execute(tx)
                .await?;
            Ok(())
        }
        Steer::Pause => set_state(tx, workspace, batch, PAUSED).await,
        Steer::Resume { every, time } => {
            set_state(tx, workspace, batch, ACTIVE).await?;
            call_up(tx, workspace, batch, every, time, now).await
        }
        Steer::Cancel => set_state(tx, workspace, batch, CANCELLING).await,
    }
}

async fn set_state(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    state: &'static str,
) -> Result<(), Fault> {
    sqlx::query("UPDATE batches SET state = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(batch.uuid())
        .bind(state)
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes due what waited for its batch, one file after another, and what became overdue on a
/// queue meanwhile: workers drop such messages. The time that files may take begins anew.
async fn call_up(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    every: TimeDelta,
    time: TimeDelta,
    now: Time,
) -> Result<(), Fault> {
    // All of them, in the order in which others lock several.
    sqlx::query(concat!(
        "SELECT count(*) FROM (SELECT id FROM jobs WHERE workspace_id = $1 AND batch_id = $2
             AND state IN ('queued', 'waiting') ORDER BY id",
        for_update!(),
        ") locked"
    ))
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE outbox SET sent_at = NULL, due_at = p.due_at
         FROM (SELECT id, $4 + (row_number() OVER (ORDER BY id) - 1) * $5 AS due_at FROM jobs
               WHERE workspace_id = $1 AND batch_id = $2
                 AND ((state = 'waiting' AND reason = $3)
                      OR (state = 'queued' AND deadline < $4))) p
         WHERE outbox.job_id = p.id AND outbox.workspace_id = $1",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(Reason::BatchPaused.as_str())
    .bind(rows::micros(now))
    .bind(every.num_microseconds().unwrap_or(0))
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE jobs SET deadline = $4, updated_at = $5,
             state = CASE WHEN reason = $3 THEN 'queued' ELSE state END,
             reason = CASE WHEN reason = $3 THEN NULL ELSE reason END
         WHERE workspace_id = $1 AND batch_id = $2 AND state IN ('queued', 'waiting')",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(Reason::BatchPaused.as_str())
    .bind(rows::micros(now + time))
    .bind(rows::micros(now))
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends the next files. Each is looked at again under its lock: a worker may have begun it.
pub(super) async fn cancel_files(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    limit: u32,
    now: Time,
) -> Result<CancelledFiles, Fault> {
    let row = sqlx::query("SELECT state FROM batches WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(batch.uuid())
        .fetch_optional(&mut *tx)
        .await?;
    let mut cancelled = CancelledFiles::default();
    match row.map(|row| row.try_get::<String, _>("state")).transpose()? {
        Some(state) if state == CANCELLING => {}
        _ => return Ok(cancelled),
    }
    let found = sqlx::query(
        "SELECT id FROM jobs WHERE workspace_id = $1 AND batch_id = $2
           AND state IN ('queued', 'waiting', 'running') AND NOT cancel_requested
         ORDER BY id LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(i64::from(limit))
    .fetch_all(&mut *tx)
    .await?;
    cancelled.more = rows::length(&found) == u64::from(limit);
    for row in &found {
        let job: JobId = rows::id(row, "id")?;
        dialect::lock_job(tx, workspace, job).await?;
        let row =
            sqlx::query("SELECT state, attempt FROM jobs WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(job.uuid())
                .fetch_one(&mut *tx)
                .await?;
        match rows::named(&row, "state")? {
            JobState::Running => {
                claims::ask_to_stop(tx, workspace, job, now).await?;
                cancelled.asked.push(job);
            }
            state if state.is_terminal() => {}
            _ => {
                ending::end_with_subject(tx, workspace, job, &Ending::Cancelled, now).await?;
                cancelled.ended.push((job, rows::number(&row, "attempt")?));
            }
        }
    }
    if found.is_empty() {
        end_if_all_ended(tx, workspace, batch).await?;
    }
    Ok(cancelled)
}

async fn end_if_all_ended(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE batches SET state = $3 WHERE workspace_id = $1 AND id = $2 AND state = $4
           AND NOT EXISTS (SELECT 1 FROM jobs WHERE workspace_id = $1 AND batch_id = $2
                           AND state IN ('queued', 'waiting', 'running'))",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(CANCELLED)
    .bind(CANCELLING)
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives failed files another life, those that were accepted first before the others.
pub(super) async fn retry(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    limit: u32,
    replay: &Replay,
) -> Result<ReplayReport, Fault> {
    let found = sqlx::query(
        "SELECT j.id FROM jobs j WHERE j.workspace_id = $1 AND j.batch_id = $2
           AND j.state IN ('failed', 'dead')
           AND EXISTS (SELECT 1 FROM versions v WHERE v.document_id = j.subject_id
                       AND v.version = j.subject_version)
         ORDER BY j.id LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    // One more says whether some are left.
    .bind(i64::from(limit) + 1)
    .fetch_all(&mut *tx)
    .await?;
    let mut report = ReplayReport::default();
    let mut due_at = replay.begin_at;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    for row in found.iter().take(most) {
        let id: Uuid = row.try_get("id")?;
        let Some(line) = replay::failed(tx, workspace, id, due_at, replay).await? else { continue };
        if let Replayed::Replayed { .. } = line.outcome {
            report.replayed += 1;
            due_at += replay.every;
            report.next_begin_at = Some(due_at);
        } else {
            report.skipped += 1;
        }
        report.items.push(line);
    }
    report.remaining = rows::length(&found).saturating_sub(u64::from(limit));
    Ok(report)
}

/// Has a step wait whose batch is paused. The batch's row is held meanwhile: whoever resumes
/// it comes before, and then it is not paused, or after, and then the file is found waiting.
pub(super) async fn wait(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    step: &Unclaimed,
) -> Result<bool, Fault> {
    let of = sqlx::query("SELECT batch_id FROM jobs WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(step.job_id.uuid())
        .fetch_optional(&mut *tx)
        .await?;
    let batch = of.map(|row| row.try_get::<Option<Uuid>, _>("batch_id")).transpose()?.flatten();
    let Some(batch) = batch else { return Ok(false) };
    if !is_paused(tx, workspace, BatchId(batch)).await? {
        return Ok(false);
    }
    let waits = sqlx::query(concat!(
        "UPDATE jobs SET state = 'waiting', reason = $4, until = NULL, deadline = $7,
             updated_at = $5
         WHERE workspace_id = $1 AND id = $2 AND step = $3 AND state IN ('queued', 'waiting')
           AND NOT cancel_requested",
        of_message!("$6")
    ))
    .bind(workspace.uuid())
    .bind(step.job_id.uuid())
    .bind(step.step.as_str())
    .bind(step.reason)
    .bind(rows::micros(step.now))
    .bind(step.outbox_id.uuid())
    // It still counts among the workspace's unfinished files, and is never late.
    .bind(rows::micros(step.now + NEVER_LATE))
    .execute(&mut *tx)
    .await?;
    if waits.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE outbox SET id = $3, due_at = $4, sent_at = NULL
         WHERE workspace_id = $1 AND job_id = $2",
    )
    .bind(workspace.uuid())
    .bind(step.job_id.uuid())
    .bind(step.next_outbox_id.uuid())
    .bind(rows::micros(step.due_at))
    .execute(&mut *tx)
    .await?;
    dialect::message_changed(tx, workspace, step.job_id, step.next_outbox_id).await?;
    Ok(true)
}

/// Whether a batch is paused, and stays so until the transaction ends.
async fn is_paused(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
) -> Result<bool, Fault> {
    let row = sqlx::query(concat!(
        "SELECT state FROM batches WHERE workspace_id = $1 AND id = $2",
        for_share!()
    ))
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .fetch_optional(tx)
    .await?;
    Ok(match row {
        Some(row) => row.try_get::<String, _>("state")? == PAUSED,
        None => false,
    })
}
