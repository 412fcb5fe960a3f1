//! API keys over HTTP, for admins.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::api_key;
use quaestor_core::ids::KeyId;
use quaestor_core::model::{ApiKey, Page, Role};
use quaestor_core::ports::store::{NewKey, StoreError};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body};
use crate::problem::ApiError;

const NAME_MAX_CHARS: usize = 200;
/// 60 random bits collide for nobody; a second try is already generous.
const TRIES: usize = 3;

/// A key with its secret, this once.
#[derive(Serialize)]
pub(super) struct CreatedKey {
    #[serde(flatten)]
    row: ApiKey,
    key: String,
}

pub(super) async fn create(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    let mut fields = json_body(&app, request).await?;
    let name = fields.text("name", NAME_MAX_CHARS)?;
    let role: Role = fields.parsed("role", "viewer, member, admin or auditor")?;
    fields.finish()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let generated = api_key::generate(app.front.entropy.as_ref());
        let id: KeyId = app.front.ids.next();
        let key = NewKey {
            id,
            principal_id: app.front.ids.next(),
            name: name.clone(),
            role,
            prefix: generated.prefix.clone(),
            secret_sha256: generated.sha256,
            created_at: app.front.clock.now(),
        };
        let audit = app.audit(&caller, "key.create", id);
        match app.front.store.create_key(caller.workspace_id, key, audit).await {
            Ok(row) => {
                let key = generated.token.expose_secret().to_owned();
                return Ok((StatusCode::CREATED, Json(CreatedKey { row, key })));
            }
            Err(StoreError::Conflict { .. }) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(app.front.store.list_keys(caller.workspace_id, page).await?))
}

pub(super) async fn revoke(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<KeyId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(&caller, "key.revoke", id);
    let now = app.front.clock.now();
    let revoked = app.front.store.revoke_key(caller.workspace_id, id, now, audit).await?;
    revoked.ok_or_else(|| ApiError::missing("key", id))?;
    // Other processes forget it when their cache runs out.
    app.keys.forget();
    Ok(StatusCode::NO_CONTENT)
}
