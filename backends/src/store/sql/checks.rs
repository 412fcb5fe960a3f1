//! What the check of what is stored reads. Each version is one statement, so that what is
//! compared stood beside each other at one moment.

use async_trait::async_trait;
use quaestor_core::ids::{DocumentId, WorkspaceId};
use quaestor_core::jobs::NewJob;
use quaestor_core::ports::store::{
    CheckedExport, CheckedVectors, CheckedVersion, CheckedVersions, Checks, StoreError,
};
use sqlx::{AssertSqlSafe, Row};

use super::checking::{self, Counting};
use super::connections::Commit;
use super::dialect::{DbConnection, DbRow, DbStore, for_update};
use super::fault::{Fault, during};
use super::readings::searched;
use super::{rows, search, uploads};

#[async_trait]
impl Checks for DbStore {
    async fn check_versions(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        versions: u32,
        passages: u64,
    ) -> Result<CheckedVersions, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            // Of the readings beside, which share a version's file, the searched one alone: two
            // rows of one file at the most.
            let found = sqlx::query(concat!(
                "SELECT v.key, v.object_key, v.chunks, g.key AS generation_key
                 FROM versions v LEFT JOIN generations g
                     ON g.collection_id = v.collection_id AND g.state = 'current'
                 WHERE v.workspace_id = $1 AND v.object_key > $2
                   AND (v.reading_of IS NULL OR EXISTS (SELECT 1 FROM ",
                searched!(),
                " s WHERE s.id = v.document_id AND s.version_key = v.key))
                 ORDER BY v.object_key, v.key LIMIT $3"
            ))
            .bind(workspace.uuid())
            .bind(after.unwrap_or_default().to_owned())
            .bind(i64::from(versions) + 1)
            .fetch_all(&mut *reader)
            .await?;
            let counting = checking::counting(&mut reader, workspace).await?;
            let mut piece = CheckedVersions::default();
            let mut counted = 0;
            for (place, row) in found.iter().enumerate() {
                counted += rows::unsigned(row, "chunks")?;
                let object_key: String = row.try_get("object_key")?;
                let is_full = counted > passages || place >= versions as usize;
                if place > 0 && is_full && piece.next.as_ref() != Some(&object_key) {
                    break;
                }
                let key: i64 = row.try_get("key")?;
                let generation: Option<i64> = row.try_get("generation_key")?;
                piece.items.extend(one(&mut reader, workspace, key, generation, &counting).await?);
                piece.next = Some(object_key);
            }
            if found.is_empty() {
                piece.next = None;
            }
            Ok(piece)
        };
        work.await.map_err(during("check versions"))
    }

    async fn check_exports(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CheckedExport>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT id, object_key, size_bytes, sha256 FROM exports
                 WHERE workspace_id = $1 AND object_key IS NOT NULL AND object_key > $2
                 ORDER BY object_key LIMIT $3",
            )
            .bind(workspace.uuid())
            .bind(after.unwrap_or_default().to_owned())
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            let export = |row: &DbRow| {
                Ok(CheckedExport {
                    export_id: rows::id(row, "id")?,
                    object_key: row.try_get("object_key")?,
                    size_bytes: rows::unsigned(row, "size_bytes")?,
                    sha256: row.try_get("sha256")?,
                })
            };
            found.iter().map(export).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("check exports"))
    }

    async fn embed_again(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        job: NewJob,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let found = sqlx::query(concat!(
                "SELECT 1 FROM documents d WHERE d.workspace_id = $1 AND d.id = $2
                   AND EXISTS (SELECT 1 FROM ",
                searched!(),
                " s JOIN versions v ON v.key = s.version_key
                               WHERE s.id = d.id AND v.version = $3 AND v.status = 'ready')
                   AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.subject_id = d.id
                                   AND j.workspace_id = $1
                                   AND j.state IN ('queued', 'running', 'waiting'))",
                for_update!()
            ))
            .bind(workspace.uuid())
            .bind(document.uuid())
            .bind(i64::from(version))
            .fetch_optional(&mut *tx)
            .await?;
            if found.is_none() {
                return Ok(false);
            }
            let payload = job.payload.clone();
            uploads::add_job(&mut tx, workspace, &job, &payload, document.uuid(), Some(version))
                .await?;
            tx.commit().await?;
            Ok(true)
        };
        work.await.map_err(during("have vectors made"))
    }
}

/// A version as it is; none where it has gone.
async fn one(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    key: i64,
    generation: Option<i64>,
    counting: &Counting,
) -> Result<Option<CheckedVersion>, Fault> {
    let Counting { indexed, other_length, searched } = counting;
    let (vectors, other_length, searched) = match generation {
        None => ("0".to_owned(), "0".to_owned(), "0"),
        Some(generation) => {
            let table = search::vectors_table(generation);
            let count = |which: &str| {
                format!(
                    "(SELECT count(*) FROM chunks c JOIN {table} x ON x.chunk_key = c.key
                      WHERE c.version_key = v.key AND x.generation_key = g.key{which})"
                )
            };
            let searched = if searched.is_empty() { "-1" } else { searched };
            (count(""), count(&format!(" AND {other_length}")), searched)
        }
    };
    let is_searched = concat!(
        "EXISTS (SELECT 1 FROM ",
        searched!(),
        " s WHERE s.id = v.document_id AND s.version_key = v.key)"
    );
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT v.document_id, v.version, v.collection_id, v.status, v.object_key, v.size_bytes,
             v.sha256, v.chunks, g.id AS generation_id, g.dimensions,
             CAST(CASE WHEN {is_searched} THEN 1 ELSE 0 END AS BIGINT) AS is_current,
             (SELECT count(*) FROM chunks c WHERE c.version_key = v.key) AS stored,
             CAST({indexed} AS BIGINT) AS indexed, CAST({vectors} AS BIGINT) AS vectors,
             CAST({other_length} AS BIGINT) AS other_length,
             CAST({searched} AS BIGINT) AS searched
         FROM versions v LEFT JOIN generations g ON g.key = $3 AND g.state = 'current'
         WHERE v.workspace_id = $1 AND v.key = $2"
    )))
    .bind(workspace.uuid())
    .bind(key)
    .bind(generation)
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(version).transpose()
}

fn version(row: &DbRow) -> Result<CheckedVersion, Fault> {
    let is_current: i64 = row.try_get("is_current")?;
    let has_generation: Option<uuid::Uuid> = row.try_get("generation_id")?;
    let vectors = match has_generation {
        None => None,
        Some(id) => {
            let vectors = rows::unsigned(row, "vectors")?;
            let searched: i64 = row.try_get("searched")?;
            Some(CheckedVectors {
                generation_id: id.into(),
                dimensions: rows::number(row, "dimensions")?,
                vectors,
                other_length: rows::unsigned(row, "other_length")?,
                // Where there is nothing beside the vectors, they are what is searched.
                searched: u64::try_from(searched).unwrap_or(vectors),
            })
        }
    };
    Ok(CheckedVersion {
        document_id: rows::id(row, "document_id")?,
        version: rows::number(row, "version")?,
        collection_id: rows::id(row, "collection_id")?,
        status: rows::named(row, "status")?,
        is_current: is_current == 1,
        object_key: row.try_get("object_key")?,
        size_bytes: rows::unsigned(row, "size_bytes")?,
        sha256: row.try_get("sha256")?,
        passages: rows::unsigned(row, "chunks")?,
        stored: rows::unsigned(row, "stored")?,
        indexed: rows::unsigned(row, "indexed")?,
        vectors,
    })
}
