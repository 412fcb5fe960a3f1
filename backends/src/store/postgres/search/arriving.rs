//! Vectors that go to another store and come from one, bit for bit.

use pgvector::Vector;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::EmbeddedChunk;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::writing::{VectorColumns, vectors_table};
use crate::store::postgres::fault::Fault;

/// The column of the exact vectors.
pub(in crate::store::postgres) const EXACT: &str = "exact";

/// A vector as its column holds it.
pub(in crate::store::postgres) fn to_stored(vector: &[f32]) -> Vector {
    Vector::from(vector.to_vec())
}

/// The vector at a place of a row.
pub(in crate::store::postgres) fn from_stored(
    row: &PgRow,
    place: usize,
) -> Result<Vec<f32>, Fault> {
    Ok(row.try_get::<Vector, _>(place)?.into())
}

/// Stores vectors of chunks of any version. Returns how many of the chunks were there.
pub(in crate::store::postgres) async fn store_vectors(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    (generation_key, dimensions): (i64, u32),
    vectors: Vec<EmbeddedChunk>,
) -> Result<u64, Fault> {
    let columns = VectorColumns::of(vectors, i64::from(dimensions))?;
    let vectors = vectors_table(generation_key);
    let stored = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {vectors} (workspace_id, generation_key, version_key, chunk_key, chunk_id,
             text_hash, embedding, exact)
         SELECT $1, $2, c.version_key, c.key, c.id, n.text_hash, n.exact::halfvec, n.exact
         FROM unnest($3::uuid[], $4::bytea[], $5::vector[]) n (id, text_hash, exact) JOIN chunks c ON c.id = n.id
         WHERE c.workspace_id = $1"
    )))
    .bind(workspace.uuid())
    .bind(generation_key)
    .bind(columns.ids)
    .bind(columns.hashes)
    .bind(columns.exact)
    .execute(tx)
    .await?;
    Ok(stored.rows_affected())
}
