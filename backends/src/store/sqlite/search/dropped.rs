//! Generations that nobody wants any more are removed piece by piece: a million rows at once
//! would hold up every other writer for as long.

use quaestor_core::ports::store::StoreError;
use sqlx::{AssertSqlSafe, Row};

use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::connections::Commit;
use crate::store::sqlite::dialect::INSTALLATION;
use crate::store::sqlite::fault::during;

/// Rows of one piece: some 10 ms.
const PIECE: u32 = 2_000;
/// Pieces of one call; the rest waits for the next.
const PIECES: usize = 500;

/// Removes vectors of dropped generations, and those that have none left.
pub(in crate::store::sqlite) async fn remove_dropped(
    store: &SqliteStore,
) -> Result<(), StoreError> {
    let work = async {
        let mut pieces = PIECES;
        while pieces > 0 {
            pieces -= 1;
            let mut writer = store.connections.bulk_writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let dropped = sqlx::query(
                "SELECT key FROM generations WHERE state = 'dropped' AND cut < 0 LIMIT 1",
            )
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = dropped else { return Ok(()) };
            let key: i64 = row.try_get("key")?;
            let mut removed = 0;
            for table in ["vectors", "vector_blocks"] {
                let sql = format!(
                    "DELETE FROM {table} WHERE key IN
                         (SELECT key FROM {table} WHERE generation_key = $1 LIMIT {PIECE})"
                );
                let gone = sqlx::query(AssertSqlSafe(sql)).bind(key).execute(&mut *tx).await?;
                removed += gone.rows_affected();
            }
            if removed == 0 {
                sqlx::query("DELETE FROM generations WHERE key = $1")
                    .bind(key)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(())
    };
    work.await.map_err(during("remove dropped generations"))
}
