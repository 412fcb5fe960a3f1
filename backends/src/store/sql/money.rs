//! What models cost: requests to providers, what was spent, budgets.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{NaiveDate, TimeDelta};
use quaestor_core::clock::Time;
use quaestor_core::ids::{PrincipalId, WorkspaceId};
use quaestor_core::model::{Budget, Days, SetBudget, Spent};
use quaestor_core::ports::model_call::{BegunCall, CallOutcome, ModelCall};
use quaestor_core::ports::store::{
    CallsOf, Claim, Money, NewAuditEntry, Spending, StoreError, UsageBy, UsagePart,
};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbRow, DbStore, INSTALLATION};
use super::fault::{Fault, during};
use super::{audit, hot, rows};

/// Parts of a report, and budgets of a list, at most.
const MOST: i64 = 1_000;

/// The columns that a request fills, after those that say what it was for.
macro_rules! call_columns {
    () => {
        "operation, model, request_id, input_tokens, output_tokens, cost_micros, estimated, \
         outcome, created_at, duration_us, cached_tokens, call_id"
    };
}

/// A request has one row, however often it is written: a commit whose answer was lost is
/// followed by another try.
macro_rules! once {
    () => {
        " ON CONFLICT (created_at, call_id) DO NOTHING"
    };
}

/// Writes the requests of a claim. The caller has made sure that it holds.
pub(super) async fn account(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    calls: &[ModelCall],
) -> Result<(), Fault> {
    for call in calls {
        let query = sqlx::query(concat!(
            "INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, ",
            call_columns!(),
            ") SELECT workspace_id, principal_id, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                 $14, $15
               FROM jobs WHERE workspace_id = $1 AND id = $2",
            once!()
        ))
        .bind(workspace.uuid())
        .bind(claim.job_id.uuid())
        .bind(i64::from(claim.attempt));
        bind(query, call).execute(&mut *tx).await?;
    }
    Ok(())
}

fn bind<'q>(query: dialect::DbQuery<'q>, call: &ModelCall) -> dialect::DbQuery<'q> {
    query
        .bind(call.operation.as_str())
        .bind(dialect::text(call.model.clone()))
        .bind(call.request_id.clone().map(dialect::text))
        .bind(rows::signed(call.usage.input_tokens))
        .bind(rows::signed(call.usage.output_tokens))
        .bind(rows::signed(call.usage.cost_micros))
        .bind(call.estimated)
        .bind(call.outcome.as_str())
        // When it was sent, and not when it ended: whoever writes it again writes the same.
        .bind(rows::micros(call.started_at))
        .bind(duration(call))
        .bind(rows::signed(call.usage.cached_tokens))
        .bind(call.id.uuid())
}

/// How long a request took, in microseconds.
pub(super) fn duration(call: &ModelCall) -> i64 {
    (call.ended_at - call.started_at).num_microseconds().unwrap_or(i64::MAX).max(0)
}

