//! Search by meaning: a nearest-neighbour index over half-precision vectors where a
//! generation is large, all of its vectors where it is small, and exact similarity for
//! the best of them.
//!
//! Each generation has its own partition and, once it is large, its own HNSW index. A
//! scope that a filter narrows is a list of versions here. Where they have few chunks,
//! these are all compared: that is exact, and quicker than to walk an index most of whose
//! neighbours are out of scope. Else the index is walked until enough are in scope
//! (pgvector's iterative scan), so a caller who may see little still gets as many as
//! were asked for; should the walk end before, all in scope are compared after all.
//!
//! The order among half-precision neighbours is nearly that of the exact vectors: some
//! more than wanted are taken and compared exactly.

use pgvector::Vector;
use quaestor_core::ids::GenerationId;
use quaestor_core::ports::store::VectorHit;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::scope::{FIRST_FREE, Scope};
use super::writing::vectors_table;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::readings::searched;
use crate::store::postgres::rows;

/// A filtered scope of no more chunks in a generation is compared whole: about 6 ms.
const COMPARED_WHOLE: u64 = 10_000;
/// The walk through the index keeps at least so many of the nearest. Among a million chunks
/// they hold 98 % of the ten nearest.
const LEAST_KEPT: u32 = 200;
/// And at most so many: pgvector takes no more.
const MOST_KEPT: u32 = 1_000;
/// The walk ends when it has met this many vectors.
const MOST_MET: u32 = 40_000;
/// Above so many partitions at once, the planner's time for one statement shows.
const PARTITIONS_AT_ONCE: usize = 16;

/// The versions whose vectors are in scope.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Versions {
    /// All but these, which are being read again and not searched yet: mostly none.
    But(Vec<i64>),
    Only(Vec<i64>),
}

impl Versions {
    fn are_filtered(&self) -> bool {
        matches!(self, Self::Only(_))
    }

    /// The condition on a vector, with its keys as `$3`.
    fn condition(&self) -> &'static str {
        match self {
            Self::But(hidden) if hidden.is_empty() => "",
            Self::But(_) => " AND version_key <> ALL($3)",
            Self::Only(_) => " AND version_key = ANY($3)",
        }
    }

    fn keys(self) -> Option<Vec<i64>> {
        match self {
            Self::But(hidden) if hidden.is_empty() => None,
            Self::But(keys) | Self::Only(keys) => Some(keys),
        }
    }
}

/// The vectors of one generation that are in scope.
struct Part {
    generation_key: i64,
    indexed: bool,
    versions: Versions,
}

/// The nearest chunks of the scope.
pub(super) async fn search(
    connection: &mut PgConnection,
    scope: &Scope,
    generations: &[GenerationId],
    vector: &[f32],
    limit: u32,
) -> Result<Vec<VectorHit>, Fault> {
    if limit == 0 || generations.is_empty() {
        return Ok(Vec::new());
    }
    let parts = parts(connection, scope, generations, vector.len(), limit).await?;
    let mut asked = Asked {
        connection,
        scope,
        vector: Vector::from(vector.to_vec()),
        dimensions: vector.len(),
        limit,
        hits: Vec::new(),
    };
    let (indexed, whole): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.indexed);
    for part in &indexed {
        asked.walk(part).await?;
    }
    for some in whole.chunks(PARTITIONS_AT_ONCE) {
        asked.compare(some).await?;
    }
    Ok(asked.best())
}

/// What of the generations is in scope. The same statement says how their indexes are to
/// be walked, which spares a round trip: the settings hold until the transaction ends.
async fn parts(
    connection: &mut PgConnection,
    scope: &Scope,
    generations: &[GenerationId],
    dimensions: usize,
    limit: u32,
) -> Result<Vec<Part>, Fault> {
    let (ids, dims, kept) = (FIRST_FREE, FIRST_FREE + 1, FIRST_FREE + 2);
    // pgvector before 0.8 has no iterative scan, and refuses to hear of it.
    let settings = format!(
        "SELECT set_config('hnsw.ef_search', ${kept}, true) AS kept,
             CASE WHEN (SELECT string_to_array(extversion, '.')::int[] >= '{{0,8}}'
                        FROM pg_extension WHERE extname = 'vector')
             THEN set_config('hnsw.iterative_scan', 'relaxed_order', true)
                  || set_config('hnsw.max_scan_tuples', '{MOST_MET}', true) END AS walk"
    );
    let which = format!("g.workspace_id = $1 AND g.id = ANY(${ids}) AND g.dimensions = ${dims}");
    let sql = if scope.is_filtered() {
        // The lists of versions differ from call to call, so a plan that was made for
        // another may be far from the best.
        format!(
            "WITH settings AS MATERIALIZED (
                 {settings}, set_config('plan_cache_mode', 'force_custom_plan', true) AS plan)
             SELECT g.key, g.vector_index = 'ready' AND s.kept <> '' AS indexed,
                 array_agg(sv.key) AS versions, sum(sv.indexed_chunks)::bigint AS chunks
             FROM settings s, generations g
             JOIN {searched} sd ON sd.collection_id = g.collection_id
             JOIN versions sv ON sv.key = sd.version_key
             WHERE {which} AND {in_scope}
             GROUP BY g.key, indexed",
            searched = searched!(),
            in_scope = scope.condition(),
        )
    } else {
        format!(
            "WITH settings AS MATERIALIZED ({settings})
             SELECT g.key, g.vector_index = 'ready' AND s.kept <> '' AS indexed,
                 ARRAY(SELECT v.key FROM versions v
                       WHERE v.collection_id = g.collection_id AND v.staged) AS hidden
             FROM settings s, generations g
             WHERE {which} AND g.collection_id = ANY($2)"
        )
    };
    let found = scope
        .bind(sqlx::query(AssertSqlSafe(sql)))
        .bind(generations.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
        .bind(i64::try_from(dimensions).unwrap_or(i64::MAX))
        .bind((limit.saturating_mul(2)).clamp(LEAST_KEPT, MOST_KEPT).to_string())
        .fetch_all(connection)
        .await?;
    found.iter().map(|row| part(row, scope.is_filtered())).collect()
}

