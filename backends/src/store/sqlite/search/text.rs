//! Search by words: BM25 over the workspace's full-text table.

use quaestor_core::ports::store::{TermStats, TextHit};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::scope::{FIRST_FREE, Scope};
use super::terms::{quoted, terms_table};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows;

/// The best chunks of the scope.
pub(super) async fn search(
    connection: &mut SqliteConnection,
    scope: &Scope,
    terms: &[String],
    _counts: &TermStats,
    limit: u32,
) -> Result<Vec<TextHit>, Fault> {
    let Some(table) = terms_table(connection, scope.workspace).await? else {
        return Ok(Vec::new());
    };
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let expression = terms.iter().map(|term| quoted(term)).collect::<Vec<_>>().join(" OR ");
    let sql = format!(
        "SELECT c.id, bm25({table}) AS score FROM {table} JOIN chunks c ON c.key = {table}.rowid
         WHERE {table} MATCH ${FIRST_FREE} AND c.version_key IN ({versions})
         ORDER BY score LIMIT {limit}",
        versions = scope.versions_sql(),
    );
    let found =
        scope.bind(sqlx::query(AssertSqlSafe(sql))).bind(expression).fetch_all(connection).await?;
    found
        .iter()
        .map(|row| {
            #[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
            let score = -row.try_get::<f64, _>("score")? as f32;
            Ok(TextHit { chunk_id: rows::id(row, "id")?, score })
        })
        .collect()
}
