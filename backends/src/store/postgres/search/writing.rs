//! What search stores: chunks with their posting lists, and vectors.

use pgvector::Vector;
use quaestor_core::ids::{GenerationId, WorkspaceId};
use quaestor_core::ports::store::{EmbeddedChunk, NewChunk, StoreError};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::known;
use super::postings::Postings;
use crate::store::postgres::dialect::text;
use crate::store::postgres::fault::Fault;
use crate::store::postgres::readings::searched_under;

/// A workspace needs nothing of its own: all are in the same tables.
pub(in crate::store::postgres) async fn workspace_made(
    _tx: &mut PgConnection,
    _key: i64,
) -> Result<(), Fault> {
    Ok(())
}

/// Where a generation's vectors are. The partition by its own name: to plan a statement
/// over the parent means to look at the partitions of all collections, which takes 400 ms
/// where there are a thousand.
pub(in crate::store::postgres) fn vectors_table(generation_key: i64) -> String {
    format!("vectors_{generation_key}")
}

/// The columns of `chunks`, each as one array: a batch is one statement.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    ordinals: Vec<i64>,
    page_ordinals: Vec<i64>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    are_tables: Vec<bool>,
    tokens: Vec<i64>,
    cells: Vec<Option<String>>,
    sections: Vec<String>,
    headers: Vec<String>,
    texts: Vec<String>,
}

