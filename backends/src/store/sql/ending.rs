//! How a job ends, and what its answer or document becomes with it.

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::jobs::JobKind;
use quaestor_core::model::{JobState, MessageState};
use quaestor_core::problem::Problem;
use sqlx::Row;
use uuid::Uuid;

use super::dialect::{DbConnection, for_update};
use super::fault::Fault;
use super::{erase, generations, outbox, readings, rows};

/// How a job ends.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// Well.
    Done,
    /// Somebody stopped it.
    Cancelled,
    /// Badly, as `failed` or `dead`.
    Unsuccessful { state: JobState, problem: Problem },
}

impl Ending {
    fn state(&self) -> JobState {
        match self {
            Self::Done => JobState::Done,
            Self::Cancelled => JobState::Cancelled,
            Self::Unsuccessful { state, .. } => *state,
        }
    }

    fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Unsuccessful { problem, .. } => Some(problem),
            Self::Done | Self::Cancelled => None,
        }
    }
}

/// Ends the job and removes its message. The caller has made sure that it may.
pub(super) async fn end(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    ending: &Ending,
    now: Time,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE jobs SET state = $3, problem = $4, reason = NULL, until = NULL,
             lease_until = NULL, worker_id = NULL, updated_at = $5, finished_at = $5
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(ending.state().as_str())
    .bind(ending.problem().map(rows::to_json).transpose()?)
    .bind(rows::micros(now))
    .execute(&mut *tx)
    .await?;
    outbox::remove(tx, workspace, job).await
}

/// Ends the job together with its answer or document.
pub(super) async fn end_with_subject(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    ending: &Ending,
    now: Time,
) -> Result<(), Fault> {
    let found = sqlx::query(concat!(
        "SELECT kind, subject_id, subject_version FROM jobs WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(job.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = found {
        let subject: Uuid = row.try_get("subject_id")?;
        match rows::named(&row, "kind")? {
            JobKind::Chat => end_answer(tx, workspace, subject, ending).await?,
            JobKind::Documents => {
                let version = rows::optional_number(&row, "subject_version")?.unwrap_or(1);
                end_version(tx, workspace, subject, version, ending).await?;
            }
            JobKind::Collections => generations::end(tx, workspace, subject, ending).await?,
            // How an export stands says its job.
            JobKind::Exports => {}
        }
    }
    end(tx, workspace, job, ending, now).await
}

async fn end_answer(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    answer: Uuid,
    ending: &Ending,
) -> Result<(), Fault> {
    let state = match ending {
        Ending::Done => MessageState::Done,
        Ending::Cancelled => MessageState::Cancelled,
        Ending::Unsuccessful { .. } => MessageState::Failed,
    };
    sqlx::query(
        "UPDATE messages SET state = $3, error = $4
         WHERE workspace_id = $1 AND id = $2 AND state = 'pending'",
    )
    .bind(workspace.uuid())
    .bind(answer)
    .bind(rows::message_state_name(state))
    .bind(ending.problem().map(rows::to_json).transpose()?)
    .execute(tx)
    .await?;
    Ok(())
}

/// A version whose job ends badly is `failed`. What was stored of it is removed, unless
/// it is already the one that is searched: then only its vectors are missing.
async fn end_version(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: Uuid,
    version: u32,
    ending: &Ending,
) -> Result<(), Fault> {
    let problem = match ending {
        Ending::Done => return Ok(()),
        Ending::Unsuccessful { problem, .. } => problem.clone(),
        Ending::Cancelled => Problem::new(
            "cancelled",
            "The work was cancelled",
            "Making this file searchable was stopped. Upload it again to start anew.",
        ),
    };
    let found = sqlx::query(
        "SELECT v.key, coalesce(d.current_key = v.key, FALSE)
             OR coalesce(d.other_key = v.key, FALSE) AS is_current,
             v.reading_of IS NOT NULL AS is_beside
         FROM versions v JOIN documents d ON d.id = v.document_id
         WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3",
    )
    .bind(workspace.uuid())
    .bind(document)
    .bind(i64::from(version))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = found else { return Ok(()) };
    let key: i64 = row.try_get("key")?;
    if row.try_get("is_beside")? {
        let told = matches!(ending, Ending::Unsuccessful { .. }).then_some(&problem);
        return readings::fail(tx, workspace, key, told).await;
    }
    if !row.try_get::<bool, _>("is_current")? {
        erase::contents(tx, workspace, key).await?;
    }
    sqlx::query(
        "UPDATE versions SET status = 'failed', error = $3 WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(rows::to_json(&problem)?)
    .execute(tx)
    .await?;
    Ok(())
}
