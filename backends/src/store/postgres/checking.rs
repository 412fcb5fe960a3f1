//! What the check of what is stored counts in PostgreSQL: posting lists, and the vectors of
//! each partition.

use async_trait::async_trait;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{StoreError, StrayCursor, StrayRows, Strays};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::fault::{Fault, during};
use super::{PgStore, dialect, rows, search};

/// So many strays of a piece are named.
const NAMED: i64 = 20;

/// What a statement over `versions v` and `generations g` counts, as SQL.
pub(super) struct Counting {
    /// Passages of the version that are found by words.
    pub(super) indexed: String,
    /// Whether a vector `x` has another length than its generation.
    pub(super) other_length: &'static str,
    /// Vectors of the version that a search looks through: here the vectors themselves.
    pub(super) searched: &'static str,
}

#[expect(clippy::unused_async, reason = "the other database is asked")]
pub(super) async fn counting(
    _connection: &mut PgConnection,
    _workspace: WorkspaceId,
) -> Result<Counting, Fault> {
    Ok(Counting {
        // As many as were indexed, where their lists are there: passages without a single
        // term have none.
        indexed: "CASE WHEN v.indexed_terms > 0 AND NOT EXISTS
                      (SELECT 1 FROM chunk_terms t WHERE t.version_key = v.key)
                  THEN 0 ELSE v.indexed_chunks END"
            .to_owned(),
        other_length: "vector_dims(x.embedding) <> g.dimensions",
        searched: "",
    })
}

/// A piece of a table in the order of its keys: what of it has no owner.
async fn piece(
    connection: &mut PgConnection,
    (table, key): (&str, &str),
    (what, is_stray): (&str, &str),
    after: i64,
    limit: i64,
) -> Result<(Strays, Option<i64>), Fault> {
    let looked = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS looked, max(key) AS last
         FROM (SELECT {key} AS key FROM {table} WHERE {key} > $1 ORDER BY {key} LIMIT $2) t"
    )))
    .bind(after)
    .bind(limit)
    .fetch_one(&mut *connection)
    .await?;
    let Some(last) = looked.try_get::<Option<i64>, _>("last")? else {
        return Ok((Strays::default(), None));
    };
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) OVER () AS strays, t.workspace_id, {what} AS what FROM {table} t
         WHERE t.{key} > $1 AND t.{key} <= $2 AND {is_stray} ORDER BY t.{key} LIMIT $3"
    )))
    .bind(after)
    .bind(last)
    .bind(NAMED)
    .fetch_all(connection)
    .await?;
    let mut strays = Strays { looked: rows::unsigned(&looked, "looked")?, ..Strays::default() };
    for row in &found {
        strays.strays = rows::unsigned(row, "strays")?;
        strays.examples.push((rows::id(row, "workspace_id")?, row.try_get("what")?));
    }
    Ok((strays, Some(last)))
}

#[async_trait]
impl StrayRows for PgStore {
    async fn stray_passages(
        &self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(dialect::INSTALLATION).await?;
            dialect::see_all(&mut reader, workspaces).await?;
            let stray = (
                "'passage ' || t.id",
                "NOT EXISTS (SELECT 1 FROM versions v WHERE v.key = t.version_key)",
            );
            let after = after.map_or(i64::MIN, |after| after.key);
            let (strays, last) =
                piece(&mut reader, ("chunks", "key"), stray, after, limit.into()).await?;
            Ok(Strays { next: last.map(|key| StrayCursor { part: 0, key }), ..strays })
        };
        work.await.map_err(during("look for stray passages"))
    }

    /// A partition is one generation's: a piece is of one partition.
    async fn stray_vectors(
        &self,
        workspaces: &[WorkspaceId],
        after: Option<StrayCursor>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(dialect::INSTALLATION).await?;
            dialect::see_all(&mut reader, workspaces).await?;
            let after = after.unwrap_or(StrayCursor { part: i64::MIN, key: i64::MIN });
            let found =
                sqlx::query("SELECT key FROM generations WHERE key >= $1 ORDER BY key LIMIT 2")
                    .bind(after.part)
                    .fetch_all(&mut *reader)
                    .await?;
            let mut parts = Vec::with_capacity(found.len());
            for row in &found {
                parts.push(row.try_get::<i64, _>("key")?);
            }
            let Some(part) = parts.first().copied() else { return Ok(Strays::default()) };
            let from = if part == after.part { after.key } else { i64::MIN };
            let stray = (
                "'vector of passage ' || t.chunk_id",
                "NOT EXISTS (SELECT 1 FROM chunks c WHERE c.key = t.chunk_key)",
            );
            let table = search::vectors_table(part);
            let (strays, last) =
                piece(&mut reader, (&table, "chunk_key"), stray, from, limit.into()).await?;
            let next = match last {
                Some(key) => Some(StrayCursor { part, key }),
                None => parts.get(1).map(|part| StrayCursor { part: *part, key: i64::MIN }),
            };
            Ok(Strays { next, ..strays })
        };
        work.await.map_err(during("look for stray vectors"))
    }
}
