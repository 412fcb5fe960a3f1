//! Indexes of vectors: built when a generation has grown large, after its loading and
//! beside its searches, and taken down with it.
//!
//! To insert into an HNSW index costs about as much as a search, and to build one for
//! rows that are there is several times quicker. So a generation begins without, and is
//! searched whole as long as that takes a few milliseconds.

use quaestor_core::ports::store::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::store::postgres::PgStore;
use crate::store::postgres::fault::{Fault, during};
use crate::store::postgres::rows;

/// A generation of more vectors gets an index.
const INDEXED_FROM: i64 = 10_000;
/// pgvector indexes half-precision vectors up to this length; longer ones are compared
/// one by one.
const MOST_DIMENSIONS: i64 = 4_000;
/// Memory of the build for each vector beside the vector itself: its place in the graph.
const GRAPH_BYTES: i64 = 1_000;
/// How many candidates the build weighs for each vector it adds. With pgvector's own 64,
/// no search of a million vectors finds 95 of the 100 nearest however far it looks
/// (BENCHMARKS.md).
const BUILD_CANDIDATES: u32 = 128;
/// A build takes no more memory than this. With less than the graph needs it still ends,
/// but several times later.
const MOST_BUILD_BYTES: i64 = 4 << 30;
/// So many emptied partitions are dropped at once.
const DROPPED_AT_ONCE: i32 = 50;

/// What processes that tend the vectors at once take turns by.
const TURN: i64 = 0x7175_6165_7665_6374;

struct Due {
    generation_key: i64,
    dimensions: i64,
    /// About how many vectors there are.
    vectors: i64,
}

impl PgStore {
    /// Builds the index of generations that have grown large without one, and drops the
    /// partitions of those that are gone. Searches and writes go on meanwhile. It may
    /// take minutes, so it is called from where nothing waits for it: after a sweep. Of
    /// several at once, one works and the others return 0. Returns how many it built.
    ///
    /// # Errors
    /// `Unavailable` where the server is away; `Failed` where the user in the database URL
    /// does not own the tables. Search works without the index, only slower.
    pub async fn tend_vectors(&self) -> Result<u32, StoreError> {
        let work = async {
            let mut connection = self.connections.as_login().await?;
            let built = tend(&mut connection).await;
            // Closing it gives the turn back.
            let closed = connection.close().await;
            let built = built?;
            closed?;
            Ok(built)
        };
        work.await.map_err(during("build the indexes of vectors"))
    }
}

async fn tend(connection: &mut PgConnection) -> Result<u32, Fault> {
    // A build may take as long as it needs, unless whoever has asked for it is gone.
    sqlx::raw_sql(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
         SET client_connection_check_interval = '5s'; SET quaestor.installation = 'on'",
    )
    .execute(&mut *connection)
    .await?;
    let turn = sqlx::query("SELECT pg_try_advisory_lock($1) AS mine")
        .bind(TURN)
        .fetch_one(&mut *connection)
        .await?;
    if !turn.try_get::<bool, _>("mine")? {
        return Ok(0);
    }
    // Generations are seen by workspace, and these are of all of them.
    sqlx::query(
        "SELECT set_config('quaestor.workspaces',
             (SELECT coalesce(array_agg(id), '{}')::text FROM workspaces), false)",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM generations WHERE state = 'dropped' AND cut < 0")
        .execute(&mut *connection)
        .await?;
    drop_partitions(connection).await?;
    let mut built = 0;
    for due in due(connection).await? {
        build(connection, &due).await?;
        built += 1;
    }
    Ok(built)
}

/// Whether a generation is large and has no index yet.
pub(in crate::store::postgres) async fn index_missing(
    connection: &mut PgConnection,
    generation_key: i64,
) -> Result<bool, Fault> {
    let found = sqlx::query(
        "SELECT 1 FROM generations g
         WHERE g.key = $1 AND g.vector_index <> 'ready' AND g.dimensions <= $3
           AND pg_relation_size(to_regclass('vectors_' || g.key)) / (2 * g.dimensions + 130) >= $2",
    )
    .bind(generation_key)
    .bind(INDEXED_FROM)
    .bind(MOST_DIMENSIONS)
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

async fn drop_partitions(connection: &mut PgConnection) -> Result<(), Fault> {
    let mut tx = connection.begin().await?;
    // Whoever waits for this lock holds up those behind: better to try again later.
    sqlx::query("SET LOCAL lock_timeout = '200ms'").execute(&mut *tx).await?;
    let dropped =
        sqlx::query("SELECT drop_vector_partitions($1)").bind(DROPPED_AT_ONCE).execute(&mut *tx);
    match dropped.await {
        Ok(_) => Ok(tx.commit().await?),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            tracing::debug!(%error, "emptied partitions are dropped another time");
            Ok(tx.rollback().await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The generations that are to get an index, by the size of their partition.
async fn due(connection: &mut PgConnection) -> Result<Vec<Due>, Fault> {
    let found = sqlx::query(
        "SELECT * FROM (
             SELECT g.key, g.dimensions,
                 pg_relation_size(to_regclass('vectors_' || g.key)) / (2 * g.dimensions + 130)
                     AS vectors
             FROM generations g
             WHERE g.vector_index <> 'ready' AND g.dimensions <= $2
               AND (g.state IN ('current', 'former') OR g.filled_at IS NOT NULL)) large
         WHERE vectors >= $1 ORDER BY key",
    )
    .bind(INDEXED_FROM)
    .bind(MOST_DIMENSIONS)
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| {
            Ok(Due {
                generation_key: row.try_get("key")?,
                dimensions: row.try_get("dimensions")?,
                vectors: rows::signed(rows::unsigned(row, "vectors")?),
            })
        })
        .collect()
}

async fn build(connection: &mut PgConnection, due: &Due) -> Result<(), Fault> {
    let Due { generation_key: key, dimensions, vectors } = due;
    tracing::info!(generation = key, vectors, "building the index of a generation's vectors");
    mark(connection, *key, "building").await?;
    let memory = (vectors * (2 * dimensions + GRAPH_BYTES)).clamp(64 << 20, MOST_BUILD_BYTES);
    // What a build that was broken off has left is no use. None of this may stand in a
    // transaction, so each is a statement of its own.
    for sql in [
        format!("SET maintenance_work_mem = '{}kB'", memory / 1024),
        format!("DROP INDEX CONCURRENTLY IF EXISTS vectors_{key}_near"),
        format!(
            "CREATE INDEX CONCURRENTLY vectors_{key}_near ON vectors_{key}
             USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
             WITH (ef_construction = {BUILD_CANDIDATES})"
        ),
        format!("ANALYZE vectors_{key}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    mark(connection, *key, "ready").await
}

async fn mark(connection: &mut PgConnection, key: i64, state: &str) -> Result<(), Fault> {
    sqlx::query("UPDATE generations SET vector_index = $2 WHERE key = $1")
        .bind(key)
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}
