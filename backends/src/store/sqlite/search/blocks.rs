//! Vectors as they are stored: exact, and as one bit per dimension packed into blocks.
//!
//! A block holds vectors of one version in one generation, so that a scope is met by
//! choosing blocks, and a version goes by deleting its own.

use quaestor_core::ids::{GenerationId, WorkspaceId};
use quaestor_core::ports::store::{EmbeddedChunk, StoreError};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::store::sqlite::fault::{Fault, corrupt};
use crate::store::sqlite::readings::searched_under;
use crate::store::sqlite::rows;

/// A block that has reached this size is left alone, and a new one begun: every batch
/// writes its last block anew.
const FULL_BLOCK_BYTES: usize = 32 * 1024;

/// The bytes of an entry's key.
pub(super) const KEY_BYTES: usize = 8;

/// Stores vectors of passages that are searched, in a generation of their collection.
pub(in crate::store::sqlite) async fn save(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    vectors: Vec<EmbeddedChunk>,
) -> Result<(), Fault> {
    let found = sqlx::query(
        "SELECT key, dimensions FROM generations
         WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    // Nobody would search the vectors of a generation that is gone.
    let Some(row) = found else { return Ok(()) };
    let generation_key: i64 = row.try_get("key")?;
    let dimensions = rows::number(&row, "dimensions")?;
    let mut blocks = Blocks { workspace, generation_key, version_key: 0, entries: Vec::new() };
    for EmbeddedChunk { chunk_id, text, vector } in vectors {
        right_length(&vector, dimensions)?;
        // Nor those of a version that a later one has replaced.
        let stored = sqlx::query(concat!(
            "INSERT INTO vectors (workspace_id, generation_key, chunk_key, text_hash, vector)
             SELECT $1, $2, c.key, $4, $5 FROM chunks c
             JOIN versions v ON v.key = c.version_key
             JOIN documents d ON d.id = v.document_id
             JOIN generations g ON g.key = $2 AND g.collection_id = d.collection_id
             WHERE c.workspace_id = $1 AND c.id = $3 AND (v.staged OR v.key = ",
            searched_under!(),
            ")
             ON CONFLICT (chunk_key, generation_key) DO NOTHING
             RETURNING key, (SELECT version_key FROM chunks c WHERE c.key = chunk_key) AS version_key"
        ))
        .bind(workspace.uuid())
        .bind(generation_key)
        .bind(chunk_id.uuid())
        .bind(text.map(|text| text.0.to_vec()))
        .bind(floats_to_bytes(&vector))
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(stored) = stored {
            let version_key = stored.try_get("version_key")?;
            blocks.add(tx, version_key, stored.try_get("key")?, &vector).await?;
        }
    }
    blocks.end(tx).await
}

/// Vectors on their way into blocks. Chunks come version by version, and a block is of one.
struct Blocks {
    workspace: WorkspaceId,
    generation_key: i64,
    version_key: i64,
    entries: Vec<u8>,
}

impl Blocks {
    async fn add(
        &mut self,
        tx: &mut SqliteConnection,
        version_key: i64,
        key: i64,
        vector: &[f32],
    ) -> Result<(), Fault> {
        if version_key != self.version_key {
            self.end(tx).await?;
            self.version_key = version_key;
        }
        self.entries.extend_from_slice(&key.to_le_bytes());
        self.entries.extend_from_slice(&signs(vector));
        Ok(())
    }

    async fn end(&mut self, tx: &mut SqliteConnection) -> Result<(), Fault> {
        let entries = std::mem::take(&mut self.entries);
        append(tx, self.workspace, self.generation_key, self.version_key, &entries).await
    }
}

fn right_length(vector: &[f32], dimensions: u32) -> Result<(), Fault> {
    if vector.len() == dimensions as usize {
        return Ok(());
    }
    Err(Fault::Store(StoreError::Failed {
        action: "store vectors",
        source: format!(
            "a vector has {} dimensions where its generation has {dimensions}",
            vector.len()
        )
        .into(),
    }))
}

/// Stores vectors of chunks of any version. Returns how many of the chunks were there.
pub(in crate::store::sqlite) async fn store(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    (generation_key, dimensions): (i64, u32),
    vectors: Vec<EmbeddedChunk>,
) -> Result<u64, Fault> {
    let mut blocks = Blocks { workspace, generation_key, version_key: 0, entries: Vec::new() };
    let mut stored = 0;
    for EmbeddedChunk { chunk_id, text, vector } in vectors {
        right_length(&vector, dimensions)?;
        let of =
            sqlx::query("SELECT key, version_key FROM chunks WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(chunk_id.uuid())
                .fetch_optional(&mut *tx)
                .await?;
        let Some(of) = of else { continue };
        let made = sqlx::query(
            "INSERT INTO vectors (workspace_id, generation_key, chunk_key, text_hash, vector)
             VALUES ($1, $2, $3, $4, $5) RETURNING key",
        )
        .bind(workspace.uuid())
        .bind(generation_key)
        .bind(of.try_get::<i64, _>("key")?)
        .bind(text.map(|text| text.0.to_vec()))
        .bind(floats_to_bytes(&vector))
        .fetch_one(&mut *tx)
        .await?;
        blocks.add(tx, of.try_get("version_key")?, made.try_get("key")?, &vector).await?;
        stored += 1;
    }
    blocks.end(tx).await?;
    Ok(stored)
}

/// The column of the exact vectors.
pub(in crate::store::sqlite) const EXACT: &str = "vector";

/// A vector as its column holds it.
pub(in crate::store::sqlite) fn to_stored(vector: &[f32]) -> Vec<u8> {
    floats_to_bytes(vector)
}

/// The vector at a place of a row.
pub(in crate::store::sqlite) fn from_stored(
    row: &SqliteRow,
    place: usize,
) -> Result<Vec<f32>, Fault> {
    floats(row.try_get(place)?)
}

/// A vector from its bytes.
pub(super) fn floats(bytes: &[u8]) -> Result<Vec<f32>, Fault> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(corrupt("vector", format!("it has {} bytes", bytes.len())));
    }
    Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

async fn append(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    generation_key: i64,
    version_key: i64,
    entries: &[u8],
) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    let last = sqlx::query(
        "SELECT key, entries FROM vector_blocks
         WHERE workspace_id = $1 AND generation_key = $2 AND version_key = $3
         ORDER BY key DESC LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(generation_key)
    .bind(version_key)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = last {
        let mut block: Vec<u8> = row.try_get("entries")?;
        if block.len() < FULL_BLOCK_BYTES {
            block.extend_from_slice(entries);
            sqlx::query(
                "UPDATE vector_blocks SET entries = $3 WHERE workspace_id = $1 AND key = $2",
            )
            .bind(workspace.uuid())
            .bind(row.try_get::<i64, _>("key")?)
            .bind(block)
            .execute(tx)
            .await?;
            return Ok(());
        }
    }
    sqlx::query(
        "INSERT INTO vector_blocks (workspace_id, generation_key, version_key, entries)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(workspace.uuid())
    .bind(generation_key)
    .bind(version_key)
    .bind(entries.to_vec())
    .execute(tx)
    .await?;
    Ok(())
}

/// The vector as sqlite-vec reads it: little-endian 32-bit floats.
pub(super) fn floats_to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// One bit per dimension, set where the value is positive, in whole 8-byte words.
pub(super) fn signs(vector: &[f32]) -> Vec<u8> {
    vector
        .chunks(64)
        .flat_map(|word| {
            word.iter()
                .enumerate()
                .fold(0_u64, |bits, (place, value)| bits | (u64::from(*value > 0.0) << place))
                .to_le_bytes()
        })
        .collect()
}
