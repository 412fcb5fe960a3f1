//! The audit log over HTTP, for admins and auditors: its entries, and whether its chain is
//! whole.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use quaestor_core::audit::{ChainBreak, Seal, check};
use quaestor_core::model::Page;
use quaestor_core::ports::store::{AuditEnd, AuditEntry};
use serde::Serialize;

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

/// Links that one call checks, unless it says otherwise, and at the most.
const LINKS: u32 = 1_000;
const MOST_LINKS: u32 = 10_000;
/// How often the chain's end is looked at again while it moves.
const TRIES: u32 = 3;
/// How far entries that are not sealed yet are counted.
const MOST_UNSEALED: u32 = 10_000;

/// What came of checking a piece of the chain.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// Whether this piece of the chain is whole.
    whole: bool,
    /// After which number it begins.
    after: u64,
    /// Links that were checked.
    links: u64,
    /// The last of them.
    last: Option<Seal>,
    breaks: Vec<ChainBreak>,
    /// Where the chain ends.
    head: Option<Seal>,
    unsealed: u64,
    /// After which number the next piece begins.
    next: Option<u64>,
}

pub(super) async fn verify(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Checked>, ApiError> {
    let mut params = Params::of(&uri)?;
    let after = params.parsed::<u64>("after", "the number of a link")?.unwrap_or(0);
    let wanted = format!("a number from 1 to {MOST_LINKS}");
    let limit = params.parsed::<u32>("limit", &wanted)?.unwrap_or(LINKS);
    params.finish()?;
    if limit == 0 || limit > MOST_LINKS {
        return Err(ApiError::invalid("limit", &wanted));
    }
    if i64::try_from(after).is_err() {
        return Err(ApiError::invalid("after", "the number of a link"));
    }
    let store = &app.front.store;
    let workspace = caller.workspace_id;
    let mut end = store.audit_end(workspace, MOST_UNSEALED).await?;
    let mut piece = store.audit_links(workspace, after, limit).await?;
    for _ in 0..TRIES {
        let now = store.audit_end(workspace, MOST_UNSEALED).await?;
        let same = now.head == end.head;
        end = now;
        if same {
            break;
        }
        // Links were added between the two: a chain that was cut stays so.
        piece = store.audit_links(workspace, after, limit).await?;
    }
    let AuditEnd { head, unsealed } = end;
    let full = piece.links.len() == limit as usize;
    let breaks = check(workspace, after, limit, &piece, head.as_ref());
    let last = piece.links.last().map(|link| link.seal.clone());
    Ok(Json(Checked {
        whole: breaks.is_empty(),
        after,
        links: piece.links.len() as u64,
        next: last.as_ref().filter(|_| full).map(|last| last.number),
        last,
        breaks,
        head,
        unsealed,
    }))
}
