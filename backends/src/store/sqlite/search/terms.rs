//! The full-text table of a workspace, and how common its terms are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::TermStats;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows;

/// Counts of this many terms are kept in memory; then the cache starts anew.
const MAX_COUNTS: usize = 8_192;

/// Makes the full-text table of a new workspace.
///
/// The terms come analysed and parted by spaces. The tokenizer shall leave them as they
/// are: `ascii` counts everything above 127 as part of a word and folds ASCII letters,
/// and the other characters are made part of words here. The text itself is not kept
/// (`content=''`): it stands in `chunks`.
pub(in crate::store::sqlite) async fn create_terms_table(
    tx: &mut SqliteConnection,
    workspace_key: i64,
) -> Result<(), Fault> {
    let table = table_name(workspace_key);
    // Every printable ASCII character that is neither letter, digit nor quote.
    let token_characters = "!#$%&()*+,-./:;<=>?@[\\]^_`{|}~";
    sqlx::query(AssertSqlSafe(format!(
        "CREATE VIRTUAL TABLE {table} USING fts5 (terms, content='', contentless_delete=1,
             tokenize=\"ascii tokenchars '{token_characters}'\")"
    )))
    .execute(&mut *tx)
    .await?;
    sqlx::query(AssertSqlSafe(format!(
        "CREATE VIRTUAL TABLE {table}_counts USING fts5vocab ({table}, row)"
    )))
    .execute(tx)
    .await?;
    Ok(())
}

/// What removes the full-text table of a workspace.
pub(in crate::store::sqlite) fn drop_terms_table(workspace_key: i64) -> [String; 2] {
    let table = table_name(workspace_key);
    [format!("DROP TABLE {table}_counts"), format!("DROP TABLE {table}")]
}

/// The name of the workspace's full-text table; none if there is no such workspace.
pub(in crate::store::sqlite) async fn terms_table(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
) -> Result<Option<String>, Fault> {
    let found = sqlx::query("SELECT key FROM workspaces WHERE id = $1")
        .bind(workspace.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|row| row.try_get("key")).transpose()?.map(table_name))
}

fn table_name(workspace_key: i64) -> String {
    format!("chunk_terms_{workspace_key}")
}

/// What a MATCH expression calls the term: a string in double quotes.
pub(super) fn quoted(term: &str) -> String {
    format!("\"{}\"", term.replace('"', "\"\""))
}

#[derive(Default)]
struct Counts {
    chunks: Option<u64>,
    by_term: HashMap<String, u64>,
}

/// How common terms are, remembered until the workspace's current versions change.
/// Counting a term that half of 100,000 chunks hold takes about 2 ms.
#[derive(Default)]
pub(in crate::store::sqlite) struct TermCounts(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// Rises with every change. A count that was begun before a change is not kept: it
    /// would be remembered after the change that should have made it forgotten.
    changes: u64,
    terms: usize,
    workspaces: HashMap<WorkspaceId, Counts>,
}

impl TermCounts {
    /// Forgets a workspace, whose current versions have changed.
    pub(in crate::store::sqlite) fn forget(&self, workspace: WorkspaceId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.changes += 1;
        if let Some(gone) = kept.workspaces.remove(&workspace) {
            kept.terms = kept.terms.saturating_sub(gone.by_term.len());
        }
    }

    /// How common these terms are.
    pub(super) async fn of(
        &self,
        connection: &mut SqliteConnection,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> Result<TermStats, Fault> {
        let (changes, mut chunks, mut known) = self.remembered(workspace, terms);
        if chunks.is_none() {
            let row = sqlx::query(
                // Both readings of a document, where there are two: so the table counts terms.
                "SELECT coalesce(sum(v.chunks), 0) AS chunks
                 FROM documents d JOIN versions v ON v.key IN (d.current_key, d.other_key)
                 WHERE d.workspace_id = $1",
            )
            .bind(workspace.uuid())
            .fetch_one(&mut *connection)
            .await?;
            chunks = Some(rows::unsigned(&row, "chunks")?);
        }
        if known.iter().any(Option::is_none)
            && let Some(table) = terms_table(connection, workspace).await?
        {
            let sql = format!("SELECT doc FROM {table}_counts WHERE term = $1");
            for (term, count) in terms.iter().zip(&mut known) {
                if count.is_none() {
                    let row = sqlx::query(AssertSqlSafe(sql.clone()))
                        .bind(term.to_ascii_lowercase())
                        .fetch_optional(&mut *connection)
                        .await?;
                    *count = Some(match row {
                        Some(row) => rows::unsigned(&row, "doc")?,
                        None => 0,
                    });
                }
            }
        }
        let chunks = chunks.unwrap_or(0);
        let chunks_with: Vec<u64> = known.into_iter().map(Option::unwrap_or_default).collect();
        self.remember(changes, workspace, chunks, terms, &chunks_with);
        Ok(TermStats { chunks, chunks_with })
    }

    fn remembered(
        &self,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> (u64, Option<u64>, Vec<Option<u64>>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.workspaces.get(&workspace) {
            None => (kept.changes, None, vec![None; terms.len()]),
            Some(counts) => (
                kept.changes,
                counts.chunks,
                terms.iter().map(|term| counts.by_term.get(term).copied()).collect(),
            ),
        }
    }

    fn remember(
        &self,
        changes: u64,
        workspace: WorkspaceId,
        chunks: u64,
        terms: &[String],
        counts: &[u64],
    ) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *guard;
        if kept.changes != changes {
            return;
        }
        if kept.terms + terms.len() > MAX_COUNTS {
            kept.terms = 0;
            kept.workspaces.clear();
        }
        let entry = kept.workspaces.entry(workspace).or_default();
        entry.chunks = Some(chunks);
        for (term, count) in terms.iter().zip(counts) {
            if entry.by_term.insert(term.clone(), *count).is_none() {
                kept.terms += 1;
            }
        }
    }
}
