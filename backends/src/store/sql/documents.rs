//! Documents: lists, their files, passages and pages, deletion.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, WorkspaceId};
use quaestor_core::model::{
    Document, DocumentStatus, Page, PageRequest, Passage, StoredObject, StoredPage,
};
use quaestor_core::ports::store::{
    AcceptUpload, AcceptedUpload, DocumentFilter, Documents, NewAuditEntry, StoreError,
};
use sqlx::{AssertSqlSafe, Row};

use super::connections::Commit;
use super::dialect::{DbConnection, DbRow, DbStore};
use super::fault::{Fault, during};
use super::readings::searched;
use super::rows::passage_columns;
use super::{audit, erase, rows, uploads};

/// So many keys of files are looked for in one statement.
const KEYS_AT_ONCE: usize = 100;

/// The columns of a document's newest version, from `documents d` and `versions v`.
macro_rules! document_columns {
    () => {
        "d.id, d.collection_id, d.filename, v.media_type, v.size_bytes, v.sha256, v.version, \
         v.status, coalesce(v.reread_error, v.error) AS error, v.pages, \
         coalesce((SELECT w.chunks FROM versions w \
             WHERE w.reading_of = v.version AND w.document_id = d.id AND w.key = \
                 CASE WHEN d.collection_id IN (SELECT o.collection_id FROM generations o \
                         WHERE o.state = 'current' AND o.cut % 2 = 1) \
                     THEN d.other_key ELSE d.current_key END), v.chunks) AS chunks, d.created_at"
    };
}
pub(super) use document_columns;

fn stored_page(row: &DbRow) -> Result<StoredPage, Fault> {
    Ok(StoredPage {
        ordinal: rows::number(row, "ordinal")?,
        number: rows::optional_number(row, "number")?,
        label: row.try_get("label")?,
        text: row.try_get("text")?,
        boxes: row.try_get("boxes")?,
        missing: row.try_get("missing")?,
    })
}

