//! Collections.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, WorkspaceId};
use quaestor_core::model::{Collection, Page, PageRequest};
use quaestor_core::ports::store::{Collections, NewAuditEntry, NewCollection, StoreError};

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore};
use super::fault::{Fault, during, unique};
use super::{audit, erase, rows};

macro_rules! collection_columns {
    () => {
        "c.id, c.name, c.created_at,
         (SELECT g.model FROM generations g
          WHERE g.collection_id = c.id AND g.state = 'current') AS embedding_model,
         (SELECT count(*) FROM documents d WHERE d.collection_id = c.id) AS documents"
    };
}

async fn find(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    collection: CollectionId,
) -> Result<Option<Collection>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        collection_columns!(),
        " FROM collections c WHERE c.workspace_id = $1 AND c.id = $2"
    ))
    .bind(workspace.uuid())
    .bind(collection.uuid())
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(rows::collection).transpose()
}

#[async_trait]
impl Collections for DbStore {
    async fn create_collection(
        &self,
        workspace: WorkspaceId,
        collection: NewCollection,
        audit: NewAuditEntry,
    ) -> Result<Collection, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            sqlx::query(
                "INSERT INTO collections (id, workspace_id, name, created_at)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(collection.id.uuid())
            .bind(workspace.uuid())
            .bind(dialect::text(collection.name.clone()))
            .bind(rows::micros(collection.created_at))
            .execute(&mut *tx)
            .await
            .map_err(unique("a collection of this name"))?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(Collection {
                id: collection.id,
                name: collection.name,
                embedding_model: None,
                documents: 0,
                created_at: collection.created_at,
            })
        };
        work.await.map_err(during("create a collection"))
    }

    async fn list_collections(
        &self,
        workspace: WorkspaceId,
        page: PageRequest,
    ) -> Result<Page<Collection>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                collection_columns!(),
                " FROM collections c WHERE c.workspace_id = $1 AND c.id > $2
                  ORDER BY c.id LIMIT $3"
            ))
            .bind(workspace.uuid())
            .bind(rows::after(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::collection).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |collection| collection.id.uuid()))
        };
        work.await.map_err(during("list the collections"))
    }

    async fn collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<Option<Collection>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            find(&mut reader, workspace, collection).await
        };
        work.await.map_err(during("read a collection"))
    }

    async fn rename_collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        name: &str,
        audit: NewAuditEntry,
    ) -> Result<Option<Collection>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let changed =
                sqlx::query("UPDATE collections SET name = $3 WHERE workspace_id = $1 AND id = $2")
                    .bind(workspace.uuid())
                    .bind(collection.uuid())
                    .bind(dialect::text(name.to_owned()))
                    .execute(&mut *tx)
                    .await
                    .map_err(unique("a collection of this name"))?;
            if changed.rows_affected() == 0 {
                return Ok(None);
            }
            audit::record(&mut tx, workspace, &audit).await?;
            let renamed = find(&mut tx, workspace, collection).await?;
            tx.commit().await?;
            Ok(renamed)
        };
        work.await.map_err(during("rename a collection"))
    }

    async fn delete_collection(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if find(&mut tx, workspace, collection).await?.is_none() {
                return Ok(None);
            }
            let objects = erase::collection(&mut tx, workspace, collection, now).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(Some(objects))
        };
        work.await.map_err(during("delete a collection"))
    }
}
