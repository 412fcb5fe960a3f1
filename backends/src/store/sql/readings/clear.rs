//! What is left of cuts that no generation goes by any more goes piece by piece: nobody waits
//! for it, and a collection's readings at once would hold up every other writer.

use quaestor_core::ids::{CollectionId, WorkspaceId};
use quaestor_core::ports::store::StoreError;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::super::connections::Commit;
use super::super::dialect::{DbConnection, DbStore, INSTALLATION, for_update};
use super::super::fault::{Fault, during};
use super::super::{rows, search};
use super::place::remove;

/// Documents of one piece.
const PIECE: u32 = 20;
/// Pieces of one call; the rest waits for the next.
const PIECES: usize = 500;
/// Collections that one call looks at.
const COLLECTIONS: i64 = 200;

/// Removes what is left of dropped generations' cuts, in all workspaces.
pub(in super::super) async fn dropped(store: &DbStore) -> Result<(), StoreError> {
    let found = async {
        let mut reader = store.connections.reader(INSTALLATION).await?;
        let found = sqlx::query(
            "SELECT DISTINCT workspace_id, collection_id FROM generations
             WHERE state = 'dropped' AND cut >= 0 LIMIT $1",
        )
        .bind(COLLECTIONS)
        .fetch_all(&mut *reader)
        .await?;
        let of = |row| Ok((rows::id(row, "workspace_id")?, rows::id(row, "collection_id")?));
        found.iter().map(of).collect::<Result<Vec<(WorkspaceId, CollectionId)>, Fault>>()
    };
    let found = found.await.map_err(during("find dropped generations"))?;
    let mut pieces = PIECES;
    for (workspace, collection) in found {
        while pieces > 0 {
            pieces -= 1;
            let work = async {
                let mut writer = store.connections.writer(workspace, Commit::Soon).await?;
                let mut tx = writer.begin().await?;
                let more = piece(&mut tx, workspace, collection).await?;
                tx.commit().await?;
                Ok(more)
            };
            let more = work.await.map_err(during("remove what is left of dropped generations"))?;
            store.term_counts.forget(workspace);
            if !more {
                break;
            }
        }
    }
    Ok(())
}

/// Takes some readings out that no living generation of the collection goes by. False where
/// there are none.
pub(super) async fn piece(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<bool, Fault> {
    // No generation is begun or switched to meanwhile.
    if !super::super::generations::lock_collection(tx, workspace, collection).await? {
        return Ok(false);
    }
    let found = sqlx::query(
        "SELECT DISTINCT cut, state = 'current' AS searched FROM generations
         WHERE workspace_id = $1 AND collection_id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_all(&mut *tx)
    .await?;
    let mut cuts: Vec<i64> = Vec::new();
    let mut has_current = false;
    for row in &found {
        cuts.push(row.try_get("cut")?);
        has_current |= row.try_get::<bool, _>("searched")?;
    }
    if !has_current {
        // What documents have as they come.
        cuts.push(0);
    }
    let living = cuts.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let mut gone = 0;
    for (own, other) in [("current_key", "other_key"), ("other_key", "current_key")] {
        let found = sqlx::query(AssertSqlSafe(format!(
            "SELECT d.id, v.key, v.reading_of IS NOT NULL AND {UNSEARCHED} AS removable
             FROM documents d JOIN versions v ON v.key = d.{own}
             WHERE d.workspace_id = $1 AND d.collection_id = $2 AND d.{other} IS NOT NULL
               AND v.cut NOT IN ({living}) ORDER BY d.id LIMIT {PIECE}"
        )))
        .bind(workspace.uuid())
        .bind(collection.uuid())
        .fetch_all(&mut *tx)
        .await?;
        for row in &found {
            gone += 1;
            let key: i64 = row.try_get("key")?;
            if out_of_place(tx, workspace, row.try_get("id")?, (own, other), key).await? {
                match row.try_get("removable")? {
                    true => remove(tx, workspace, key).await?,
                    false => search::take_out(tx, workspace, key).await?,
                }
            }
        }
    }
    // Readings that were begun and not finished.
    let begun = sqlx::query(AssertSqlSafe(format!(
        "SELECT v.key FROM versions v WHERE v.workspace_id = $1 AND v.collection_id = $2
           AND v.reading_of IS NOT NULL AND v.cut NOT IN ({living}) AND v.status <> 'ready'
         ORDER BY v.key LIMIT {PIECE}"
    )))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_all(&mut *tx)
    .await?;
    for row in &begun {
        gone += 1;
        remove(tx, workspace, row.try_get("key")?).await?;
    }
    if gone > 0 {
        return Ok(true);
    }
    sqlx::query(
        "UPDATE generations SET cut = -1
         WHERE workspace_id = $1 AND collection_id = $2 AND state = 'dropped' AND cut >= 0",
    )
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .execute(tx)
    .await?;
    Ok(false)
}

/// Whether the reading `v` was made for a generation that was never searched: then no answer
/// cites it.
const UNSEARCHED: &str = "EXISTS (SELECT 1 FROM generations g
         WHERE g.collection_id = v.collection_id AND g.cut = v.cut)
     AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.collection_id = v.collection_id
         AND g.cut = v.cut AND (g.switched_at IS NOT NULL OR g.job_id IS NULL))";

/// The document names the reading no more. False where it has changed meanwhile.
async fn out_of_place(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: Uuid,
    (own, other): (&str, &str),
    key: i64,
) -> Result<bool, Fault> {
    let locked = format!(
        "SELECT 1 FROM documents WHERE workspace_id = $1 AND id = $2 AND {own} = $3
           AND {other} IS NOT NULL{}",
        for_update!()
    );
    let found = sqlx::query(AssertSqlSafe(locked))
        .bind(workspace.uuid())
        .bind(document)
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    if found.is_none() {
        return Ok(false);
    }
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE documents SET {own} = NULL WHERE workspace_id = $1 AND id = $2"
    )))
    .bind(workspace.uuid())
    .bind(document)
    .execute(tx)
    .await?;
    Ok(true)
}
