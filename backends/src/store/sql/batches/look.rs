//! What is read of batches: their rows, the counts over their jobs, their files, their sum.

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::{BatchId, DocumentId, JobId, PrincipalId, WorkspaceId};
use quaestor_core::model::{
    Batch, BatchCounts, BatchExample, BatchItem, BatchProblem, BatchState, BatchSummary, JobState,
    Page, PageRequest, RATE_WINDOW_S, rate, time_left,
};
use quaestor_core::problem::Problem;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::super::dialect::{DbConnection, DbRow, for_update};
use super::super::fault::{Fault, corrupt};
use super::super::rows;
use super::{ACTIVE, CANCELLED, CANCELLING, PAUSED};

/// Problems of so many different wordings are looked at for a summary.
const WORDINGS: i64 = 10_000;

/// A batch's own row.
#[derive(Clone, Debug)]
pub(super) struct BatchRow {
    pub(super) id: BatchId,
    name: Option<String>,
    state: Stands,
    expected: Option<u64>,
    files: u64,
    duplicates: u64,
    size_bytes: u64,
    created_at: Time,
    closed_at: Option<Time>,
}

/// How a batch stands in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Active,
    Paused,
    Cancelling,
    Cancelled,
}

impl BatchRow {
    fn of(row: &DbRow) -> Result<Self, Fault> {
        let optional = |column: &'static str| {
            let value: Option<i64> = row.try_get(column)?;
            value.map(|value| u64::try_from(value).map_err(|e| corrupt(column, e))).transpose()
        };
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: rows::id(row, "id")?,
            name: row.try_get("name")?,
            state: match state.as_str() {
                ACTIVE => Stands::Active,
                PAUSED => Stands::Paused,
                CANCELLING => Stands::Cancelling,
                CANCELLED => Stands::Cancelled,
                _ => return Err(corrupt("batch", state)),
            },
            expected: optional("expected")?,
            files: rows::unsigned(row, "files")?,
            duplicates: rows::unsigned(row, "duplicates")?,
            size_bytes: rows::unsigned(row, "size_bytes")?,
            created_at: rows::time(row, "created_at")?,
            closed_at: rows::optional_time(row, "closed_at")?,
        })
    }

    /// Whether more files may be added.
    pub(super) fn is_open(&self) -> bool {
        self.closed_at.is_none() && !self.is_cancelled()
    }

    /// Whether all its files came: as many as were expected, or as came until it was closed.
    fn is_complete(&self) -> bool {
        !self.is_open() || self.expected.is_some_and(|expected| self.files >= expected)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self.state, Stands::Cancelling | Stands::Cancelled)
    }

    fn state(&self, unfinished: u64) -> BatchState {
        match (self.state, unfinished) {
            (Stands::Cancelling, _) => BatchState::Cancelling,
            (Stands::Cancelled, _) => BatchState::Cancelled,
            (_, 0) if self.is_complete() => BatchState::Done,
            (Stands::Paused, _) => BatchState::Paused,
            (Stands::Active, 0) => BatchState::Open,
            (Stands::Active, _) => BatchState::Running,
        }
    }
}

macro_rules! batch_columns {
    () => {
        "id, name, state, expected, files, duplicates, size_bytes, created_at, closed_at"
    };
}

/// A batch's row; locked, where it is to be changed.
pub(super) async fn row(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
    batch: BatchId,
    lock: bool,
) -> Result<Option<BatchRow>, Fault> {
    let sql = format!(
        concat!(
            "SELECT ",
            batch_columns!(),
            " FROM batches WHERE workspace_id = $1 AND id = $2
              AND ($3 IS NULL OR principal_id = $3){}"
        ),
        if lock { for_update!() } else { "" }
    );
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(workspace.uuid())
        .bind(batch.uuid())
        .bind(principal.map(PrincipalId::uuid))
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(BatchRow::of).transpose()
}

