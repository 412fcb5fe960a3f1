//! Vectors that are there already of the same text and model.

use std::collections::HashMap;

use pgvector::Vector;
use quaestor_core::ids::{GenerationId, WorkspaceId};
use quaestor_core::ports::store::TextHash;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::writing::vectors_table;
use crate::store::postgres::fault::{Fault, corrupt};

/// So many generations of the model are looked through, the newest first: each is a table of
/// its own.
const MOST_GENERATIONS: i64 = 32;

/// The vectors of these texts that the workspace has of the generation's model.
pub(in crate::store::postgres) async fn known_vectors(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    texts: &[TextHash],
) -> Result<HashMap<TextHash, Vec<f32>>, Fault> {
    let wanted: Vec<Vec<u8>> = texts.iter().map(|text| text.0.to_vec()).collect();
    let same = sqlx::query(
        "SELECT g.key FROM generations m JOIN generations g
             ON g.model = m.model AND g.dimensions = m.dimensions AND g.workspace_id = $1
         WHERE m.workspace_id = $1 AND m.id = $2 ORDER BY g.key DESC LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .bind(MOST_GENERATIONS)
    .fetch_all(&mut *connection)
    .await?;
    if same.is_empty() {
        return Ok(HashMap::new());
    }
    let mut parts = Vec::with_capacity(same.len());
    for row in &same {
        let vectors = vectors_table(row.try_get("key")?);
        parts.push(format!("SELECT text_hash, exact FROM {vectors} WHERE text_hash = ANY($3)"));
    }
    let found = sqlx::query(AssertSqlSafe(format!(
        "{parts} UNION ALL
         SELECT k.text_hash, k.vector FROM kept_vectors k JOIN generations m
             ON m.model = k.model AND m.dimensions = k.dimensions
         WHERE m.workspace_id = $1 AND m.id = $2 AND k.workspace_id = $1
             AND k.text_hash = ANY($3)",
        parts = parts.join(" UNION ALL ")
    )))
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .bind(wanted)
    .fetch_all(connection)
    .await?;
    found.iter().map(known).collect()
}

fn known(row: &PgRow) -> Result<(TextHash, Vec<f32>), Fault> {
    let hash: &[u8] = row.try_get(0)?;
    let hash = hash.try_into().map_err(|_| corrupt("vector", "its hash is not 16 bytes"))?;
    Ok((TextHash(hash), row.try_get::<Vector, _>(1)?.into()))
}

/// Keeps the vectors of a version that goes, until the document's next version has its own.
pub(super) async fn keep(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    let live = sqlx::query(
        "SELECT g.key FROM versions v JOIN generations g ON g.collection_id = v.collection_id
         WHERE v.workspace_id = $1 AND v.key = $2 AND g.state IN ('current', 'building')",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .fetch_all(&mut *tx)
    .await?;
    for row in live {
        let key: i64 = row.try_get("key")?;
        let vectors = vectors_table(key);
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO kept_vectors
                 (workspace_id, document_id, model, dimensions, text_hash, vector)
             SELECT $1, v.document_id, g.model, g.dimensions, x.text_hash, x.exact
             FROM {vectors} x JOIN versions v ON v.key = x.version_key
             JOIN generations g ON g.key = $3
             WHERE v.workspace_id = $1 AND v.key = $2 AND x.text_hash IS NOT NULL"
        )))
        .bind(workspace.uuid())
        .bind(version_key)
        .bind(key)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