/// Accounts requests that nobody will tell of any more. See
/// [`quaestor_core::ports::store::Installation::settle_lost_calls`].
pub(super) async fn settle_lost(
    store: &DbStore,
    ended_before: Time,
    sent_before: Time,
    limit: u32,
) -> Result<u64, Fault> {
    let mut reader = store.connections.reader(INSTALLATION).await?;
    let found = sqlx::query(
        "SELECT n.workspace_id, n.id FROM open_calls n LEFT JOIN jobs j ON j.id = n.job_id
         WHERE n.started_at < $1
             AND CASE WHEN j.id IS NULL THEN n.started_at < $2 ELSE j.finished_at < $1 END
         ORDER BY n.started_at LIMIT $3",
    )
    .bind(rows::micros(ended_before))
    .bind(rows::micros(sent_before))
    .bind(i64::from(limit))
    .fetch_all(&mut *reader)
    .await?;
    drop(reader);
    let mut lost: HashMap<WorkspaceId, Vec<Uuid>> = HashMap::new();
    for row in &found {
        lost.entry(rows::id(row, "workspace_id")?).or_default().push(row.try_get("id")?);
    }
    let mut settled = 0;
    for (workspace, calls) in lost {
        let mut writer = store.connections.writer(workspace, Commit::Soon).await?;
        let mut tx = writer.begin().await?;
        for call in calls {
            // The row of usage takes the open one away.
            let written = sqlx::query(concat!(
                "INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, ",
                call_columns!(),
                ") SELECT workspace_id, principal_id, job_id, attempt, operation, model, NULL,
                     input_tokens, 0, cost_micros, TRUE, $3, started_at, 0, 0, id
                   FROM open_calls WHERE workspace_id = $1 AND id = $2",
                once!()
            ))
            .bind(workspace.uuid())
            .bind(call)
            .bind(CallOutcome::Lost.as_str())
            .execute(&mut *tx)
            .await?;
            // One that was written meanwhile is open no longer, or was left so by a crash.
            sqlx::query("DELETE FROM open_calls WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(call)
                .execute(&mut *tx)
                .await?;
            settled += written.rows_affected();
        }
        tx.commit().await?;
    }
    Ok(settled)
}

#[async_trait]
impl Money for DbStore {
    async fn begin_call(
        &self,
        workspace: WorkspaceId,
        of: CallsOf,
        call: BegunCall,
    ) -> Result<(), StoreError> {
        hot::begin_call(self, workspace, of, call)
            .await
            .map_err(during("write down what a model is asked"))
    }

    async fn save_calls(
        &self,
        workspace: WorkspaceId,
        of: CallsOf,
        calls: &[ModelCall],
    ) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            for call in calls {
                let query = sqlx::query(concat!(
                    "INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, ",
                    call_columns!(),
                    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                         $16)",
                    once!()
                ))
                .bind(workspace.uuid())
                .bind(of.principal_id.uuid())
                .bind(of.job.map(|(job, _)| job.uuid()))
                .bind(of.job.map_or(0, |(_, attempt)| i64::from(attempt)));
                bind(query, call).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("write what models were asked"))
    }

    async fn spending(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        days: Days,
    ) -> Result<Spending, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT s.day_all, s.month_all, s.day_own, s.month_own, b.subject_id,
                     b.day_soft_micros, b.day_hard_micros, b.month_soft_micros, b.month_hard_micros
                 FROM (SELECT
                         CAST(coalesce(sum(CASE WHEN day = $3 THEN cost_micros END), 0) AS BIGINT)
                             AS day_all,
                         CAST(coalesce(sum(cost_micros), 0) AS BIGINT) AS month_all,
                         CAST(coalesce(sum(CASE WHEN day = $3 AND principal_id = $2
                             THEN cost_micros END), 0) AS BIGINT) AS day_own,
                         CAST(coalesce(sum(CASE WHEN principal_id = $2
                             THEN cost_micros END), 0) AS BIGINT) AS month_own
                       FROM spent WHERE workspace_id = $1 AND day BETWEEN $4 AND $3) s
                 LEFT JOIN budgets b ON b.workspace_id = $1 AND b.subject_id IN ($1, $2)",
            )
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(days.today)
            .bind(days.month)
            .fetch_all(&mut *reader)
            .await?;
            let mut spending = Spending::default();
            for row in &found {
                spending.workspace = Spent {
                    day_micros: rows::unsigned(row, "day_all")?,
                    month_micros: rows::unsigned(row, "month_all")?,
                };
                spending.principal = Spent {
                    day_micros: rows::unsigned(row, "day_own")?,
                    month_micros: rows::unsigned(row, "month_own")?,
                };
                match row.try_get::<Option<Uuid>, _>("subject_id")? {
                    None => {}
                    Some(subject) if subject == workspace.uuid() => {
                        spending.workspace_budget = Some(budget(row)?);
                    }
                    Some(_) => spending.principal_budget = Some(budget(row)?),
                }
            }
            Ok(spending)
        };
        work.await.map_err(during("read what was spent"))
    }

    async fn list_budgets(
        &self,
        workspace: WorkspaceId,
        days: Days,
    ) -> Result<Vec<SetBudget>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let set = sqlx::query(
                "SELECT subject_id, day_soft_micros, day_hard_micros, month_soft_micros,
                     month_hard_micros, updated_at
                 FROM budgets WHERE workspace_id = $1
                 ORDER BY subject_id <> $1, subject_id LIMIT $2",
            )
            .bind(workspace.uuid())
            .bind(MOST)
            .fetch_all(&mut *reader)
            .await?;
            let spent = sqlx::query(
                "SELECT principal_id,
                     CAST(coalesce(sum(CASE WHEN day = $2 THEN cost_micros END), 0) AS BIGINT) AS today,
                     CAST(sum(cost_micros) AS BIGINT) AS month
                 FROM spent WHERE workspace_id = $1 AND day BETWEEN $3 AND $2 GROUP BY principal_id",
            )
            .bind(workspace.uuid())
            .bind(days.today)
            .bind(days.month)
            .fetch_all(&mut *reader)
            .await?;
            let mut by_subject: HashMap<Uuid, Spent> = HashMap::new();
            for row in &spent {
                let (day, month) = (rows::unsigned(row, "today")?, rows::unsigned(row, "month")?);
                for subject in [row.try_get("principal_id")?, workspace.uuid()] {
                    let sum = by_subject.entry(subject).or_default();
                    sum.day_micros += day;
                    sum.month_micros += month;
                }
            }
            set.iter()
                .map(|row| {
                    let subject: Uuid = row.try_get("subject_id")?;
                    Ok(SetBudget {
                        principal_id: (subject != workspace.uuid()).then_some(PrincipalId(subject)),
                        budget: budget(row)?,
                        spent: by_subject.get(&subject).copied().unwrap_or_default(),
                        updated_at: rows::time(row, "updated_at")?,
                    })
                })
                .collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("list the budgets"))
    }

    async fn create_budget(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        budget: Budget,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if !is_known(&mut tx, workspace, principal).await? {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO budgets (workspace_id, subject_id, day_soft_micros, day_hard_micros,
                     month_soft_micros, month_hard_micros, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (workspace_id, subject_id) DO UPDATE SET
                     day_soft_micros = excluded.day_soft_micros,
                     day_hard_micros = excluded.day_hard_micros,
                     month_soft_micros = excluded.month_soft_micros,
                     month_hard_micros = excluded.month_hard_micros,
                     updated_at = excluded.updated_at",
            )
            .bind(workspace.uuid())
            .bind(subject(workspace, principal))
            .bind(budget.day_soft_micros.map(rows::signed))
            .bind(budget.day_hard_micros.map(rows::signed))
            .bind(budget.month_soft_micros.map(rows::signed))
            .bind(budget.month_hard_micros.map(rows::signed))
            .bind(rows::micros(audit.at))
            .execute(&mut *tx)
            .await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(true)
        };
        work.await.map_err(during("set a budget"))
    }

    async fn delete_budget(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let removed =
                sqlx::query("DELETE FROM budgets WHERE workspace_id = $1 AND subject_id = $2")
                    .bind(workspace.uuid())
                    .bind(subject(workspace, principal))
                    .execute(&mut *tx)
                    .await?;
            if removed.rows_affected() == 0 {
                return is_known(&mut tx, workspace, principal).await;
            }
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(true)
        };
        work.await.map_err(during("remove a budget"))
    }

    async fn usage(
        &self,
        workspace: WorkspaceId,
        by: UsageBy,
        from: Time,
        until: Time,
    ) -> Result<Vec<UsagePart>, StoreError> {
        let (parts, order) = match by {
            UsageBy::Day => ("created_at / 86400000000 AS day", "1"),
            UsageBy::Model => ("model, operation", "cost DESC, calls DESC, model, operation"),
            UsageBy::Principal => ("principal_id", "cost DESC, calls DESC, principal_id"),
        };
        let grouped = if by == UsageBy::Model { "1, 2" } else { "1" };
        let sql = format!(
            "SELECT {parts}, count(*) AS calls,
                 CAST(sum(CASE WHEN outcome = 'done' THEN 0 ELSE 1 END) AS BIGINT) AS failed,
                 CAST(sum(input_tokens) AS BIGINT) AS input,
                 CAST(sum(cached_tokens) AS BIGINT) AS cached,
                 CAST(sum(output_tokens) AS BIGINT) AS output,
                 CAST(sum(cost_micros) AS BIGINT) AS cost
             FROM model_usage WHERE workspace_id = $1 AND created_at >= $2 AND created_at < $3
             GROUP BY {grouped} ORDER BY {order} LIMIT $4"
        );
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(AssertSqlSafe(sql))
                .bind(workspace.uuid())
                .bind(rows::micros(from))
                .bind(rows::micros(until))
                .bind(MOST)
                .fetch_all(&mut *reader)
                .await?;
            found.iter().map(|row| part(row, by)).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("read the usage"))
    }
}

