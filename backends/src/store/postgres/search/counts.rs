//! How common terms are, and how long chunks: what BM25 weighs by.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::TermStats;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::postings::asked;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::readings::searched;
use crate::store::postgres::rows;

/// Counts of this many terms are kept in memory; then the cache starts anew.
const MAX_COUNTS: usize = 8_192;
/// And of this many workspaces.
const MAX_WORKSPACES: usize = 1_024;

/// The searchable chunks of a workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) chunks: u64,
    /// How many terms they have together.
    pub(super) terms: u64,
}

/// How common terms are, remembered as long as the workspace's stamp stands: it changes
/// in the transaction that makes other versions searched, whichever process does it.
#[derive(Default)]
pub(in crate::store::postgres) struct TermCounts(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    terms: usize,
    workspaces: HashMap<WorkspaceId, Counts>,
}

struct Counts {
    stamp: i64,
    totals: Totals,
    by_term: HashMap<String, u64>,
}

impl TermCounts {
    /// Lets go of a workspace's counts, which its stamp no longer vouches for.
    pub(in crate::store::postgres) fn forget(&self, workspace: WorkspaceId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = kept.workspaces.remove(&workspace) {
            kept.terms = kept.terms.saturating_sub(gone.by_term.len());
        }
    }

    /// How common these terms are among the current versions.
    pub(super) async fn of(
        &self,
        connection: &mut PgConnection,
        workspace: WorkspaceId,
        terms: &[String],
    ) -> Result<(Totals, TermStats), Fault> {
        let found = sqlx::query("SELECT stamp FROM search_stamps WHERE workspace_id = $1")
            .bind(workspace.uuid())
            .fetch_optional(&mut *connection)
            .await?;
        // Nothing was ever searchable here.
        let Some(row) = found else {
            let none = TermStats { chunks: 0, chunks_with: vec![0; terms.len()] };
            return Ok((Totals::default(), none));
        };
        // Counted after the stamp was read: what is remembered may be newer than its
        // stamp, and is then counted again, but never older.
        let stamp: i64 = row.try_get("stamp")?;
        let (totals, mut counts) = self.remembered(workspace, stamp, terms);
        let totals = match totals {
            Some(totals) => totals,
            None => count_all(connection, workspace).await?,
        };
        let missing: Vec<String> = terms
            .iter()
            .zip(&counts)
            .filter(|(_, count)| count.is_none())
            .filter_map(|(term, _)| asked(term).map(|term| term.into_owned()))
            .collect();
        if !missing.is_empty() {
            let found = count_terms(connection, workspace, missing).await?;
            for (term, count) in terms.iter().zip(&mut counts) {
                let counted = asked(term).and_then(|term| found.get(term.as_ref()));
                count.get_or_insert(counted.copied().unwrap_or(0));
            }
        }
        let chunks_with: Vec<u64> = counts.into_iter().map(Option::unwrap_or_default).collect();
        self.remember(workspace, stamp, totals, terms, &chunks_with);
        Ok((totals, TermStats { chunks: totals.chunks, chunks_with }))
    }

    fn remembered(
        &self,
        workspace: WorkspaceId,
        stamp: i64,
        terms: &[String],
    ) -> (Option<Totals>, Vec<Option<u64>>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.workspaces.get(&workspace).filter(|counts| counts.stamp == stamp) {
            None => (None, vec![None; terms.len()]),
            Some(counts) => (
                Some(counts.totals),
                terms.iter().map(|term| counts.by_term.get(term).copied()).collect(),
            ),
        }
    }

    fn remember(
        &self,
        workspace: WorkspaceId,
        stamp: i64,
        totals: Totals,
        terms: &[String],
        counts: &[u64],
    ) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *guard;
        if kept.terms + terms.len() > MAX_COUNTS || kept.workspaces.len() >= MAX_WORKSPACES {
            kept.terms = 0;
            kept.workspaces.clear();
        }
        if kept.workspaces.get(&workspace).is_some_and(|counts| counts.stamp != stamp)
            && let Some(old) = kept.workspaces.remove(&workspace)
        {
            kept.terms = kept.terms.saturating_sub(old.by_term.len());
        }
        let entry = kept.workspaces.entry(workspace).or_insert_with(|| Counts {
            stamp,
            totals,
            by_term: HashMap::new(),
        });
        for (term, count) in terms.iter().zip(counts) {
            if entry.by_term.insert(term.clone(), *count).is_none() {
                kept.terms += 1;
            }
        }
    }
}

/// The counts of some of the terms that were counted; none if one of them was not.
pub(super) fn those_of(
    wanted: &[String],
    terms: &[String],
    stats: &TermStats,
) -> Option<TermStats> {
    let count = |wanted: &String| {
        let place = terms.iter().position(|term| term == wanted)?;
        stats.chunks_with.get(place).copied()
    };
    let chunks_with = wanted.iter().map(count).collect::<Option<Vec<u64>>>()?;
    Some(TermStats { chunks: stats.chunks, chunks_with })
}

async fn count_all(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Totals, Fault> {
    let row = sqlx::query(concat!(
        "SELECT coalesce(sum(v.indexed_chunks), 0)::bigint AS chunks,
             coalesce(sum(v.indexed_terms), 0)::bigint AS terms FROM ",
        searched!(),
        " d JOIN versions v ON v.key = d.version_key WHERE d.workspace_id = $1"
    ))
    .bind(workspace.uuid())
    .fetch_one(connection)
    .await?;
    Ok(Totals { chunks: rows::unsigned(&row, "chunks")?, terms: rows::unsigned(&row, "terms")? })
}

async fn count_terms(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    terms: Vec<String>,
) -> Result<HashMap<String, u64>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT p.term, sum(p.chunks)::bigint AS chunks FROM chunk_terms p
         WHERE p.workspace_id = $1 AND p.term = ANY($2) AND p.version_key IN
             (SELECT d.version_key FROM ",
        searched!(),
        " d WHERE d.workspace_id = $1)
         GROUP BY p.term"
    ))
    .bind(workspace.uuid())
    .bind(terms)
    .fetch_all(connection)
    .await?;
    let mut counts = HashMap::with_capacity(found.len());
    for row in &found {
        counts.insert(row.try_get("term")?, rows::unsigned(row, "chunks")?);
    }
    Ok(counts)
}
