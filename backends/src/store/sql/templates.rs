//! Templates of exports: each change is a new version, and the newest one is in force.

use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{ExportTemplate, TemplateVersion};
use quaestor_core::ports::store::{NewAuditEntry, NewTemplate};
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbRow, DbStore};
use super::fault::{Fault, unique};
use super::{audit, rows};

fn version(row: &DbRow) -> Result<TemplateVersion, Fault> {
    Ok(TemplateVersion {
        name: row.try_get("name")?,
        version: rows::number(row, "version")?,
        created_at: rows::time(row, "created_at")?,
    })
}

/// The newest version of a template.
pub(super) async fn newest(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<ExportTemplate>, Fault> {
    let found = sqlx::query(
        "SELECT id, name, version, source, created_at FROM export_templates
         WHERE workspace_id = $1 AND name = $2 ORDER BY version DESC LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(name.to_owned())
    .fetch_optional(connection)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(ExportTemplate {
        id: rows::id(&row, "id")?,
        version: version(&row)?,
        source: row.try_get("source")?,
    }))
}

/// The newest version of each.
pub(super) async fn list(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
) -> Result<Vec<TemplateVersion>, Fault> {
    let found = sqlx::query(
        "SELECT t.name, t.version, t.created_at FROM export_templates t
         WHERE t.workspace_id = $1 AND t.version =
             (SELECT max(n.version) FROM export_templates n
              WHERE n.workspace_id = t.workspace_id AND n.name = t.name)
         ORDER BY t.name",
    )
    .bind(workspace.uuid())
    .fetch_all(connection)
    .await?;
    found.iter().map(version).collect()
}

/// Makes the next version. None where the workspace has as many templates as it may.
pub(super) async fn create(
    store: &DbStore,
    workspace: WorkspaceId,
    template: NewTemplate,
    (most, kept): (u32, u32),
    audit: NewAuditEntry,
) -> Result<Option<TemplateVersion>, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::OnDisk).await?;
    let mut tx = writer.begin().await?;
    let before = newest(&mut tx, workspace, &template.name).await?;
    if before.is_none() && list(&mut tx, workspace).await?.len() >= most as usize {
        return Ok(None);
    }
    let version = before.map_or(0, |before| before.version.version) + 1;
    sqlx::query(
        "INSERT INTO export_templates (id, workspace_id, name, version, source, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(template.id.uuid())
    .bind(workspace.uuid())
    .bind(template.name.clone())
    .bind(i64::from(version))
    .bind(dialect::text(template.source))
    .bind(rows::micros(template.created_at))
    .execute(&mut *tx)
    .await
    .map_err(unique("a version of this template that was made at the same moment"))?;
    sqlx::query(
        "DELETE FROM export_templates WHERE workspace_id = $1 AND name = $2 AND version <= $3",
    )
    .bind(workspace.uuid())
    .bind(template.name.clone())
    .bind(i64::from(version) - i64::from(kept))
    .execute(&mut *tx)
    .await?;
    audit::record(&mut tx, workspace, &audit).await?;
    tx.commit().await?;
    let created_at = template.created_at;
    Ok(Some(TemplateVersion { name: template.name, version, created_at }))
}

/// Removes a template with all its versions.
pub(super) async fn remove(
    store: &DbStore,
    workspace: WorkspaceId,
    name: &str,
    audit: NewAuditEntry,
) -> Result<bool, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::OnDisk).await?;
    let mut tx = writer.begin().await?;
    let removed = sqlx::query("DELETE FROM export_templates WHERE workspace_id = $1 AND name = $2")
        .bind(workspace.uuid())
        .bind(name.to_owned())
        .execute(&mut *tx)
        .await?;
    if removed.rows_affected() == 0 {
        return Ok(false);
    }
    audit::record(&mut tx, workspace, &audit).await?;
    tx.commit().await?;
    Ok(true)
}
