//! Search by words: BM25 over the posting lists.
//!
//! The database hands over the lists of a question's terms, a few kilobytes for each
//! thousand matches, and the score of every match is summed here. So no match is passed
//! over, up to [`READ_WHOLE`] of them; with more, the rarest terms lead:
//!
//! * Their matches are all scored, and the best of them are candidates.
//! * The commoner terms are then read for the candidates' versions alone. A word weighs
//!   the less the more chunks hold it, so they can only reorder what leads.
//!
//! The formula is that of SQLite's `bm25()`, to the order of its additions, and so are
//! the scores: both stores rank alike.

use std::collections::HashMap;

use quaestor_core::ids::ChunkId;
use quaestor_core::ports::store::{TermStats, TextHit};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::counts::Totals;
use super::postings::{Entry, Reader, asked};
use super::scope::{FIRST_FREE, Scope};
use crate::store::postgres::fault::{Fault, corrupt};
use crate::store::postgres::rows;

/// So many entries of posting lists are read whole for a question: about 5 bytes and
/// 20 ns each.
const READ_WHOLE: u64 = 1_000_000;
/// With more, this many times the wanted chunks are scored by the commoner terms too.
const CANDIDATES: usize = 5;

/// How soon a term that stands often in a chunk counts no more.
const K1: f64 = 1.2;
/// How much long chunks are held back.
const B: f64 = 0.75;
/// The least weight of a term: one that most chunks hold says hardly anything, but what
/// holds it is found.
const LEAST_WEIGHT: f64 = 1e-6;

/// A term of the question.
struct Term {
    /// How many chunks of the workspace hold it.
    chunks: u64,
    name: String,
    weight: f64,
}

/// The best chunks of the scope.
pub(super) async fn search(
    connection: &mut PgConnection,
    scope: &Scope,
    terms: &[String],
    totals: Totals,
    stats: &TermStats,
    limit: u32,
) -> Result<Vec<TextHit>, Fault> {
    let terms = weighed(terms, totals, stats);
    if terms.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let limit = limit as usize;
    let mut scores = Scores::new(totals);
    let whole = read_whole(connection, scope, totals, &terms).await?;
    scores.add(connection, scope, &terms[..whole], None).await?;
    let mut best = scores.best(limit);
    if whole < terms.len() {
        let (mut read, rest) = (whole, &terms[whole..]);
        for _ in rest {
            if best.len() >= limit {
                break;
            }
            scores.add(connection, scope, &terms[read..=read], None).await?;
            read += 1;
            best = scores.best(limit);
        }
        let candidates = scores.best(limit.saturating_mul(CANDIDATES));
        let mut versions: Vec<i64> = candidates.iter().map(|found| found.version).collect();
        versions.sort_unstable();
        versions.dedup();
        scores.keep(&candidates);
        scores.add(connection, scope, &terms[read..], Some(versions)).await?;
        best = scores.best(limit);
    }
    name(connection, scope, &best).await
}

/// The best chunks for each of several searches, whose terms are read together. For where
/// all matches of all terms are few enough to be scored.
pub(super) async fn search_together(
    connection: &mut PgConnection,
    scope: &Scope,
    searches: &[(&[String], TermStats)],
    totals: Totals,
    limit: u32,
) -> Result<Vec<Vec<TextHit>>, Fault> {
    let searches: Vec<Vec<Term>> =
        searches.iter().map(|(terms, stats)| weighed(terms, totals, stats)).collect();
    let mut names: Vec<&str> = searches.iter().flatten().map(|term| &*term.name).collect();
    names.sort_unstable();
    names.dedup();
    let lists = read_lists(connection, scope, &names, None).await?;
    let mut best = Vec::with_capacity(searches.len());
    for terms in &searches {
        let mut scores = Scores::new(totals);
        scores.add_lists(terms, &lists)?;
        best.push(scores.best(limit as usize));
    }
    let all: Vec<Found> = best.iter().flatten().copied().collect();
    let mut ids = names_of(connection, scope, &all).await?.into_iter();
    Ok(best.iter().map(|found| hits(found, ids.by_ref().take(found.len()))).collect())
}

/// The known terms once each, rarest first: the order in which scores are summed.
fn weighed(terms: &[String], totals: Totals, stats: &TermStats) -> Vec<Term> {
    let mut known: Vec<(u64, String)> = terms
        .iter()
        .zip(&stats.chunks_with)
        .filter(|(_, chunks)| **chunks > 0)
        .filter_map(|(term, chunks)| Some((*chunks, asked(term)?.into_owned())))
        .collect();
    known.sort_unstable();
    known.dedup();
    known
        .into_iter()
        .map(|(chunks, name)| {
            let (all, with) = (totals.chunks as f64, chunks as f64);
            let weight = ((all - with + 0.5) / (with + 0.5)).ln();
            let weight = if weight > 0.0 { weight } else { LEAST_WEIGHT };
            Term { chunks, name, weight }
        })
        .collect()
}

