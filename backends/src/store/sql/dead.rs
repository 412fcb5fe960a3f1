//! Dead letters: how a job becomes one, and what administrators see of them.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{IdSource, JobId, WorkspaceId};
use quaestor_core::model::{Failure, JobState, Page, PageRequest};
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{
    Claim, DeadFilter, DeadGroup, DeadKind, DeadLetter, DeadLetters, DeadWhich, DiscardReport,
    Discarded, DiscardedLetter, NewAuditEntry, Replay, ReplayReport, StoreError, trace_id,
};
use quaestor_core::problem::Problem;
use sqlx::Row;
use uuid::Uuid;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbRow, DbStore};
use super::ending::{self, Ending};
use super::fault::{Fault, during};
use super::replay::Of;
use super::{audit, claims, money, replay, rows};

/// Ends a job that may be ended as dead, and writes its letter.
pub(super) async fn bury(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    problem: Problem,
    failure: Option<Failure>,
    now: Time,
) -> Result<(), Fault> {
    let failure = match failure {
        Some(failure) => Some(failure),
        None => last_failure(tx, workspace, job).await?,
    };
    let (code, detail, causes) = match failure {
        Some(failure) => (failure.code, failure.detail, failure.causes),
        None => (problem.code.clone(), problem.detail.clone(), Vec::new()),
    };
    // Of a life before that a crash of the server has brought back.
    remove(tx, workspace, job.uuid()).await?;
    sqlx::query(
        "INSERT INTO dead_letters (id, workspace_id, kind, step, code, detail, causes, attempts,
             worker_id, first_failed_at, died_at, traceparent, payload)
         SELECT id, workspace_id, kind, step, $3, $4, $5, attempt, worker_id,
             coalesce(first_failed_at, $6), $6, traceparent, payload
         FROM jobs WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(code)
    .bind(dialect::text(detail))
    .bind(dialect::text(rows::to_json(&causes)?))
    .bind(rows::micros(now))
    .execute(&mut *tx)
    .await?;
    let ending = Ending::Unsuccessful { state: JobState::Dead, problem };
    ending::end_with_subject(tx, workspace, job, &ending, now).await
}

