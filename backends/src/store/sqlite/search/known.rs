//! Vectors that are there already of the same text and model.

use std::collections::HashMap;

use quaestor_core::ids::{GenerationId, WorkspaceId};
use quaestor_core::ports::store::TextHash;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::blocks::floats;
use crate::store::sqlite::fault::{Fault, corrupt};

/// So many generations of the model are looked through, the newest first.
const MOST_GENERATIONS: u32 = 32;

/// The vectors of these texts that the workspace has of the generation's model.
pub(in crate::store::sqlite) async fn known_vectors(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    texts: &[TextHash],
) -> Result<HashMap<TextHash, Vec<f32>>, Fault> {
    let wanted = serde_json::Value::from(texts.iter().map(|text| hex(*text)).collect::<Vec<_>>());
    // Crossed in this order, so that each hash is looked up in the index: left to itself, SQLite goes
    // through all vectors of a generation, and through the list for each of them.
    let found = sqlx::query(
        "WITH model AS (SELECT model, dimensions FROM generations
                        WHERE workspace_id = $1 AND id = $2),
              wanted AS (SELECT unhex(value) AS text_hash FROM json_each($3)),
              same AS (SELECT g.key FROM generations g JOIN model m
                           ON m.model = g.model AND m.dimensions = g.dimensions
                       WHERE g.workspace_id = $1 ORDER BY g.key DESC LIMIT $4)
         SELECT x.text_hash, x.vector FROM same s CROSS JOIN wanted w
             CROSS JOIN vectors x ON x.generation_key = s.key AND x.text_hash = w.text_hash
         UNION ALL
         SELECT k.text_hash, k.vector FROM model m CROSS JOIN wanted w
             CROSS JOIN kept_vectors k ON k.workspace_id = $1 AND k.text_hash = w.text_hash
                 AND k.model = m.model AND k.dimensions = m.dimensions",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .bind(wanted.to_string())
    .bind(MOST_GENERATIONS)
    .fetch_all(connection)
    .await?;
    let mut known = HashMap::new();
    for row in &found {
        let hash: &[u8] = row.try_get("text_hash")?;
        let hash = hash.try_into().map_err(|_| corrupt("vector", "its hash is not 16 bytes"))?;
        known.insert(TextHash(hash), floats(row.try_get("vector")?)?);
    }
    Ok(known)
}

fn hex(text: TextHash) -> String {
    text.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps the vectors of a version that goes, until the document's next version has its own.
pub(super) async fn keep(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO kept_vectors (workspace_id, document_id, model, dimensions, text_hash, vector)
         SELECT $1, v.document_id, g.model, g.dimensions, x.text_hash, x.vector
         FROM versions v JOIN chunks c ON c.version_key = v.key
         JOIN vectors x ON x.chunk_key = c.key JOIN generations g ON g.key = x.generation_key
         WHERE v.workspace_id = $1 AND v.key = $2 AND x.text_hash IS NOT NULL
             AND g.state IN ('current', 'building')",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(tx)
    .await?;
    Ok(())
}
