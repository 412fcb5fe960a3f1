//! Whether the installation may be used here, and what removes all of it.

use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Standing, Table};
use sqlx::{AssertSqlSafe, Row};

use super::dialect::{self, DbConnection};
use super::fault::{Fault, corrupt};
use super::rows;

pub(super) async fn read(connection: &mut DbConnection) -> Result<Standing, Fault> {
    let found =
        sqlx::query("SELECT state, other, at FROM standing").fetch_optional(connection).await?;
    let Some(row) = found else { return Ok(Standing::Whole) };
    let (state, other): (String, String) = (row.try_get("state")?, row.try_get("other")?);
    let at = rows::time(&row, "at")?;
    match state.as_str() {
        "arriving" => Ok(Standing::Arriving { from: other, since: at }),
        "moved" => Ok(Standing::Moved { to: other, at }),
        _ => Err(corrupt("standing", state)),
    }
}

pub(super) async fn write(tx: &mut DbConnection, standing: &Standing) -> Result<(), Fault> {
    sqlx::query("DELETE FROM standing").execute(&mut *tx).await?;
    let (state, other, at): (&str, &str, Time) = match standing {
        Standing::Whole => return Ok(()),
        Standing::Arriving { from, since } => ("arriving", from, *since),
        Standing::Moved { to, at } => ("moved", to, *at),
    };
    sqlx::query("INSERT INTO standing (only_one, state, other, at) VALUES (1, $1, $2, $3)")
        .bind(state)
        .bind(other.to_owned())
        .bind(rows::micros(at))
        .execute(tx)
        .await?;
    Ok(())
}

/// Workspaces in the order in which they were made.
pub(super) async fn workspaces_after(
    connection: &mut DbConnection,
    after: Option<WorkspaceId>,
    limit: u32,
) -> Result<Vec<WorkspaceId>, Fault> {
    let found = match after {
        None => sqlx::query("SELECT id FROM workspaces ORDER BY created_at, key LIMIT $1")
            .bind(i64::from(limit)),
        Some(after) => sqlx::query(
            "SELECT id FROM workspaces
             WHERE (created_at, key) > (SELECT created_at, key FROM workspaces WHERE id = $2)
             ORDER BY created_at, key LIMIT $1",
        )
        .bind(i64::from(limit))
        .bind(after.uuid()),
    };
    found.fetch_all(connection).await?.iter().map(|row| rows::id(row, "id")).collect()
}

/// Removes every row of a workspace, and the workspace.
pub(super) async fn remove_workspace(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
) -> Result<(), Fault> {
    let row = sqlx::query("SELECT key FROM workspaces WHERE id = $1")
        .bind(workspace.uuid())
        .fetch_one(&mut *tx)
        .await?;
    // What names another goes before it.
    for table in Table::ALL.into_iter().rev() {
        let column = if table == Table::Workspaces { "id" } else { "workspace_id" };
        let sql = format!("DELETE FROM {} WHERE {column} = $1", table.name());
        sqlx::query(AssertSqlSafe(sql)).bind(workspace.uuid()).execute(&mut *tx).await?;
    }
    // Follows from the requests, which are gone.
    sqlx::query("DELETE FROM spent WHERE workspace_id = $1")
        .bind(workspace.uuid())
        .execute(&mut *tx)
        .await?;
    dialect::workspace_gone(tx, workspace, row.try_get("key")?).await
}