/// Removes a letter. False where there is none.
pub(super) async fn remove(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<bool, Fault> {
    let removed = sqlx::query("DELETE FROM dead_letters WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(id)
        .execute(tx)
        .await?;
    Ok(removed.rows_affected() > 0)
}

async fn last_failure(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
) -> Result<Option<Failure>, Fault> {
    let found = sqlx::query("SELECT last_error FROM jobs WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(job.uuid())
        .fetch_optional(connection)
        .await?;
    match found {
        Some(row) => rows::optional_json(&row, "last_error"),
        None => Ok(None),
    }
}

/// Whether a letter passes a filter: `$2` is a class, `$3` a kind, `$4` a time.
macro_rules! filtered {
    () => {
        "workspace_id = $1 AND ($2 IS NULL OR code = $2) AND ($3 IS NULL OR kind = $3)
         AND ($4 IS NULL OR died_at >= $4)"
    };
}
pub(super) use filtered;

fn letter(row: &DbRow) -> Result<DeadLetter, Fault> {
    let traceparent: Option<String> = row.try_get("traceparent")?;
    Ok(DeadLetter {
        id: row.try_get("id")?,
        kind: rows::named(row, "kind")?,
        step: row.try_get("step")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        causes: rows::from_json(row, "causes")?,
        attempts: rows::number(row, "attempts")?,
        worker_id: row.try_get::<Option<Uuid>, _>("worker_id")?.map(Into::into),
        first_failed_at: rows::time(row, "first_failed_at")?,
        died_at: rows::time(row, "died_at")?,
        trace_id: traceparent.as_deref().and_then(trace_id).map(str::to_owned),
        payload: rows::optional_json(row, "payload")?,
        message: rows::optional_json(row, "message")?,
    })
}

macro_rules! letter_columns {
    () => {
        "id, kind, step, code, detail, causes, attempts, worker_id, first_failed_at, died_at, \
         traceparent, payload, message"
    };
}

#[async_trait]
impl DeadLetters for DbStore {
    async fn bury(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        problem: Problem,
        failure: Option<Failure>,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            bury(&mut tx, workspace, claim.job_id, problem, failure, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("bury a job"))
    }

    async fn last_failure(
        &self,
        workspace: WorkspaceId,
        job: JobId,
    ) -> Result<Option<Failure>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            last_failure(&mut reader, workspace, job).await
        };
        work.await.map_err(during("read what a job ran into"))
    }

    async fn list_dead(
        &self,
        workspace: WorkspaceId,
        filter: DeadFilter,
        page: PageRequest,
    ) -> Result<Page<DeadLetter>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                letter_columns!(),
                " FROM dead_letters WHERE ",
                filtered!(),
                " AND id < $5 ORDER BY id DESC LIMIT $6"
            ))
            .bind(workspace.uuid())
            .bind(filter.code)
            .bind(filter.kind.map(DeadKind::as_str))
            .bind(filter.since.map(rows::micros))
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let mut items = found.iter().map(letter).collect::<Result<Vec<_>, Fault>>()?;
            for message in items.iter_mut().filter_map(|letter| letter.message.as_mut()) {
                message.body = None;
            }
            Ok(rows::paged(items, page, |letter| letter.id))
        };
        work.await.map_err(during("list dead letters"))
    }

    async fn dead_groups(
        &self,
        workspace: WorkspaceId,
        filter: DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadGroup>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT g.*, (SELECT d.detail FROM dead_letters d
                     WHERE d.workspace_id = $1 AND d.code = g.code AND d.kind = g.kind
                       AND d.died_at = g.last_at LIMIT 1) AS example
                 FROM (SELECT code, kind, count(*) AS letters, min(died_at) AS first_at,
                           max(died_at) AS last_at
                       FROM dead_letters WHERE ",
                filtered!(),
                " GROUP BY code, kind ORDER BY letters DESC, code, kind LIMIT $5) g
                 ORDER BY letters DESC, code, kind"
            ))
            .bind(workspace.uuid())
            .bind(filter.code)
            .bind(filter.kind.map(DeadKind::as_str))
            .bind(filter.since.map(rows::micros))
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            let group = |row: &DbRow| {
                Ok(DeadGroup {
                    code: row.try_get("code")?,
                    kind: rows::named(row, "kind")?,
                    count: rows::unsigned(row, "letters")?,
                    first_at: rows::time(row, "first_at")?,
                    last_at: rows::time(row, "last_at")?,
                    example: row.try_get::<Option<String>, _>("example")?.unwrap_or_default(),
                })
            };
            found.iter().map(group).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("group dead letters"))
    }

    async fn dead_letter(
        &self,
        workspace: WorkspaceId,
        id: Uuid,
    ) -> Result<Option<DeadLetter>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                letter_columns!(),
                " FROM dead_letters WHERE workspace_id = $1 AND id = $2"
            ))
            .bind(workspace.uuid())
            .bind(id)
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(letter).transpose()
        };
        work.await.map_err(during("read a dead letter"))
    }

    async fn accept_replay(
        &self,
        workspace: WorkspaceId,
        which: DeadWhich,
        replay: Replay,
    ) -> Result<Option<ReplayReport>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let report = replay::replay(&mut tx, workspace, which, &replay).await?;
            // Of a list with a missing job nothing is kept.
            if report.is_some() {
                tx.commit().await?;
            }
            Ok(report)
        };
        work.await.map_err(during("replay dead jobs"))
    }

    async fn delete_dead(
        &self,
        workspace: WorkspaceId,
        which: DeadWhich,
        ids: &IdSource,
        audit: NewAuditEntry,
    ) -> Result<Option<DiscardReport>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let (chosen, filter) = replay::chosen(&mut tx, workspace, which, Of::All).await?;
            let mut report = DiscardReport::default();
            for id in chosen {
                let outcome = discard(&mut tx, workspace, id, audit.at).await?;
                // Of a list with a missing letter nothing is kept.
                let Some(outcome) = outcome else { return Ok(None) };
                if outcome == Discarded::Discarded {
                    report.discarded += 1;
                    let audit =
                        NewAuditEntry { id: ids.next(), subject: id.to_string(), ..audit.clone() };
                    audit::record(&mut tx, workspace, &audit).await?;
                }
                report.items.push(DiscardedLetter { id, outcome });
            }
            if let Some(filter) = filter {
                report.remaining = replay::count(&mut tx, workspace, &filter, Of::All).await?;
            }
            tx.commit().await?;
            Ok(Some(report))
        };
        work.await.map_err(during("discard dead letters"))
    }
}

/// Ends a dead job for good, or removes a message's letter; none where there is neither.
async fn discard(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    id: Uuid,
    now: Time,
) -> Result<Option<Discarded>, Fault> {
    match replay::state(tx, workspace, id).await? {
        Some(JobState::Dead) => {
            sqlx::query(
                "UPDATE jobs SET state = 'failed', updated_at = $3
                 WHERE workspace_id = $1 AND id = $2",
            )
            .bind(workspace.uuid())
            .bind(id)
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
            remove(tx, workspace, id).await?;
            Ok(Some(Discarded::Discarded))
        }
        Some(state) => Ok(Some(Discarded::NotDead { state })),
        None => Ok(remove(tx, workspace, id).await?.then_some(Discarded::Discarded)),
    }
}