/// Whether the workspace has such a principal; that it is there itself need not be asked.
async fn is_known(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
) -> Result<bool, Fault> {
    let Some(principal) = principal else { return Ok(true) };
    let known = sqlx::query("SELECT 1 FROM principals WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(principal.uuid())
        .fetch_optional(tx)
        .await?;
    Ok(known.is_some())
}

/// Whose budget it is, as rows keep it.
fn subject(workspace: WorkspaceId, principal: Option<PrincipalId>) -> Uuid {
    principal.map_or(workspace.uuid(), PrincipalId::uuid)
}

fn budget(row: &DbRow) -> Result<Budget, Fault> {
    let limit = |column: &'static str| {
        let limit: Option<i64> = row.try_get(column)?;
        Ok::<_, Fault>(limit.map(i64::unsigned_abs))
    };
    Ok(Budget {
        day_soft_micros: limit("day_soft_micros")?,
        day_hard_micros: limit("day_hard_micros")?,
        month_soft_micros: limit("month_soft_micros")?,
        month_hard_micros: limit("month_hard_micros")?,
    })
}

fn part(row: &DbRow, by: UsageBy) -> Result<UsagePart, Fault> {
    let mut part = UsagePart {
        calls: rows::unsigned(row, "calls")?,
        failed_calls: rows::unsigned(row, "failed")?,
        input_tokens: rows::unsigned(row, "input")?,
        cached_tokens: rows::unsigned(row, "cached")?,
        output_tokens: rows::unsigned(row, "output")?,
        cost_micros: rows::unsigned(row, "cost")?,
        ..UsagePart::default()
    };
    match by {
        UsageBy::Day => {
            let days = TimeDelta::days(row.try_get("day")?);
            part.day = NaiveDate::default().checked_add_signed(days);
        }
        UsageBy::Model => {
            part.model = Some(row.try_get("model")?);
            part.operation = Some(row.try_get("operation")?);
        }
        UsageBy::Principal => part.principal_id = Some(rows::id(row, "principal_id")?),
    }
    Ok(part)
}