fn part(row: &PgRow, filtered: bool) -> Result<Part, Fault> {
    let (generation_key, indexed) = (row.try_get("key")?, row.try_get("indexed")?);
    if !filtered {
        let versions = Versions::But(row.try_get("hidden")?);
        return Ok(Part { generation_key, indexed, versions });
    }
    let indexed = indexed && rows::unsigned(row, "chunks")? > COMPARED_WHOLE;
    let versions = Versions::Only(row.try_get("versions")?);
    Ok(Part { generation_key, indexed, versions })
}

struct Asked<'a> {
    connection: &'a mut PgConnection,
    scope: &'a Scope,
    vector: Vector,
    dimensions: usize,
    limit: u32,
    hits: Vec<VectorHit>,
}

impl Asked<'_> {
    /// Searches one generation by its index.
    async fn walk(&mut self, part: &Part) -> Result<(), Fault> {
        let sql = near_sql(
            &vectors_table(part.generation_key),
            part.versions.condition(),
            &format!("embedding::halfvec({0}) <=> $1::halfvec({0})", self.dimensions),
            self.taken(),
        );
        let found = self.run(sql, true, part.versions.clone().keys()).await?;
        let enough = found.len() >= self.limit as usize;
        self.hits.extend(found);
        // The walk met its end before it had enough in scope.
        if !enough && part.versions.are_filtered() {
            self.compare(std::slice::from_ref(part)).await?;
        }
        Ok(())
    }

    /// Compares all vectors in scope of some generations.
    async fn compare(&mut self, parts: &[Part]) -> Result<(), Fault> {
        let keys: Vec<i64> = parts.iter().map(|part| part.generation_key).collect();
        // All are of one search: either a filter narrows each of them, or none.
        let mut versions = Versions::But(Vec::new());
        for part in parts {
            versions = match (versions, &part.versions) {
                (Versions::Only(mut all), Versions::Only(more)) => {
                    all.extend(more);
                    Versions::Only(all)
                }
                (_, Versions::Only(some)) => Versions::Only(some.clone()),
                (Versions::But(mut all), Versions::But(more)) => {
                    all.extend(more);
                    Versions::But(all)
                }
                (only @ Versions::Only(_), Versions::But(_)) => only,
            };
        }
        // The sum keeps the planner from an index that gives neighbours only nearly.
        let by = format!("(embedding::halfvec({0}) <=> $1::halfvec({0})) + 0", self.dimensions);
        let in_versions = versions.condition();
        let sql = match keys.as_slice() {
            [one] => near_sql(&vectors_table(*one), in_versions, &by, self.taken()),
            _ => {
                let keys = keys.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                let which = format!("{in_versions} AND generation_key IN ({keys})");
                near_sql("vectors", &which, &by, self.taken())
            }
        };
        let found = self.run(sql, parts.len() == 1, versions.keys()).await?;
        self.hits.extend(found);
        Ok(())
    }

    /// How many are compared exactly: half precision seldom moves one by more places.
    fn taken(&self) -> u32 {
        self.limit.saturating_add(self.limit / 4).saturating_add(10)
    }

    async fn run(
        &mut self,
        sql: String,
        keep_plan: bool,
        versions: Option<Vec<i64>>,
    ) -> Result<Vec<VectorHit>, Fault> {
        let query = sqlx::query(AssertSqlSafe(sql))
            .persistent(keep_plan)
            .bind(self.vector.clone())
            .bind(self.scope.workspace.uuid());
        let query = match versions {
            Some(versions) => query.bind(versions),
            None => query,
        };
        let found = query.fetch_all(&mut *self.connection).await?;
        found
            .iter()
            .map(|row| {
                #[expect(clippy::cast_possible_truncation, reason = "computed in 32 bits")]
                let similarity = row.try_get::<f64, _>("similarity")? as f32;
                Ok(VectorHit { chunk_id: rows::id(row, "chunk_id")?, similarity })
            })
            .collect()
    }

    fn best(mut self) -> Vec<VectorHit> {
        // Equal ones in the order of ids, so that the same search gives the same list.
        self.hits.sort_unstable_by(|a, b| {
            b.similarity.total_cmp(&a.similarity).then_with(|| a.chunk_id.cmp(&b.chunk_id))
        });
        // A generation that was first walked and then compared whole gives some twice.
        self.hits.dedup_by_key(|hit| hit.chunk_id);
        self.hits.truncate(self.limit as usize);
        self.hits
    }
}

/// The statement that a search by meaning comes down to.
pub(super) fn near_sql(table: &str, which: &str, by: &str, taken: u32) -> String {
    format!(
        "SELECT x.chunk_id, 1 - (x.exact <=> $1) AS similarity FROM
             (SELECT chunk_id, exact FROM {table} WHERE workspace_id = $2{which}
              ORDER BY {by} LIMIT {taken}) x"
    )
}