/// Stores chunks of a version with the terms they are found by.
pub(in crate::store::postgres) async fn save_chunks(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    mut chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    if chunks.is_empty() {
        return Ok(());
    }
    chunks.sort_unstable_by_key(|chunk| chunk.chunk.ordinal);
    let mut postings = Postings::default();
    for NewChunk { chunk, index_terms, .. } in &chunks {
        postings.add(chunk.ordinal, index_terms);
    }
    let stored = insert_chunks(tx, workspace, version_key, chunks).await?;
    let length = postings.length;
    save_postings(tx, workspace, version_key, postings).await?;
    sqlx::query(
        "UPDATE versions SET indexed_chunks = indexed_chunks + $3,
             indexed_terms = indexed_terms + $4
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(i64::try_from(stored).unwrap_or(i64::MAX))
    .bind(length)
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores chunks of a version that is not searched.
pub(in crate::store::postgres) async fn store_chunks(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    chunks: Vec<NewChunk>,
) -> Result<(), Fault> {
    insert_chunks(tx, workspace, version_key, chunks).await?;
    Ok(())
}

/// Returns how many rows.
async fn insert_chunks(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    chunks: Vec<NewChunk>,
) -> Result<u64, Fault> {
    let mut columns = Columns::default();
    for NewChunk { id, chunk, tokens, .. } in chunks {
        columns.ids.push(id.uuid());
        columns.ordinals.push(chunk.ordinal.into());
        columns.page_ordinals.push(chunk.page_ordinal.into());
        columns.starts.push(chunk.char_start.into());
        columns.ends.push(chunk.char_end.into());
        columns.are_tables.push(chunk.is_table);
        columns.tokens.push(tokens.into());
        columns.cells.push(chunk.cells.map(text));
        columns.sections.push(text(chunk.section));
        columns.headers.push(text(chunk.header));
        columns.texts.push(text(chunk.text));
    }
    let stored = sqlx::query(
        "INSERT INTO chunks (workspace_id, version_key, id, ordinal, page_ordinal, char_start,
             char_end, is_table, tokens, cells, section, header, text)
         SELECT $1, $2, n.* FROM unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[],
             $7::bigint[], $8::boolean[], $9::bigint[], $10::text[], $11::text[], $12::text[],
             $13::text[]) n",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(columns.ids)
    .bind(columns.ordinals)
    .bind(columns.page_ordinals)
    .bind(columns.starts)
    .bind(columns.ends)
    .bind(columns.are_tables)
    .bind(columns.tokens)
    .bind(columns.cells)
    .bind(columns.sections)
    .bind(columns.headers)
    .bind(columns.texts)
    .execute(tx)
    .await?;
    Ok(stored.rows_affected())
}

async fn save_postings(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    postings: Postings,
) -> Result<(), Fault> {
    let (mut terms, mut counts, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for (term, list) in postings.into_rows() {
        terms.push(term);
        counts.push(list.chunks);
        lists.push(list.bytes);
    }
    sqlx::query(
        "INSERT INTO chunk_terms (workspace_id, version_key, term, chunks, postings)
         SELECT $1, $2, n.* FROM unnest($3::text[], $4::integer[], $5::bytea[]) n",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(terms)
    .bind(counts)
    .bind(lists)
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes a version out of full text and vectors. Its passages stay, for the answers
/// that cite them.
pub(in crate::store::postgres) async fn forget_version(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    known::keep(tx, workspace, version_key).await?;
    take_out(tx, workspace, version_key).await
}

/// The same, where nobody needs its vectors any more.
pub(in crate::store::postgres) async fn take_out(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
) -> Result<(), Fault> {
    sqlx::query(
        "SELECT forget_searched(key, collection_id) FROM versions
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE versions SET indexed_chunks = 0, indexed_terms = 0
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a version's vectors from one generation.
pub(in crate::store::postgres) async fn forget_vectors(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    version_key: i64,
    generation_key: i64,
) -> Result<(), Fault> {
    let vectors = vectors_table(generation_key);
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM {vectors} WHERE workspace_id = $1 AND version_key = $2"
    )))
    .bind(workspace.uuid())
    .bind(version_key)
    .execute(tx)
    .await?;
    Ok(())
}

/// A trigger on `versions` removes what is searched of one that goes.
pub(in crate::store::postgres) async fn version_goes(
    _tx: &mut PgConnection,
    _workspace: WorkspaceId,
    _version_key: i64,
) -> Result<(), Fault> {
    Ok(())
}

/// Vectors as columns, each of the dimensions that its generation has.
#[derive(Default)]
pub(super) struct VectorColumns {
    pub(super) ids: Vec<Uuid>,
    pub(super) hashes: Vec<Option<Vec<u8>>>,
    pub(super) exact: Vec<Vector>,
}

impl VectorColumns {
    pub(super) fn of(vectors: Vec<EmbeddedChunk>, dimensions: i64) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for EmbeddedChunk { chunk_id, text, vector } in vectors {
            if i64::try_from(vector.len()) != Ok(dimensions) {
                return Err(Fault::Store(StoreError::Failed {
                    action: "store vectors",
                    source: format!(
                        "a vector has {} dimensions where its generation has {dimensions}",
                        vector.len()
                    )
                    .into(),
                }));
            }
            columns.ids.push(chunk_id.uuid());
            columns.hashes.push(text.map(|text| text.0.to_vec()));
            columns.exact.push(Vector::from(vector));
        }
        Ok(columns)
    }
}

/// Stores vectors of passages that are searched, in a generation of their collection.
pub(in crate::store::postgres) async fn save_vectors(
    tx: &mut PgConnection,
    workspace: WorkspaceId,
    generation: GenerationId,
    vectors: Vec<EmbeddedChunk>,
) -> Result<(), Fault> {
    let found = sqlx::query(
        "SELECT key, collection_id, dimensions FROM generations
         WHERE workspace_id = $1 AND id = $2 AND state <> 'dropped'",
    )
    .bind(workspace.uuid())
    .bind(generation.uuid())
    .fetch_optional(&mut *tx)
    .await?;
    // Nobody would search the vectors of a generation that is gone.
    let Some(row) = found else { return Ok(()) };
    let generation_key: i64 = row.try_get("key")?;
    let columns = VectorColumns::of(vectors, row.try_get("dimensions")?)?;
    // Nor those of a version that a later one has replaced: none does until this is written.
    sqlx::query(
        "SELECT 1 FROM documents d WHERE d.workspace_id = $1 AND d.id IN
             (SELECT v.document_id FROM chunks c JOIN versions v ON v.key = c.version_key
              WHERE c.workspace_id = $1 AND c.id = ANY($2))
         ORDER BY d.id FOR SHARE OF d",
    )
    .bind(workspace.uuid())
    .bind(&columns.ids)
    .execute(&mut *tx)
    .await?;
    let vectors = vectors_table(generation_key);
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {vectors} (workspace_id, generation_key, version_key,
             chunk_key, chunk_id, text_hash, embedding, exact)
         SELECT $1, $2, c.version_key, c.key, c.id, n.text_hash, n.exact::halfvec, n.exact
         FROM unnest($3::uuid[], $4::bytea[], $5::vector[]) n (id, text_hash, exact)
         JOIN chunks c ON c.id = n.id
         JOIN versions v ON v.key = c.version_key
         JOIN documents d ON d.id = v.document_id
         JOIN generations g ON g.key = $2
         WHERE c.workspace_id = $1 AND d.collection_id = $6 AND (v.staged OR v.key = {searched})
         ON CONFLICT (chunk_key, generation_key) DO NOTHING",
        searched = searched_under!()
    )))
    .bind(workspace.uuid())
    .bind(generation_key)
    .bind(columns.ids)
    .bind(columns.hashes)
    .bind(columns.exact)
    .bind(row.try_get::<Uuid, _>("collection_id")?)
    .execute(tx)
    .await?;
    Ok(())
}
