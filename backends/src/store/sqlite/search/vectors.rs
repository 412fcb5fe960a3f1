//! Search by meaning: a scan over bits, then exact similarity for the best of it.
//!
//! A scan over exact vectors of 384 dimensions would read 154 MB for 100,000 chunks. One
//! bit per dimension is 5 MB. How many signs differ tells roughly how far two vectors
//! are apart; some hundred of the nearest are then compared exactly by sqlite-vec.
//!
//! The bits stand in plain blocks and not in a `vec0` table of sqlite-vec 0.1.9, for two
//! reasons. Its search looks through all distances once for every result wanted, which
//! is 40 million steps for 400 candidates of 100,000. And its tables have one fixed
//! dimension, where each generation here has its own.
//!
//! The scope chooses blocks before the scan, so a narrow scope still gives as many
//! results as were asked for, and one of at most [`MIN_CANDIDATES`] is searched exactly.

use futures::TryStreamExt;
use quaestor_core::ids::GenerationId;
use quaestor_core::ports::store::VectorHit;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::blocks::{KEY_BYTES, floats_to_bytes, signs};
use super::scope::{FIRST_FREE, Scope, hex_list};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows;

/// At least this many candidates of the scan are compared exactly.
const MIN_CANDIDATES: usize = 400;
/// For each result wanted, this many candidates are compared exactly.
const CANDIDATES_PER_RESULT: usize = 8;

/// The nearest chunks of the scope.
pub(super) async fn search(
    connection: &mut SqliteConnection,
    scope: &Scope,
    generations: &[GenerationId],
    vector: &[f32],
    limit: u32,
) -> Result<Vec<VectorHit>, Fault> {
    let wanted = (limit as usize * CANDIDATES_PER_RESULT).max(MIN_CANDIDATES);
    let candidates = nearest_by_sign(connection, scope, generations, vector, wanted).await?;
    if candidates.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let found = sqlx::query(
        "SELECT c.id, vec_distance_cosine(x.vector, $3) AS distance
         FROM json_each($2) wanted
         JOIN vectors x ON x.key = wanted.value
         JOIN chunks c ON c.key = x.chunk_key
         WHERE x.workspace_id = $1
         ORDER BY distance LIMIT $4",
    )
    .bind(scope.workspace.uuid())
    .bind(serde_json::Value::from(candidates).to_string())
    .bind(floats_to_bytes(vector))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| {
            #[expect(clippy::cast_possible_truncation, reason = "computed in 32 bits")]
            let similarity = (1.0 - row.try_get::<f64, _>("distance")?) as f32;
            Ok(VectorHit { chunk_id: rows::id(row, "id")?, similarity })
        })
        .collect()
}

/// The keys of the vectors whose signs differ least from the asked one's.
async fn nearest_by_sign(
    connection: &mut SqliteConnection,
    scope: &Scope,
    generations: &[GenerationId],
    vector: &[f32],
    wanted: usize,
) -> Result<Vec<i64>, Fault> {
    let asked = signs(vector);
    let words: Vec<u64> = asked.chunks_exact(8).map(word).collect();
    let entry_bytes = KEY_BYTES + asked.len();
    let sql = format!(
        "SELECT b.entries FROM generations g JOIN vector_blocks b ON b.generation_key = g.key
         WHERE g.workspace_id = $1 AND g.dimensions = {dimensions}
           AND g.id IN (SELECT unhex(value) FROM json_each(${FIRST_FREE}))
           AND b.version_key IN ({versions})",
        dimensions = vector.len(),
        versions = scope.versions_sql(),
    );
    let mut distances: Vec<(u32, i64)> = Vec::new();
    {
        let mut blocks = scope
            .bind(sqlx::query(AssertSqlSafe(sql)))
            .bind(hex_list(generations.iter().map(|generation| generation.uuid())))
            .fetch(connection);
        while let Some(row) = blocks.try_next().await? {
            let entries: &[u8] = row.try_get("entries")?;
            distances.extend(entries.chunks_exact(entry_bytes).map(|entry| {
                let (key, bits) = entry.split_at(KEY_BYTES);
                let differing = bits
                    .chunks_exact(8)
                    .zip(&words)
                    .map(|(bits, asked)| (word(bits) ^ asked).count_ones())
                    .sum();
                (differing, word(key).cast_signed())
            }));
        }
    }
    if distances.len() > wanted {
        distances.select_nth_unstable(wanted - 1);
        distances.truncate(wanted);
    }
    Ok(distances.into_iter().map(|(_, key)| key).collect())
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
