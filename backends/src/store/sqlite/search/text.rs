//! Search by words: BM25 over the workspace's full-text table.
//!
//! FTS5 walks the chunks of a term at about 30 ns each, but scores at about 1 µs each.
//! A question of eight words can match most of 100,000 chunks, so only some are scored:
//!
//! * Where the words match few chunks in all, or the scope is narrow, every match is.
//! * Else the rarest words lead: chunks that hold none of them are not scored. A word
//!   weighs the less the more chunks hold it, so these are the worse matches.
//! * Where there are too few leading words, chunks that hold several of the common
//!   words together come next, and at last, newest first, those that hold any.
//!
//! Every score is the BM25 of all words that weigh something.

use std::collections::HashMap;

use quaestor_core::ids::ChunkId;
use quaestor_core::ports::store::{TermStats, TextHit};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::scope::{FIRST_FREE, Scope, Versions};
use super::terms::{quoted, terms_table};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows;

/// At most this many chunks are scored by one statement: about 5 ms.
const SCORED: u64 = 5_000;
/// The terms that only add to a score may stand in this many chunks together, since
/// FTS5 counts each of them once more for every statement.
const COUNTED: u64 = 60_000;
/// A scope of no more chunks than this is searched whole.
const NARROW: u64 = 5_000;
/// At most this many common words are asked for together.
const TOGETHER: usize = 4;

/// The best chunks of the scope.
pub(super) async fn search(
    connection: &mut SqliteConnection,
    scope: &Scope,
    terms: &[String],
    counts: &TermStats,
    limit: u32,
) -> Result<Vec<TextHit>, Fault> {
    let Some(table) = terms_table(connection, scope.workspace).await? else {
        return Ok(Vec::new());
    };
    let mut known: Vec<(u64, &str)> = terms
        .iter()
        .zip(&counts.chunks_with)
        .filter(|(_, count)| **count > 0)
        .map(|(term, count)| (*count, term.as_str()))
        .collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let all = any(&known);
    let versions = scope.versions(connection).await?;
    if versions.count == 0 {
        return Ok(Vec::new());
    }
    let few = total(&known) <= SCORED;
    let narrow = !few && scope_is_narrow(connection, scope, &versions).await?;
    let hits = HashMap::new();
    let mut statement =
        Statement { connection, scope, versions: &versions, table: &table, limit, narrow, hits };
    if narrow || few {
        statement.run(&all, Sweep::Whole).await?;
        return Ok(statement.best());
    }

    let (leading, common) = lead(&known);
    if !leading.is_empty() {
        let adding = adding(common, counts.chunks);
        if !adding.is_empty() {
            // Chunks with both kinds of words get their whole score here, and the
            // others theirs below: the higher of two scores is the whole one.
            let both = format!("({}) AND ({})", any(leading), any(adding));
            statement.run(&both, Sweep::Whole).await?;
        }
        statement.run(&any(leading), Sweep::Whole).await?;
    }
    for together in (1..=common.len().min(TOGETHER)).rev() {
        if statement.has_enough() {
            break;
        }
        let parts: Vec<String> = common[..together].iter().map(|(_, term)| quoted(term)).collect();
        statement.run(&parts.join(" AND "), Sweep::Newest).await?;
    }
    if !statement.has_enough() {
        statement.run(&all, Sweep::Newest).await?;
    }
    if !statement.has_enough() {
        statement.run(&all, Sweep::Whole).await?;
    }
    Ok(statement.best())
}

/// A word and how many chunks hold it.
type Counted<'b> = (u64, &'b str);

/// The rarest words, as many as may be scored, and the others.
fn lead<'a, 'b>(known: &'a [Counted<'b>]) -> (&'a [Counted<'b>], &'a [Counted<'b>]) {
    let mut sum = 0_u64;
    let leading = known
        .iter()
        .take_while(|(count, _)| {
            sum += count;
            sum <= SCORED
        })
        .count();
    known.split_at(leading)
}

