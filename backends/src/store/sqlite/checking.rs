//! What the check of what is stored counts in SQLite: rows of the full-text tables, and
//! entries of the blocks of bits.

use async_trait::async_trait;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{StoreError, StrayCursor, StrayRows, Strays};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::fault::{Fault, during};
use super::{SqliteStore, rows, search};

/// So many strays of a piece are named.
const NAMED: u32 = 20;

/// What a statement over `versions v` and `generations g` counts, as SQL.
pub(super) struct Counting {
    /// Passages of the version that are found by words.
    pub(super) indexed: String,
    /// Whether a vector `x` has another length than its generation.
    pub(super) other_length: &'static str,
    /// Vectors of the version that a search looks through.
    pub(super) searched: &'static str,
}

pub(super) async fn counting(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
) -> Result<Counting, Fault> {
    // The full-text table has a row of its own making for each that it holds.
    let indexed = match search::terms_table(connection, workspace).await? {
        Some(table) => format!(
            "(SELECT count(*) FROM chunks c JOIN {table}_docsize s ON s.id = c.key
              WHERE c.version_key = v.key)"
        ),
        None => "0".to_owned(),
    };
    Ok(Counting {
        indexed,
        other_length: "length(x.vector) <> 4 * g.dimensions",
        // An entry is a key of 8 bytes and the bits in whole words of 8.
        searched:
            "(SELECT coalesce(sum(length(b.entries)), 0) / (8 + 8 * ((g.dimensions + 63) / 64))
                    FROM vector_blocks b WHERE b.version_key = v.key AND b.generation_key = g.key)",
    })
}

/// A piece of a table in the order of its keys: what of it has no owner.
async fn piece(
    connection: &mut SqliteConnection,
    table: &str,
    (what, is_stray): (&str, &str),
    after: Option<StrayCursor>,
    limit: u32,
) -> Result<Strays, Fault> {
    let after = after.unwrap_or(StrayCursor { part: 0, key: i64::MIN });
    let looked = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS looked, max(key) AS last
         FROM (SELECT key FROM {table} WHERE key > $1 ORDER BY key LIMIT $2)"
    )))
    .bind(after.key)
    .bind(i64::from(limit))
    .fetch_one(&mut *connection)
    .await?;
    let Some(last) = looked.try_get::<Option<i64>, _>("last")? else {
        return Ok(Strays::default());
    };
    let sql = format!(
        "SELECT count(*) OVER () AS strays, t.workspace_id, {what} AS what FROM {table} t
         WHERE t.key > $1 AND t.key <= $2 AND {is_stray} ORDER BY t.key LIMIT $3"
    );
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(after.key)
        .bind(last)
        .bind(i64::from(NAMED))
        .fetch_all(connection)
        .await?;
    let mut strays = Strays { looked: rows::unsigned(&looked, "looked")?, ..Strays::default() };
    for row in &found {
        strays.strays = rows::unsigned(row, "strays")?;
        strays.examples.push((rows::id(row, "workspace_id")?, row.try_get("what")?));
    }
    strays.next = Some(StrayCursor { part: 0, key: last });
    Ok(strays)
}

#[async_trait]
impl StrayRows for SqliteStore {
    async fn stray_passages(
        &self,
        _workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(super::dialect::INSTALLATION).await?;
            let stray = (
                "'passage ' || lower(hex(t.id))",
                "NOT EXISTS (SELECT 1 FROM versions v WHERE v.key = t.version_key)",
            );
            piece(&mut reader, "chunks", stray, after, limit).await
        };
        work.await.map_err(during("look for stray passages"))
    }

    async fn stray_vectors(
        &self,
        _workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(super::dialect::INSTALLATION).await?;
            let stray = (
                "'vector ' || t.key",
                "(NOT EXISTS (SELECT 1 FROM chunks c WHERE c.key = t.chunk_key)
                  OR NOT EXISTS (SELECT 1 FROM generations g WHERE g.key = t.generation_key))",
            );
            piece(&mut reader, "vectors", stray, after, limit).await
        };
        work.await.map_err(during("look for stray vectors"))
    }
}
