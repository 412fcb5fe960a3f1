//! The same request twice is one effect and the same answer.

use quaestor_core::model::Caller;
use quaestor_core::ports::store::IdempotencyKey;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::problem::{ApiError, Code};

/// The answer to an acceptance, and whether it was given before.
#[derive(Debug)]
pub(crate) struct Accepted<T> {
    pub(crate) answer: T,
    pub(crate) replayed: bool,
}

/// The key of a request: what it asks for is hashed, so that another request under the
/// same key is told apart. The parts are framed by their lengths.
pub(crate) fn remember(app: &App, caller: &Caller, key: String, parts: &[&[u8]]) -> IdempotencyKey {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    IdempotencyKey {
        principal_id: caller.principal_id,
        key,
        request_sha256: hash.finalize().into(),
        created_at: app.front.clock.now(),
    }
}

/// What was answered under the key, if anything was; an error where it was another
/// request.
pub(crate) async fn replay<T: DeserializeOwned>(
    app: &App,
    caller: &Caller,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Accepted<T>>, ApiError> {
    let Some(key) = key else {
        return Ok(None);
    };
    let known =
        app.front.store.remembered(caller.workspace_id, caller.principal_id, &key.key).await?;
    let Some(known) = known else {
        return Ok(None);
    };
    if known.request_sha256 != key.request_sha256 {
        return Err(ApiError::field(
            Code::IdempotencyKeyReused,
            "Idempotency-Key",
            "the key was sent with another request before; use a new key for a new request",
        ));
    }
    match serde_json::from_value(known.response) {
        Ok(answer) => Ok(Some(Accepted { answer, replayed: true })),
        Err(error) => Err(ApiError::internal(&error)),
    }
}