async fn exists(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
) -> Result<bool, Fault> {
    let found = sqlx::query("SELECT 1 FROM documents WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(document.uuid())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

#[async_trait]
impl Documents for DbStore {
    async fn accept_upload(
        &self,
        workspace: WorkspaceId,
        upload: AcceptUpload,
    ) -> Result<Option<AcceptedUpload>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let accepted = uploads::accept(&mut tx, workspace, &upload).await?;
            if accepted.is_some() {
                tx.commit().await?;
            }
            Ok(accepted)
        };
        work.await.map_err(during("accept an upload"))
    }

    async fn list_documents(
        &self,
        workspace: WorkspaceId,
        filter: DocumentFilter,
        page: PageRequest,
    ) -> Result<Page<Document>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                document_columns!(),
                " FROM documents d
                  JOIN versions v ON v.document_id = d.id AND v.version = d.newest_version
                  WHERE d.workspace_id = $1 AND d.id > $2
                    AND ($4 IS NULL OR d.collection_id = $4) AND ($5 IS NULL OR v.status = $5)
                  ORDER BY d.id LIMIT $3"
            ))
            .bind(workspace.uuid())
            .bind(rows::after(page))
            .bind(rows::surplus(page))
            .bind(filter.collection_id.map(CollectionId::uuid))
            .bind(filter.status.map(DocumentStatus::as_str))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::document).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |document| document.id.uuid()))
        };
        work.await.map_err(during("list the documents"))
    }

    async fn document(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
    ) -> Result<Option<Document>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                document_columns!(),
                " FROM documents d
                  JOIN versions v ON v.document_id = d.id AND v.version = d.newest_version
                  WHERE d.workspace_id = $1 AND d.id = $2"
            ))
            .bind(workspace.uuid())
            .bind(document.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(rows::document).transpose()
        };
        work.await.map_err(during("read a document"))
    }

    async fn document_object(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: Option<u32>,
    ) -> Result<Option<StoredObject>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT object_key, size_bytes, sha256, media_type, filename FROM versions
                 WHERE workspace_id = $1 AND document_id = $2
                   AND (version = $3 OR ($3 IS NULL AND reading_of IS NULL))
                 ORDER BY version DESC LIMIT 1",
            )
            .bind(workspace.uuid())
            .bind(document.uuid())
            .bind(version.map(i64::from))
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(rows::stored_object).transpose()
        };
        work.await.map_err(during("find a document's file"))
    }

    async fn known_objects(
        &self,
        workspace: WorkspaceId,
        keys: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let mut known = Vec::new();
            for some in keys.chunks(KEYS_AT_ONCE) {
                let places: Vec<String> =
                    (0..some.len()).map(|place| format!("${}", place + 2)).collect();
                let sql = format!(
                    "SELECT object_key FROM versions WHERE workspace_id = $1 AND object_key IN ({0})
                     UNION ALL SELECT object_key FROM exports
                     WHERE workspace_id = $1 AND object_key IN ({0})",
                    places.join(", ")
                );
                let query = sqlx::query(AssertSqlSafe(sql))
                    .persistent(some.len() == KEYS_AT_ONCE)
                    .bind(workspace.uuid());
                let query = some.iter().fold(query, |query, key| query.bind(key.clone()));
                for row in query.fetch_all(&mut *reader).await? {
                    known.push(row.try_get("object_key")?);
                }
            }
            Ok(known)
        };
        work.await.map_err(during("look for files"))
    }

    async fn document_chunks(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        from: u32,
        limit: u32,
    ) -> Result<Option<Vec<Passage>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            if !exists(&mut reader, workspace, document).await? {
                return Ok(None);
            }
            let found = sqlx::query(concat!(
                "SELECT ",
                passage_columns!(),
                " FROM ",
                searched!(),
                " d JOIN versions v ON v.key = d.version_key
                  JOIN chunks c ON c.version_key = v.key
                  LEFT JOIN pages p ON p.version_key = v.key AND p.ordinal = c.page_ordinal
                  WHERE d.workspace_id = $1 AND d.id = $2 AND c.ordinal >= $3
                  ORDER BY c.ordinal LIMIT $4"
            ))
            .bind(workspace.uuid())
            .bind(document.uuid())
            .bind(i64::from(from))
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(rows::passage).collect::<Result<Vec<_>, Fault>>().map(Some)
        };
        work.await.map_err(during("read a document's passages"))
    }

    async fn document_page(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        version: u32,
        page_ordinal: u32,
    ) -> Result<Option<StoredPage>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT p.ordinal, p.number, p.label, p.text, p.boxes, p.missing
                 FROM versions v JOIN pages p ON p.version_key = v.key
                 WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3
                   AND p.ordinal = $4",
            )
            .bind(workspace.uuid())
            .bind(document.uuid())
            .bind(i64::from(version))
            .bind(i64::from(page_ordinal))
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(stored_page).transpose()
        };
        work.await.map_err(during("read a page"))
    }

    async fn passage_page(
        &self,
        workspace: WorkspaceId,
        passage: ChunkId,
    ) -> Result<Option<StoredPage>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT p.ordinal, p.number, p.label, p.text, p.boxes, p.missing
                 FROM chunks c JOIN pages p
                     ON p.version_key = c.version_key AND p.ordinal = c.page_ordinal
                 WHERE c.workspace_id = $1 AND c.id = $2",
            )
            .bind(workspace.uuid())
            .bind(passage.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(stored_page).transpose()
        };
        work.await.map_err(during("read a passage's page"))
    }

    async fn delete_document(
        &self,
        workspace: WorkspaceId,
        document: DocumentId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if !exists(&mut tx, workspace, document).await? {
                return Ok(None);
            }
            let objects = erase::document(&mut tx, workspace, document, now).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(Some(objects))
        };
        work.await.map_err(during("delete a document"))
    }
}