/// The common words that still weigh something: BM25 gives nothing for a word that
/// half of the chunks hold, and little for one that two in five do.
fn adding<'a, 'b>(common: &'a [(u64, &'b str)], chunks: u64) -> &'a [(u64, &'b str)] {
    let mut sum = 0_u64;
    let adding = common
        .iter()
        .take_while(|(count, _)| {
            sum += count;
            sum <= COUNTED && count * 5 <= chunks * 2
        })
        .count();
    &common[..adding]
}

fn total(terms: &[(u64, &str)]) -> u64 {
    terms.iter().map(|(count, _)| count).sum()
}

fn any(terms: &[(u64, &str)]) -> String {
    terms.iter().map(|(_, term)| quoted(term)).collect::<Vec<_>>().join(" OR ")
}

async fn scope_is_narrow(
    connection: &mut SqliteConnection,
    scope: &Scope,
    versions: &Versions,
) -> Result<bool, Fault> {
    // Hardly a document is without a chunk.
    if versions.count as u64 > NARROW {
        return Ok(false);
    }
    let sql = format!(
        "SELECT coalesce(sum(n.chunks), 0) AS chunks FROM versions n WHERE n.key IN ({})",
        scope.versions_sql()
    );
    let row = scope.bind(sqlx::query(AssertSqlSafe(sql))).fetch_one(connection).await?;
    Ok(rows::unsigned(&row, "chunks")? <= NARROW)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sweep {
    /// Every match in the scope is scored.
    Whole,
    /// Only so many of the newest matches are.
    Newest,
}

struct Statement<'a> {
    connection: &'a mut SqliteConnection,
    scope: &'a Scope,
    versions: &'a Versions,
    table: &'a str,
    limit: u32,
    narrow: bool,
    hits: HashMap<ChunkId, f32>,
}

impl Statement<'_> {
    async fn run(&mut self, expression: &str, sweep: Sweep) -> Result<(), Fault> {
        let table = self.table;
        // A narrow scope is a set of rows to be checked against before anything is
        // scored (the plus keeps them from being looked up one by one in the index). In
        // a wide one, the matches are fewer: each is asked for its version.
        let (from, in_scope) = if self.narrow {
            (
                table.to_owned(),
                format!(
                    "+{table}.rowid IN
                         (SELECT s.key FROM chunks s WHERE s.version_key IN ({versions}))",
                    versions = self.scope.versions_sql(),
                ),
            )
        } else {
            (
                format!("{table} CROSS JOIN chunks s ON s.key = {table}.rowid"),
                self.versions.holds_sql(self.scope, "s.version_key"),
            )
        };
        let newest = match sweep {
            Sweep::Whole => String::new(),
            Sweep::Newest => format!("ORDER BY {table}.rowid DESC LIMIT {SCORED}"),
        };
        let matches = format!(
            "SELECT {table}.rowid AS key, bm25({table}) AS score FROM {from}
             WHERE {table} MATCH ${asked} AND {in_scope} {newest}",
            asked = FIRST_FREE + 2,
        );
        let sql = format!(
            "SELECT c.id, m.score FROM
                 (SELECT key, score FROM ({matches}) ORDER BY score LIMIT {limit}) m
             JOIN chunks c ON c.key = m.key",
            limit = self.limit,
        );
        let found = self
            .versions
            .bind(self.scope.bind(sqlx::query(AssertSqlSafe(sql))))
            .bind(expression.to_owned())
            .fetch_all(&mut *self.connection)
            .await?;
        for row in &found {
            #[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
            let score = -row.try_get::<f64, _>("score")? as f32;
            let kept = self.hits.entry(rows::id(row, "id")?).or_insert(score);
            *kept = kept.max(score);
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        self.hits.len() >= self.limit as usize
    }

    fn best(self) -> Vec<TextHit> {
        let mut hits: Vec<TextHit> =
            self.hits.into_iter().map(|(chunk_id, score)| TextHit { chunk_id, score }).collect();
        // Equal scores in the order of ids, so that the same search gives the same list.
        hits.sort_unstable_by(|a, b| {
            b.score.total_cmp(&a.score).then_with(|| a.chunk_id.cmp(&b.chunk_id))
        });
        hits.truncate(self.limit as usize);
        hits
    }
}
