//! The audit log over HTTP, for admins and auditors.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use quaestor_core::model::Page;
use quaestor_core::ports::store::AuditEntry;

use crate::app::App;
use crate::auth::Who;
use crate::input::Params;
use crate::problem::ApiError;

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<AuditEntry>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(app.front.store.list_audit(caller.workspace_id, page).await?))
}
