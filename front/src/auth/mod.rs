//! Who is asking: from a bearer key to a caller, and whether a key is still in force.

mod fresh;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use quaestor_core::api_key;
use quaestor_core::model::Caller;

use crate::app::App;
use crate::problem::{ApiError, Code};
use fresh::Fresh;
pub(crate) use peer::Peer;

/// How many keys are remembered; beyond it the store is asked again.
const REMEMBERED_KEYS: usize = 4_096;
/// Sockets of one key share one look at it within this time.
const IN_FORCE_CACHE: Duration = Duration::from_secs(1);

/// An authenticated caller, with what finds its key again.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) caller: Caller,
    pub(crate) prefix: Arc<str>,
}

/// Keys that were good a moment ago, so that the store is not asked for each request.
pub(crate) struct Keys {
    /// By SHA-256 of the token.
    good: Fresh<[u8; 32], Who>,
    /// By prefix, for sockets.
    in_force: Fresh<Arc<str>, bool>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { good: Fresh::new(REMEMBERED_KEYS), in_force: Fresh::new(REMEMBERED_KEYS) }
    }
}

impl Keys {
    /// Forgets all, after a key was revoked here.
    pub(crate) fn forget(&self) {
        self.good.clear();
        self.in_force.clear();
    }
}

/// The caller behind the `Authorization` header. It is the only place a key may stand
/// in: one channel, one decision.
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<Who, ApiError> {
    let token = bearer(headers)?;
    let Some(presented) = api_key::parse(token) else {
        return Err(wrong_key(app, peer).await);
    };
    let now = app.front.clock.now();
    if let Some(who) = app.keys.good.get(&presented.sha256, now) {
        return Ok(who);
    }
    let stored = app.front.store.find_key(&presented.prefix).await?;
    // The comparison runs for an unknown prefix too, so that its answer takes as long.
    let (hash, stored) = match stored {
        Some(stored) => (stored.secret_sha256, Some(stored)),
        None => ([0; 32], None),
    };
    let matches = presented.matches(&hash);
    let Some(stored) = stored.filter(|stored| matches && stored.key.revoked_at.is_none()) else {
        return Err(wrong_key(app, peer).await);
    };
    let who = Who {
        caller: Caller {
            workspace_id: stored.workspace_id,
            principal_id: stored.key.principal_id,
            role: stored.key.role,
            key_id: stored.key.id,
        },
        prefix: presented.prefix.into(),
    };
    app.keys.good.put(presented.sha256, who.clone(), now, app.front.settings.key_cache);
    Ok(who)
}

/// Whether a caller's key is still good. While the store is away nobody can tell, and
/// the caller keeps what it has.
pub(crate) async fn in_force(app: &App, who: &Who) -> bool {
    let now = app.front.clock.now();
    if let Some(known) = app.keys.in_force.get(&who.prefix, now) {
        return known;
    }
    let known = match app.front.store.find_key(&who.prefix).await {
        Ok(Some(stored)) => stored.key.id == who.caller.key_id && stored.key.revoked_at.is_none(),
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(error = %error, "could not look at a socket's key");
            return true;
        }
    };
    app.keys.in_force.put(who.prefix.clone(), known, now, IN_FORCE_CACHE);
    known
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let needed = || {
        ApiError::new(
            Code::Unauthorized,
            "send the API key in the header `Authorization: Bearer <key>`",
        )
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(needed)?;
    if values.next().is_some() {
        return Err(needed());
    }
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(needed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(needed()) }
}

/// Counts a wrong key against the peer's address. Only wrong keys are counted, so that
/// a good key from the same address goes on working.
async fn wrong_key(app: &App, peer: Peer) -> ApiError {
    quaestor_core::metrics::HTTP_WRONG_KEYS.of([]).increment(1);
    let quota = app.front.settings.quotas.wrong_keys;
    match app.count(&format!("wrong_key:{}", peer.bucket()), quota).await {
        Ok(()) => ApiError::new(Code::Unauthorized, "the API key is unknown or revoked"),
        Err(limited) => limited,
    }
}