/// How many of the terms, rarest first, are read for the whole scope; at least one.
async fn read_whole(
    connection: &mut PgConnection,
    scope: &Scope,
    totals: Totals,
    terms: &[Term],
) -> Result<usize, Fault> {
    let sum: u64 = terms.iter().map(|term| term.chunks).sum();
    if sum <= READ_WHOLE {
        return Ok(terms.len());
    }
    let sql = format!(
        "SELECT coalesce(sum(n.indexed_chunks), 0)::bigint AS chunks
         FROM versions n WHERE n.key IN ({})",
        scope.versions_sql()
    );
    let row = scope.bind(sqlx::query(AssertSqlSafe(sql))).fetch_one(connection).await?;
    let in_scope = rows::unsigned(&row, "chunks")?;
    let mut read = 0_u64;
    let whole = terms.iter().take_while(|term| {
        // Terms are taken to be spread evenly.
        read += term.chunks.min(in_scope).min(term.chunks * in_scope / totals.chunks.max(1) + 1);
        read <= READ_WHOLE
    });
    Ok(whole.count().max(1))
}

/// A chunk with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    score: f64,
    version: i64,
    ordinal: u32,
}

impl Found {
    /// Best first; equal ones in the order in which they were stored.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.version.cmp(&other.version))
            .then(self.ordinal.cmp(&other.ordinal))
    }
}

/// The posting lists of a term: of each version, how many chunks its list has.
struct TermLists {
    versions: Vec<i64>,
    chunks: Vec<i32>,
    bytes: Vec<u8>,
}

type Lists = HashMap<String, TermLists>;

/// The lists of these terms, in the scope or in some versions of it.
async fn read_lists(
    connection: &mut PgConnection,
    scope: &Scope,
    names: &[&str],
    versions: Option<Vec<i64>>,
) -> Result<Lists, Fault> {
    if names.is_empty() {
        return Ok(Lists::new());
    }
    let within = match versions {
        None => format!("p.version_key IN ({})", scope.versions_sql()),
        Some(_) => format!("p.version_key = ANY(${})", FIRST_FREE + 1),
    };
    // The lists of a term come as three values and not as thousands of rows. All
    // three are put together from the same rows in the same order.
    let sql = format!(
        "SELECT p.term, array_agg(p.version_key) AS versions, array_agg(p.chunks) AS chunks,
             string_agg(p.postings, ''::bytea) AS postings
         FROM chunk_terms p
         WHERE p.workspace_id = $1 AND p.term = ANY(${FIRST_FREE}) AND {within}
         GROUP BY p.term"
    );
    let found = scope
        .bind(sqlx::query(AssertSqlSafe(sql)))
        .bind(names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>())
        .bind(versions)
        .fetch_all(connection)
        .await?;
    let lists = found.iter().map(|row| {
        let lists = TermLists {
            versions: row.try_get("versions")?,
            chunks: row.try_get("chunks")?,
            bytes: row.try_get("postings")?,
        };
        Ok((row.try_get("term")?, lists))
    });
    lists.collect()
}

/// The scores of the chunks that hold a term, by version and ordinal. Zero is none: every
/// term has a weight.
struct Scores {
    mean_length: f64,
    by_version: HashMap<i64, Vec<f64>>,
    /// Only chunks that have a score already are scored further.
    closed: bool,
}

impl Scores {
    fn new(totals: Totals) -> Self {
        let mean_length = totals.terms as f64 / totals.chunks.max(1) as f64;
        Self { mean_length, by_version: HashMap::new(), closed: false }
    }

    /// Adds what these terms give, in the scope or in some versions of it.
    async fn add(
        &mut self,
        connection: &mut PgConnection,
        scope: &Scope,
        terms: &[Term],
        versions: Option<Vec<i64>>,
    ) -> Result<(), Fault> {
        if terms.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = terms.iter().map(|term| &*term.name).collect();
        let lists = read_lists(connection, scope, &names, versions).await?;
        self.add_lists(terms, &lists)
    }

