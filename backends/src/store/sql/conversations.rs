//! Conversations and their messages.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{ConversationId, MessageId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Conversation, Message, Page, PageRequest};
use quaestor_core::ports::store::{Conversations, NewAuditEntry, NewConversation, StoreError};
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore};
use super::fault::{Fault, during};
use super::rows::message_columns;
use super::{audit, erase, rows};

pub(super) async fn find(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    principal: PrincipalId,
    conversation: ConversationId,
) -> Result<Option<Conversation>, Fault> {
    let found = sqlx::query(
        "SELECT id, title, collection_ids, created_at, updated_at FROM conversations
         WHERE workspace_id = $1 AND principal_id = $2 AND id = $3",
    )
    .bind(workspace.uuid())
    .bind(principal.uuid())
    .bind(conversation.uuid())
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(rows::conversation).transpose()
}

#[async_trait]
impl Conversations for DbStore {
    async fn create_conversation(
        &self,
        workspace: WorkspaceId,
        conversation: NewConversation,
    ) -> Result<Option<Conversation>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            for collection in conversation.collection_ids.iter().flatten() {
                let known =
                    sqlx::query("SELECT 1 FROM collections WHERE workspace_id = $1 AND id = $2")
                        .bind(workspace.uuid())
                        .bind(collection.uuid())
                        .fetch_optional(&mut *tx)
                        .await?;
                if known.is_none() {
                    return Ok(None);
                }
            }
            sqlx::query(
                "INSERT INTO conversations
                     (id, workspace_id, principal_id, title, collection_ids, created_at, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $6)",
            )
            .bind(conversation.id.uuid())
            .bind(workspace.uuid())
            .bind(conversation.principal_id.uuid())
            .bind(conversation.title.clone().map(dialect::text))
            .bind(conversation.collection_ids.as_ref().map(rows::to_json).transpose()?)
            .bind(rows::micros(conversation.created_at))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(Some(Conversation {
                id: conversation.id,
                title: conversation.title,
                collection_ids: conversation.collection_ids,
                created_at: conversation.created_at,
                updated_at: conversation.created_at,
            }))
        };
        work.await.map_err(during("begin a conversation"))
    }

    async fn list_conversations(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        page: PageRequest,
    ) -> Result<Page<Conversation>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(
                "SELECT id, title, collection_ids, created_at, updated_at FROM conversations
                 WHERE workspace_id = $1 AND principal_id = $2 AND id < $3
                 ORDER BY id DESC LIMIT $4",
            )
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::conversation).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |conversation| conversation.id.uuid()))
        };
        work.await.map_err(during("list the conversations"))
    }

    async fn conversation(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            find(&mut reader, workspace, principal, conversation).await
        };
        work.await.map_err(during("read a conversation"))
    }

    async fn delete_conversation(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if find(&mut tx, workspace, principal, conversation).await?.is_none() {
                return Ok(false);
            }
            let pending = sqlx::query(
                "SELECT id FROM messages
                 WHERE workspace_id = $1 AND conversation_id = $2 AND state = 'pending'",
            )
            .bind(workspace.uuid())
            .bind(conversation.uuid())
            .fetch_all(&mut *tx)
            .await?;
            for answer in pending {
                erase::cancel_jobs_of(&mut tx, workspace, answer.try_get("id")?, now).await?;
            }
            sqlx::query("DELETE FROM conversations WHERE workspace_id = $1 AND id = $2")
                .bind(workspace.uuid())
                .bind(conversation.uuid())
                .execute(&mut *tx)
                .await?;
            audit::record(&mut tx, workspace, &audit).await?;
            tx.commit().await?;
            Ok(true)
        };
        work.await.map_err(during("delete a conversation"))
    }

    async fn list_messages(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> Result<Option<Page<Message>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            if find(&mut reader, workspace, principal, conversation).await?.is_none() {
                return Ok(None);
            }
            let found = sqlx::query(concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages m
                  WHERE m.workspace_id = $1 AND m.conversation_id = $2 AND m.id > $3
                  ORDER BY m.id LIMIT $4"
            ))
            .bind(workspace.uuid())
            .bind(conversation.uuid())
            .bind(rows::after(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::message).collect::<Result<Vec<_>, Fault>>()?;
            Ok(Some(rows::paged(items, page, |message| message.id.uuid())))
        };
        work.await.map_err(during("list the messages"))
    }

    async fn message(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        message: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages m JOIN conversations c ON c.id = m.conversation_id
                  WHERE m.workspace_id = $1 AND m.id = $3 AND c.principal_id = $2"
            ))
            .bind(workspace.uuid())
            .bind(principal.uuid())
            .bind(message.uuid())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(rows::message).transpose()
        };
        work.await.map_err(during("read a message"))
    }
}