pub(super) async fn list(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
    page: PageRequest,
    now: Time,
) -> Result<Page<Batch>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        batch_columns!(),
        " FROM batches WHERE workspace_id = $1 AND id < $2
          AND ($4 IS NULL OR principal_id = $4) ORDER BY id DESC LIMIT $3"
    ))
    .bind(workspace.uuid())
    .bind(rows::before(page))
    .bind(rows::surplus(page))
    .bind(principal.map(PrincipalId::uuid))
    .fetch_all(&mut *connection)
    .await?;
    let found = found.iter().map(BatchRow::of).collect::<Result<Vec<_>, Fault>>()?;
    let Page { items, next } = rows::paged(found, page, |row| row.id.uuid());
    let mut batches = Vec::with_capacity(items.len());
    for row in items {
        batches.push(counted(connection, workspace, row, now).await?);
    }
    Ok(Page { items: batches, next })
}

/// The batch of a row, with the counts over its jobs.
pub(super) async fn counted(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    row: BatchRow,
    now: Time,
) -> Result<Batch, Fault> {
    let since = now - TimeDelta::seconds(RATE_WINDOW_S);
    let found = sqlx::query(
        "SELECT state, count(*) AS files, max(finished_at) AS last,
             CAST(coalesce(sum(CASE WHEN finished_at > $3 THEN 1 ELSE 0 END), 0) AS BIGINT) AS recent
         FROM jobs WHERE workspace_id = $1 AND batch_id = $2 GROUP BY state",
    )
    .bind(workspace.uuid())
    .bind(row.id.uuid())
    .bind(rows::micros(since))
    .fetch_all(connection)
    .await?;
    let (mut counts, mut last) = (BatchCounts::default(), row.closed_at.unwrap_or(row.created_at));
    for part in &found {
        let files = rows::unsigned(part, "files")?;
        let recent = rows::unsigned(part, "recent")?;
        if let Some(at) = rows::optional_time(part, "last")? {
            last = last.max(at);
        }
        match rows::named(part, "state")? {
            JobState::Done => {
                counts.done += files;
                counts.recent += recent;
            }
            JobState::Failed | JobState::Dead => {
                counts.failed += files;
                counts.recent += recent;
            }
            JobState::Cancelled => counts.cancelled += files,
            JobState::Running => counts.running += files,
            JobState::Queued | JobState::Waiting => counts.waiting += files,
        }
    }
    let unfinished = counts.unfinished();
    let state = row.state(unfinished);
    let total = match row.expected.filter(|_| row.is_open()) {
        Some(expected) => expected.max(row.files),
        None => row.files,
    };
    let ended = counts.done + counts.failed + counts.cancelled + row.duplicates;
    let works = state == BatchState::Running;
    let rate = rate(counts.recent, row.created_at, now).filter(|_| works);
    let left = total.saturating_sub(ended);
    Ok(Batch {
        id: row.id,
        state,
        total,
        done: counts.done + row.duplicates,
        failed: counts.failed,
        cancelled: counts.cancelled,
        running: counts.running,
        duplicates: row.duplicates,
        size_bytes: row.size_bytes,
        rate,
        eta_s: if works || state.has_ended() { time_left(left, rate) } else { None },
        open: row.is_open(),
        created_at: row.created_at,
        finished_at: (state.has_ended() && unfinished == 0).then_some(last),
        name: row.name,
    })
}

