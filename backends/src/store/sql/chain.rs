//! The chain over the audit log: entries become links, and links are read to be checked.

use quaestor_core::audit::{Seal, SealHash};
use quaestor_core::clock::Time;
use quaestor_core::ids::{AuditId, WorkspaceId};
use quaestor_core::ports::store::{AuditEnd, AuditEntry, AuditLink, AuditLinks};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::dialect::{self, DbConnection, DbRow};
use super::fault::{Fault, corrupt};
use super::rows;

/// So many links are one statement.
const ROWS_AT_ONCE: usize = 64;
/// Entries without a link that a look at a piece of the chain tells at the most.
const MOST_STRAYS: usize = 100;

/// The smallest id of a moment: a UUIDv7 begins with its milliseconds.
fn first_id_at(moment: Time) -> Uuid {
    let millis = u128::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

fn seal(row: &DbRow) -> Result<Seal, Fault> {
    let hash = row.try_get::<Vec<u8>, _>("hash")?;
    let hash = hash.try_into().map_err(|_| corrupt("seal", "its hash is not 32 bytes long"))?;
    Ok(Seal {
        number: rows::unsigned(row, "number")?,
        entry_id: rows::id(row, "entry_id")?,
        hash: SealHash(hash),
    })
}

async fn head(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
) -> Result<Option<Seal>, Fault> {
    sqlx::query("SELECT number, entry_id, hash FROM audit_heads WHERE workspace_id = $1")
        .bind(workspace.uuid())
        .fetch_optional(connection)
        .await?
        .map(|row| seal(&row))
        .transpose()
}

fn last_of(head: Option<&Seal>) -> Uuid {
    head.map_or(Uuid::nil(), |head| head.entry_id.uuid())
}

/// Whether any entry can be sealed: most looks find none, and a look costs no turn to write.
pub(super) async fn is_due(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    before: Time,
) -> Result<bool, Fault> {
    let head = head(connection, workspace).await?;
    let found = sqlx::query(
        "SELECT 1 FROM audit_log WHERE workspace_id = $1 AND id > $2 AND id < $3 LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(last_of(head.as_ref()))
    .bind(first_id_at(before))
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Makes links of entries. None where another process is at it.
pub(super) async fn extend(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    before: Time,
    limit: u32,
) -> Result<u64, Fault> {
    if !dialect::take_turn_to_seal(tx, workspace).await? {
        return Ok(0);
    }
    let mut last = head(tx, workspace).await?;
    let found = sqlx::query(
        "SELECT id, principal_id, action, subject, at FROM audit_log
         WHERE workspace_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4",
    )
    .bind(workspace.uuid())
    .bind(last_of(last.as_ref()))
    .bind(first_id_at(before))
    .bind(i64::from(limit))
    .fetch_all(&mut *tx)
    .await?;
    let mut seals = Vec::with_capacity(found.len());
    for row in &found {
        let next = Seal::after(last.as_ref(), workspace, &rows::audit_entry(row)?);
        seals.push(next.clone());
        last = Some(next);
    }
    for some in seals.chunks(ROWS_AT_ONCE) {
        insert(tx, workspace, some).await?;
    }
    if let Some(last) = last.filter(|_| !seals.is_empty()) {
        sqlx::query(
            "INSERT INTO audit_heads (workspace_id, number, entry_id, hash)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (workspace_id) DO UPDATE SET number = excluded.number,
                 entry_id = excluded.entry_id, hash = excluded.hash",
        )
        .bind(workspace.uuid())
        .bind(rows::signed(last.number))
        .bind(last.entry_id.uuid())
        .bind(last.hash.0.to_vec())
        .execute(tx)
        .await?;
    }
    Ok(rows::length(&seals))
}

async fn insert(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    seals: &[Seal],
) -> Result<(), Fault> {
    let lists: Vec<String> = (0..seals.len())
        .map(|row| format!("($1, ${}, ${}, ${})", 3 * row + 2, 3 * row + 3, 3 * row + 4))
        .collect();
    let sql = format!(
        "INSERT INTO audit_seals (workspace_id, number, entry_id, hash) VALUES {}",
        lists.join(", ")
    );
    // Only statements of one length are worth keeping.
    let whole = seals.len() == ROWS_AT_ONCE;
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(whole).bind(workspace.uuid());
    for seal in seals {
        query = query
            .bind(rows::signed(seal.number))
            .bind(seal.entry_id.uuid())
            .bind(seal.hash.0.to_vec());
    }
    query.execute(tx).await?;
    Ok(())
}

/// A piece of the chain, with what stands in the log in its place.
pub(super) async fn links(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    after: u64,
    limit: u32,
) -> Result<AuditLinks, Fault> {
    let previous = sqlx::query(
        "SELECT number, entry_id, hash FROM audit_seals WHERE workspace_id = $1 AND number = $2",
    )
    .bind(workspace.uuid())
    .bind(rows::signed(after))
    .fetch_optional(&mut *connection)
    .await?
    .map(|row| seal(&row))
    .transpose()?;
    let found = sqlx::query(
        "SELECT s.number, s.entry_id, s.hash, a.id, a.principal_id, a.action, a.subject, a.at
         FROM audit_seals s
         LEFT JOIN audit_log a ON a.id = s.entry_id AND a.workspace_id = s.workspace_id
         WHERE s.workspace_id = $1 AND s.number > $2 ORDER BY s.number LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(rows::signed(after))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut links = Vec::with_capacity(found.len());
    for row in &found {
        let there = row.try_get::<Option<Uuid>, _>("id")?.is_some();
        let entry: Option<AuditEntry> = there.then(|| rows::audit_entry(row)).transpose()?;
        links.push(AuditLink { seal: seal(row)?, entry });
    }
    let mut until = links.iter().map(|link| link.seal.entry_id.uuid()).max().unwrap_or_default();
    if links.len() < limit as usize {
        until = until.max(last_of(head(connection, workspace).await?.as_ref()));
    }
    let entries = sqlx::query(
        "SELECT id FROM audit_log WHERE workspace_id = $1 AND id > $2 AND id <= $3
         ORDER BY id LIMIT $4",
    )
    .bind(workspace.uuid())
    .bind(last_of(previous.as_ref()))
    .bind(until)
    .bind(rows::signed((links.len() + MOST_STRAYS) as u64))
    .fetch_all(connection)
    .await?;
    let entries = entries.iter().map(|row| rows::id(row, "id"));
    let entries = entries.collect::<Result<Vec<AuditId>, Fault>>()?;
    Ok(AuditLinks { previous, links, entries })
}

pub(super) async fn end(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    cap: u32,
) -> Result<AuditEnd, Fault> {
    let head = head(connection, workspace).await?;
    let counted = sqlx::query(
        "SELECT count(*) AS unsealed FROM (
             SELECT 1 FROM audit_log WHERE workspace_id = $1 AND id > $2 LIMIT $3) a",
    )
    .bind(workspace.uuid())
    .bind(last_of(head.as_ref()))
    .bind(i64::from(cap))
    .fetch_one(connection)
    .await?;
    Ok(AuditEnd { head, unsealed: rows::unsigned(&counted, "unsealed")? })
}