    fn add_lists(&mut self, terms: &[Term], lists: &Lists) -> Result<(), Fault> {
        for term in terms {
            let Some(lists) = lists.get(&term.name) else { continue };
            let mut bytes = Reader::of(&lists.bytes);
            for (version, chunks) in lists.versions.iter().zip(&lists.chunks) {
                self.add_list(term.weight, *version, *chunks, &mut bytes)?;
            }
        }
        Ok(())
    }

    fn add_list(
        &mut self,
        weight: f64,
        version: i64,
        chunks: i32,
        lists: &mut Reader<'_>,
    ) -> Result<(), Fault> {
        let (mean_length, closed) = (self.mean_length, self.closed);
        let scores = self.by_version.entry(version).or_default();
        let read = lists.list(chunks, |entry| {
            let place = entry.ordinal as usize;
            if place >= scores.len() {
                if closed {
                    return;
                }
                scores.resize(place + 1, 0.0);
            }
            if !closed || scores[place] > 0.0 {
                scores[place] += weight * saturated(entry, mean_length);
            }
        });
        read.map_err(|torn| corrupt("posting list", torn))
    }

    /// Forgets all but these; from now on no others come in.
    fn keep(&mut self, kept: &[Found]) {
        self.closed = true;
        self.by_version.clear();
        for found in kept {
            let scores = self.by_version.entry(found.version).or_default();
            let place = found.ordinal as usize;
            if place >= scores.len() {
                scores.resize(place + 1, 0.0);
            }
            scores[place] = found.score;
        }
    }

    /// The best, best first.
    fn best(&self, limit: usize) -> Vec<Found> {
        let room = limit.saturating_mul(2).max(64);
        let mut best: Vec<Found> = Vec::new();
        let mut least = 0.0;
        for (&version, scores) in &self.by_version {
            for (ordinal, &score) in (0_u32..).zip(scores) {
                // Equal to the least may still come before it by its place.
                if score <= 0.0 || score < least {
                    continue;
                }
                best.push(Found { score, version, ordinal });
                if best.len() > room {
                    best.select_nth_unstable_by(limit, Found::order);
                    best.truncate(limit);
                    least = best.iter().map(|found| found.score).fold(f64::INFINITY, f64::min);
                }
            }
        }
        best.sort_unstable_by(Found::order);
        best.truncate(limit);
        best
    }
}

/// How much a term counts that stands so often in a chunk of such a length.
fn saturated(entry: Entry, mean_length: f64) -> f64 {
    let (times, length) = (f64::from(entry.times), f64::from(entry.length));
    (times * (K1 + 1.0)) / (times + K1 * (1.0 - B + B * length / mean_length))
}

/// The chunks as hits.
async fn name(
    connection: &mut PgConnection,
    scope: &Scope,
    best: &[Found],
) -> Result<Vec<TextHit>, Fault> {
    Ok(hits(best, names_of(connection, scope, best).await?.into_iter()))
}

/// The ids of the chunks, in their order; none for one that is gone.
async fn names_of(
    connection: &mut PgConnection,
    scope: &Scope,
    chunks: &[Found],
) -> Result<Vec<Option<ChunkId>>, Fault> {
    let mut ids = vec![None; chunks.len()];
    if chunks.is_empty() {
        return Ok(ids);
    }
    let (versions, ordinals): (Vec<i64>, Vec<i64>) =
        chunks.iter().map(|found| (found.version, i64::from(found.ordinal))).unzip();
    let found = sqlx::query(
        "SELECT c.id, w.place FROM unnest($2::bigint[], $3::bigint[])
             WITH ORDINALITY AS w (version_key, ordinal, place)
         JOIN chunks c ON c.version_key = w.version_key AND c.ordinal = w.ordinal
         WHERE c.workspace_id = $1",
    )
    .bind(scope.workspace.uuid())
    .bind(versions)
    .bind(ordinals)
    .fetch_all(connection)
    .await?;
    for row in &found {
        // Places are counted from one.
        let place = usize::try_from(row.try_get::<i64, _>("place")? - 1).ok();
        if let Some(id) = place.and_then(|place| ids.get_mut(place)) {
            *id = Some(rows::id(row, "id")?);
        }
    }
    Ok(ids)
}

fn hits(best: &[Found], ids: impl Iterator<Item = Option<ChunkId>>) -> Vec<TextHit> {
    let mut hits: Vec<TextHit> = best
        .iter()
        .zip(ids)
        .filter_map(|(found, chunk_id)| {
            #[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
            let score = found.score as f32;
            Some(TextHit { chunk_id: chunk_id?, score })
        })
        .collect();
    // Equal scores in the order of ids, so that the same search gives the same list.
    hits.sort_unstable_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| a.chunk_id.cmp(&b.chunk_id))
    });
    hits
}