pub(super) async fn items(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    state: Option<JobState>,
    page: PageRequest,
) -> Result<Page<BatchItem>, Fault> {
    let found = sqlx::query(
        "SELECT j.id, j.subject_id, j.state, j.problem, j.finished_at, v.filename,
             CASE WHEN j.state = 'queued' AND EXISTS (SELECT 1 FROM batches b
                     WHERE b.id = j.batch_id AND b.state = 'paused')
                 THEN 'batch_paused' ELSE j.reason END AS reason
         FROM jobs j LEFT JOIN versions v
             ON v.document_id = j.subject_id AND v.version = j.subject_version
         WHERE j.workspace_id = $1 AND j.batch_id = $2 AND j.id > $3
           AND ($4 IS NULL OR j.state = $4)
         ORDER BY j.id LIMIT $5",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(rows::after(page))
    .bind(state.map(JobState::as_str))
    .bind(rows::surplus(page))
    .fetch_all(connection)
    .await?;
    let item = |row: &DbRow| {
        Ok(BatchItem {
            document_id: rows::id(row, "subject_id")?,
            job_id: rows::id(row, "id")?,
            filename: row.try_get("filename")?,
            state: rows::named(row, "state")?,
            reason: row.try_get("reason")?,
            problem: rows::optional_json(row, "problem")?,
            finished_at: rows::optional_time(row, "finished_at")?,
        })
    };
    let items = found.iter().map(item).collect::<Result<Vec<_>, Fault>>()?;
    Ok(rows::paged(items, page, |item| item.job_id.uuid()))
}

pub(super) async fn summary(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    batch: &Batch,
) -> Result<BatchSummary, Fault> {
    let made = sqlx::query(
        "SELECT CAST(coalesce(sum(v.pages), 0) AS BIGINT) AS pages,
             CAST(coalesce(sum(v.chunks), 0) AS BIGINT) AS chunks
         FROM jobs j JOIN versions v
             ON v.document_id = j.subject_id AND v.version = j.subject_version
         WHERE j.workspace_id = $1 AND j.batch_id = $2 AND j.state = 'done'",
    )
    .bind(workspace.uuid())
    .bind(batch.id.uuid())
    .fetch_one(&mut *connection)
    .await?;
    let ended = batch.finished_at.unwrap_or(batch.created_at);
    #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
    let seconds = (ended - batch.created_at).num_milliseconds() as f64 / 1_000.0;
    Ok(BatchSummary {
        ready: batch.done.saturating_sub(batch.duplicates),
        duplicates: batch.duplicates,
        failed: batch.failed,
        cancelled: batch.cancelled,
        problems: problems(connection, workspace, batch.id).await?,
        size_bytes: batch.size_bytes,
        pages: rows::unsigned(&made, "pages")?,
        passages: rows::unsigned(&made, "chunks")?,
        seconds,
    })
}

/// Why files failed, by the code of their problem, the most frequent first. The example is
/// the first file of the most frequent wording.
async fn problems(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
) -> Result<Vec<BatchProblem>, Fault> {
    let found = sqlx::query(
        "SELECT problem, count(*) AS files FROM jobs
         WHERE workspace_id = $1 AND batch_id = $2 AND state IN ('failed', 'dead')
         GROUP BY problem ORDER BY files DESC, problem LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(WORDINGS)
    .fetch_all(&mut *connection)
    .await?;
    let mut groups: Vec<(Problem, u64, Option<String>)> = Vec::new();
    for row in &found {
        let told: Option<Problem> = rows::optional_json(row, "problem")?;
        let problem = told
            .unwrap_or_else(|| Problem::new("failed", "The job failed", "the reason was not kept"));
        let files = rows::unsigned(row, "files")?;
        match groups.iter_mut().find(|(known, ..)| known.code == problem.code) {
            Some((_, count, _)) => *count += files,
            None => groups.push((problem, files, row.try_get("problem")?)),
        }
    }
    groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.code.cmp(&b.0.code)));
    let mut problems = Vec::with_capacity(groups.len());
    for (problem, count, wording) in groups {
        let Problem { code, title, detail } = problem;
        if let Some((job_id, document_id, filename)) =
            example(connection, workspace, batch, wording).await?
        {
            let example = BatchExample { document_id, job_id, filename, detail };
            problems.push(BatchProblem { code, title, count, example });
        }
    }
    Ok(problems)
}

async fn example(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    batch: BatchId,
    wording: Option<String>,
) -> Result<Option<(JobId, DocumentId, Option<String>)>, Fault> {
    let found = sqlx::query(
        "SELECT j.id, j.subject_id, v.filename FROM jobs j LEFT JOIN versions v
             ON v.document_id = j.subject_id AND v.version = j.subject_version
         WHERE j.workspace_id = $1 AND j.batch_id = $2 AND j.state IN ('failed', 'dead')
           AND (j.problem = $3 OR ($3 IS NULL AND j.problem IS NULL))
         ORDER BY j.id LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(batch.uuid())
    .bind(wording)
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some((rows::id(&row, "id")?, rows::id(&row, "subject_id")?, row.try_get("filename")?)))
}

/// Batches that are being cancelled, whoever's they are.
pub(in super::super) async fn to_cancel(
    connection: &mut DbConnection,
    limit: u32,
) -> Result<Vec<(WorkspaceId, BatchId)>, Fault> {
    let found = sqlx::query(
        "SELECT id, workspace_id FROM batches WHERE state = 'cancelling' ORDER BY id LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| {
            let id: Uuid = row.try_get("id")?;
            Ok((rows::id(row, "workspace_id")?, BatchId(id)))
        })
        .collect()
}
