//! Replays: a dead job gets another life, in the transaction that takes its letter away.

use quaestor_core::clock::Time;
use quaestor_core::ids::{ConversationId, JobId, WorkspaceId};
use quaestor_core::jobs::{ChatPayload, JobKind, Step};
use quaestor_core::model::{JobState, Reason};
use quaestor_core::ports::store::{
    DeadFilter, DeadKind, DeadWhich, NewAuditEntry, Replay, ReplayReport, Replayed, ReplayedJob,
};
use serde_json::Value;
use sqlx::Row;
use uuid::Uuid;

use super::dead::{self, filtered};
use super::dialect::{self, DbConnection, DbRow};
use super::fault::Fault;
use super::{audit, idempotency, outbox, rows};

/// Replays what is asked for. None where a job that is named is missing.
pub(super) async fn replay(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    which: DeadWhich,
    replay: &Replay,
) -> Result<Option<ReplayReport>, Fault> {
    if let Some(key) = &replay.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    let (ids, filter) = chosen(tx, workspace, which, Of::Jobs).await?;
    let mut report = ReplayReport::default();
    let mut due_at = replay.begin_at;
    for id in ids {
        let Some(line) = one(tx, workspace, id, due_at, replay).await? else { return Ok(None) };
        match line.outcome {
            Replayed::Replayed { .. } => {
                let audit = NewAuditEntry {
                    id: replay.ids.next(),
                    subject: id.to_string(),
                    ..replay.audit.clone()
                };
                audit::record(tx, workspace, &audit).await?;
                report.replayed += 1;
                due_at += replay.every;
                report.next_begin_at = Some(due_at);
            }
            Replayed::NotDead { .. } | Replayed::SubjectGone | Replayed::NoJob => {
                report.skipped += 1;
            }
        }
        report.items.push(line);
    }
    if let Some(filter) = filter {
        report.remaining = count(tx, workspace, &filter, Of::Jobs).await?;
    }
    if let Some(key) = &replay.idempotency {
        idempotency::remember(tx, workspace, key, &report).await?;
    }
    Ok(Some(report))
}

/// Of what letters are chosen.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// Jobs alone: a message has no other life.
    Jobs,
    /// Whatever is dead.
    All,
}

impl Of {
    /// Whether letters of messages are among them, as a column's value.
    fn messages(self) -> bool {
        matches!(self, Self::All)
    }
}

/// The letters that are asked for, and the filter that has chosen them. Two that choose at
/// once take the jobs in the same order, and do not lock each other out. Ids rise with the
/// time of acceptance.
pub(super) async fn chosen(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    which: DeadWhich,
    of: Of,
) -> Result<(Vec<Uuid>, Option<DeadFilter>), Fault> {
    let (mut ids, filter) = match which {
        DeadWhich::Named(ids) => (ids, None),
        DeadWhich::Filtered { filter, limit } => {
            (oldest(tx, workspace, &filter, limit, of).await?, Some(filter))
        }
    };
    ids.sort_unstable();
    ids.dedup();
    Ok((ids, filter))
}

async fn oldest(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    filter: &DeadFilter,
    limit: u32,
    of: Of,
) -> Result<Vec<Uuid>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT id FROM dead_letters WHERE ",
        filtered!(),
        " AND ($6 OR kind <> 'message') ORDER BY died_at, id LIMIT $5"
    ))
    .bind(workspace.uuid())
    .bind(filter.code.clone())
    .bind(filter.kind.map(DeadKind::as_str))
    .bind(filter.since.map(rows::micros))
    .bind(i64::from(limit))
    .bind(of.messages())
    .fetch_all(tx)
    .await?;
    Ok(found.iter().map(|row| row.try_get("id")).collect::<Result<Vec<_>, sqlx::Error>>()?)
}

