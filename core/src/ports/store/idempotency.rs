//! Idempotency keys: the same request twice is one effect and the same answer.

use async_trait::async_trait;
use serde_json::Value;

use super::StoreError;
use crate::clock::Time;
use crate::ids::{PrincipalId, WorkspaceId};

/// A client's key, to be kept in the transaction of the effect. Keys of different
/// principals never meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who sent it.
    pub principal_id: PrincipalId,
    /// As the client sent it, at most 255 bytes.
    pub key: String,
    /// SHA-256 over route and body.
    pub request_sha256: [u8; 32],
    /// When it came.
    pub created_at: Time,
}

/// The answer that a key was given the first time.
#[derive(Clone, Debug, PartialEq)]
pub struct RememberedResponse {
    /// SHA-256 over route and body of the first request.
    pub request_sha256: [u8; 32],
    /// The body of the answer.
    pub response: Value,
}

/// Idempotency keys. They are written by the `accept_…` methods; a second acceptance
/// under a key that is taken is a `Conflict` and has no effect.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// What was answered under this key.
    async fn remembered(
        &self,
        workspace: WorkspaceId,
        principal: PrincipalId,
        key: &str,
    ) -> Result<Option<RememberedResponse>, StoreError>;
}
