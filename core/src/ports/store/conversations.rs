//! Conversations: private to the principal that began them.

use async_trait::async_trait;

use super::{NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{CollectionId, ConversationId, MessageId, PrincipalId, WorkspaceId};
use crate::model::{Conversation, Message, Page, PageRequest};

/// A conversation to be begun.
#[derive(Clone, Debug)]
pub struct NewConversation {
    /// Its id.
    pub id: ConversationId,
    /// Who begins it.
    pub principal_id: PrincipalId,
    /// Its title.
    pub title: Option<String>,
    /// The collections it asks; none means all.
    pub collection_ids: Option<Vec<CollectionId>>,
    /// When it is begun.
    pub created_at: Time,
}

/// Conversations and their messages.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// Begins a conversation. None where a collection is not the workspace's.
    async fn create_conversation(
        &self,
        workspace: WorkspaceId,
        conversation: NewConversation,
    ) -> Result<Option<Conversation>, StoreError>;

    /// The principal's conversations, newest first.
    async fn list_conversations(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        page: PageRequest,
    ) -> Result<Page<Conversation>, StoreError>;

    /// One conversation of the principal.
    async fn conversation(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
    ) -> Result<Option<Conversation>, StoreError>;

    /// Removes a conversation with its messages and cancels its jobs. False if there
    /// was none.
    async fn delete_conversation(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<bool, StoreError>;

    /// The messages of a conversation of the principal, oldest first.
    async fn list_messages(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        conversation: ConversationId,
        page: PageRequest,
    ) -> Result<Option<Page<Message>>, StoreError>;

    /// One message of the principal.
    async fn message(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        message: MessageId,
    ) -> Result<Option<Message>, StoreError>;
}