pub(super) async fn count(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    filter: &DeadFilter,
    of: Of,
) -> Result<u64, Fault> {
    let counted = sqlx::query(concat!(
        "SELECT count(*) AS letters FROM dead_letters WHERE ",
        filtered!(),
        " AND ($5 OR kind <> 'message')"
    ))
    .bind(workspace.uuid())
    .bind(filter.code.clone())
    .bind(filter.kind.map(DeadKind::as_str))
    .bind(filter.since.map(rows::micros))
    .bind(of.messages())
    .fetch_one(tx)
    .await?;
    rows::unsigned(&counted, "letters")
}

/// How a job stands, which is locked from now on; none where there is no such job.
pub(super) async fn state(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<Option<JobState>, Fault> {
    dialect::lock_job(tx, workspace, JobId(id)).await?;
    sqlx::query("SELECT state FROM jobs WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(id)
        .fetch_optional(tx)
        .await?
        .map(|row| rows::named(&row, "state"))
        .transpose()
}

async fn one(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
    due_at: Time,
    replay: &Replay,
) -> Result<Option<ReplayedJob>, Fault> {
    let line = |outcome| Ok(Some(ReplayedJob { id, outcome, conversation_id: None }));
    match state(tx, workspace, id).await? {
        Some(JobState::Dead) => again(tx, workspace, id, due_at, replay).await.map(Some),
        Some(state) => line(Replayed::NotDead { state }),
        None => {
            let found =
                sqlx::query("SELECT 1 FROM dead_letters WHERE workspace_id = $1 AND id = $2")
                    .bind(workspace.uuid())
                    .bind(id)
                    .fetch_optional(tx)
                    .await?;
            match found {
                Some(_) => line(Replayed::NoJob),
                None => Ok(None),
            }
        }
    }
}

/// Replays a job that has failed, or is dead. None where there is no such job.
pub(super) async fn failed(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
    due_at: Time,
    replay: &Replay,
) -> Result<Option<ReplayedJob>, Fault> {
    match state(tx, workspace, id).await? {
        Some(JobState::Dead | JobState::Failed) => {
            again(tx, workspace, id, due_at, replay).await.map(Some)
        }
        Some(state) => {
            let outcome = Replayed::NotDead { state };
            Ok(Some(ReplayedJob { id, outcome, conversation_id: None }))
        }
        None => Ok(None),
    }
}

/// Gives a job that has ended, and is locked, another life.
async fn again(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
    due_at: Time,
    replay: &Replay,
) -> Result<ReplayedJob, Fault> {
    let job = sqlx::query(
        "SELECT kind, step, payload, subject_id, subject_version, attempt FROM jobs
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(id)
    .fetch_one(&mut *tx)
    .await?;
    let kind: JobKind = rows::named(&job, "kind")?;
    let (begun, time) = match kind {
        JobKind::Chat => (answer(tx, workspace, &job).await?, Some(replay.chat_time)),
        JobKind::Documents => (document(tx, workspace, &job).await?, Some(replay.documents_time)),
        JobKind::Collections => (generation(tx, workspace, &job).await?, None),
        JobKind::Exports => (export(tx, workspace, &job).await?, Some(replay.documents_time)),
    };
    let Some(Begin { step, payload, conversation_id }) = begun else {
        let outcome = Replayed::SubjectGone;
        return Ok(ReplayedJob { id, outcome, conversation_id: None });
    };
    // A number of its own, between the last try's and the next one's: whoever tells of the
    // replay late is fenced by the try that has begun.
    let attempt = rows::number(&job, "attempt")? + 1;
    let paced = due_at > replay.now;
    sqlx::query(
        "UPDATE jobs SET state = $3, step = $4, payload = $5, attempt = $6, step_attempt = 0,
             reason = $7, until = $8, deadline = $9, problem = NULL, last_error = NULL,
             first_failed_at = NULL, cancel_requested = FALSE, lease_until = NULL,
             worker_id = NULL, finished_at = NULL, updated_at = $10
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(id)
    .bind(if paced { JobState::Waiting } else { JobState::Queued }.as_str())
    .bind(step.as_str())
    .bind(rows::to_json(&payload)?)
    .bind(i64::from(attempt))
    .bind(paced.then(|| Reason::ReplayPaced.as_str()))
    .bind(paced.then(|| rows::micros(due_at)))
    .bind(time.map(|time| rows::micros(due_at + time)))
    .bind(rows::micros(replay.now))
    .execute(&mut *tx)
    .await?;
    let message = (replay.ids.next(), step);
    outbox::put(tx, workspace, JobId(id), message, replay.now, due_at).await?;
    dead::remove(tx, workspace, id).await?;
    let outcome = Replayed::Replayed { attempt, due_at };
    Ok(ReplayedJob { id, outcome, conversation_id })
}

/// Where a replayed job begins.
struct Begin {
    step: Step,
    payload: Value,
    conversation_id: Option<ConversationId>,
}

/// Makes the answer pending again; none where its conversation was deleted.
async fn answer(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: &DbRow,
) -> Result<Option<Begin>, Fault> {
    let pending = sqlx::query(
        "UPDATE messages SET state = 'pending', error = NULL, content = '', citations = '[]',
             figures = '[]'
         WHERE workspace_id = $1 AND id = $2 AND state = 'failed'",
    )
    .bind(workspace.uuid())
    .bind(job.try_get::<Uuid, _>("subject_id")?)
    .execute(tx)
    .await?;
    if pending.rows_affected() == 0 {
        return Ok(None);
    }
    let payload: Value = rows::from_json(job, "payload")?;
    // A payload that cannot be read may be why the job died; its handler will say so again.
    let conversation_id = serde_json::from_value::<ChatPayload>(payload.clone())
        .ok()
        .map(|chat| chat.conversation_id);
    Ok(Some(Begin { step: rows::named(job, "step")?, payload, conversation_id }))
}

/// The step as it was; none where nobody wants the generation any more.
async fn generation(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: &DbRow,
) -> Result<Option<Begin>, Fault> {
    let wanted = sqlx::query(
        "SELECT 1 FROM generations WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(job.try_get::<Uuid, _>("subject_id")?)
    .fetch_optional(tx)
    .await?;
    if wanted.is_none() {
        return Ok(None);
    }
    let (step, payload) = (rows::named(job, "step")?, rows::from_json(job, "payload")?);
    Ok(Some(Begin { step, payload, conversation_id: None }))
}

/// The export is written anew; none where its row is gone.
async fn export(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: &DbRow,
) -> Result<Option<Begin>, Fault> {
    let found = sqlx::query("SELECT 1 FROM exports WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(job.try_get::<Uuid, _>("subject_id")?)
        .fetch_optional(tx)
        .await?;
    if found.is_none() {
        return Ok(None);
    }
    let (step, payload) = (rows::named(job, "step")?, rows::from_json(job, "payload")?);
    Ok(Some(Begin { step, payload, conversation_id: None }))
}

/// Makes the version wait again; none where its document was deleted. What was parsed of a
/// version that is not searched went with the job's end: it is parsed anew.
async fn document(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: &DbRow,
) -> Result<Option<Begin>, Fault> {
    let found = sqlx::query(
        "SELECT v.key, coalesce(d.current_key = v.key, FALSE)
             OR coalesce(d.other_key = v.key, FALSE) AS is_current
         FROM versions v JOIN documents d ON d.id = v.document_id
         WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3",
    )
    .bind(workspace.uuid())
    .bind(job.try_get::<Uuid, _>("subject_id")?)
    .bind(i64::from(rows::optional_number(job, "subject_version")?.unwrap_or(1)))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(version) = found else { return Ok(None) };
    let is_current: bool = version.try_get("is_current")?;
    sqlx::query(
        "UPDATE versions SET status = $3, error = NULL WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(version.try_get::<i64, _>("key")?)
    .bind(if is_current { "processing" } else { "queued" })
    .execute(tx)
    .await?;
    let mut payload: Value = rows::from_json(job, "payload")?;
    let mut step: Step = rows::named(job, "step")?;
    if !is_current {
        step = Step::DocumentsIngest;
        if let Some(fields) = payload.as_object_mut() {
            fields.remove("generation_id");
        }
    }
    Ok(Some(Begin { step, payload, conversation_id: None }))
}
