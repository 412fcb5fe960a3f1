//! Budgets over HTTP, for admins: what the workspace and each principal may spend on models.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use quaestor_core::ids::PrincipalId;
use quaestor_core::model::{Budget, Caller, Days, Page, SetBudget};

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId, json_body};
use crate::problem::ApiError;

/// A thousand millions of the currency: more is a mistake.
const MOST_MICROS: i64 = 1_000_000_000_000_000;

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<SetBudget>>, ApiError> {
    Params::of(&uri)?.finish()?;
    let days = Days::of(app.front.clock.now());
    let items = app.front.store.list_budgets(caller.workspace_id, days).await?;
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn set_of_workspace(
    State(app): State<App>,
    Who { caller, .. }: Who,
    request: Request,
) -> Result<StatusCode, ApiError> {
    set(&app, &caller, None, request).await
}

pub(super) async fn set_of_principal(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<PrincipalId>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    set(&app, &caller, Some(id), request).await
}

pub(super) async fn remove_of_workspace(
    State(app): State<App>,
    Who { caller, .. }: Who,
) -> Result<StatusCode, ApiError> {
    remove(&app, &caller, None).await
}

pub(super) async fn remove_of_principal(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<PrincipalId>,
) -> Result<StatusCode, ApiError> {
    remove(&app, &caller, Some(id)).await
}

async fn set(
    app: &App,
    caller: &Caller,
    principal: Option<PrincipalId>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let mut fields = json_body(app, request).await?;
    let mut limit = |name| {
        let limit = fields.optional_integer(name, 0..=MOST_MICROS)?;
        Ok::<_, ApiError>(limit.map(i64::unsigned_abs))
    };
    let budget = Budget {
        day_soft_micros: limit("day_soft_micros")?,
        day_hard_micros: limit("day_hard_micros")?,
        month_soft_micros: limit("month_soft_micros")?,
        month_hard_micros: limit("month_hard_micros")?,
    };
    fields.finish()?;
    let audit = app.audit(caller, "budget.set", subject(caller, principal));
    let workspace = caller.workspace_id;
    if !app.front.store.create_budget(workspace, principal, budget, audit).await? {
        return Err(ApiError::missing("principal", subject(caller, principal)));
    }
    app.front.budgets.forget();
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    app: &App,
    caller: &Caller,
    principal: Option<PrincipalId>,
) -> Result<StatusCode, ApiError> {
    let audit = app.audit(caller, "budget.remove", subject(caller, principal));
    if !app.front.store.delete_budget(caller.workspace_id, principal, audit).await? {
        return Err(ApiError::missing("principal", subject(caller, principal)));
    }
    app.front.budgets.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// Whose budget it is, as the audit log names it.
fn subject(caller: &Caller, principal: Option<PrincipalId>) -> uuid::Uuid {
    principal.map_or(caller.workspace_id.uuid(), PrincipalId::uuid)
}
