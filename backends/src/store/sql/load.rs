//! How much unfinished work there is, by workspaces.

use quaestor_core::clock::Time;
use quaestor_core::jobs::JobKind;
use quaestor_core::ports::store::Unfinished;
use sqlx::Row;

use super::dialect::DbConnection;
use super::fault::Fault;
use super::rows;

/// Reads the indexes over leases and over deadlines, which hold unfinished jobs alone: the
/// jobs that have ended, however many they are, are not looked at.
pub(super) async fn unfinished(
    connection: &mut DbConnection,
    kind: JobKind,
    until: Time,
    limit: u32,
) -> Result<Vec<Unfinished>, Fault> {
    let found = sqlx::query(
        "SELECT workspace_id, count(*) AS jobs,
             count(CASE WHEN waits AND attempt = 0 THEN 1 END) AS unstarted,
             min(CASE WHEN waits AND attempt = 0 THEN created_at END) AS unstarted_since,
             count(CASE WHEN waits AND attempt = 0 AND state = 'queued' THEN 1 END) AS untouched,
             min(CASE WHEN waits AND attempt = 0 AND state = 'queued' THEN created_at END)
                 AS untouched_since
         FROM (
             SELECT * FROM (
                 SELECT workspace_id, attempt, state, created_at, TRUE AS waits FROM jobs
                 WHERE state IN ('queued', 'waiting') AND deadline IS NOT NULL AND deadline < $2
                   AND kind = $1
                 ORDER BY deadline LIMIT $3) w
             UNION ALL
             SELECT workspace_id, attempt, state, created_at, FALSE AS waits FROM jobs
             WHERE state = 'running' AND lease_until > 0 AND kind = $1) u
         GROUP BY workspace_id",
    )
    .bind(kind.as_str())
    .bind(rows::micros(until))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| {
            let since =
                |column: &str| row.try_get::<Option<i64>, _>(column)?.map(rows::moment).transpose();
            Ok(Unfinished {
                workspace_id: rows::id(row, "workspace_id")?,
                jobs: rows::unsigned(row, "jobs")?,
                unstarted: rows::unsigned(row, "unstarted")?,
                unstarted_since: since("unstarted_since")?,
                untouched: rows::unsigned(row, "untouched")?,
                untouched_since: since("untouched_since")?,
            })
        })
        .collect::<Result<Vec<_>, Fault>>()
}
