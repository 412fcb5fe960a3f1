//! Reading again over HTTP: the documents of a collection that an older parser has read are
//! queued, as files of a batch that is steered as any other.

use std::str::FromStr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use quaestor_core::failpoint;
use quaestor_core::ids::{BatchId, CollectionId};
use quaestor_core::jobs::{JobKind, NewJob, Step};
use quaestor_core::ports::store::{NewReparse, ReadAgain, ToReadAgain};
use serde::Serialize;
use serde_json::Value;

use super::collections::existing;
use crate::app::App;
use crate::auth::Who;
use crate::input::{Fields, PathId, json_body, traceparent};
use crate::problem::ApiError;

/// Documents that one transaction queues.
const AT_ONCE: usize = 200;
/// Documents that one request queues.
const AT_MOST: u64 = 10_000;
/// The fastest rate that says something.
const MOST_PER_MINUTE: i64 = 100_000;

/// Which documents are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Stale,
    All,
}

impl FromStr for Which {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "stale" => Ok(Self::Stale),
            "all" => Ok(Self::All),
            _ => Err(()),
        }
    }
}

impl Which {
    fn of(self, parsers: &[String]) -> ReadAgain<'_> {
        match self {
            Self::Stale => ReadAgain::OtherThan(parsers),
            Self::All => ReadAgain::All,
        }
    }
}

/// `fields` are checked to the last.
fn wanted(mut fields: Fields) -> Result<(Which, Option<i64>), ApiError> {
    let which = fields.optional_parsed("documents", "`stale` or `all`")?.unwrap_or(Which::Stale);
    let rate = fields.optional_integer("documents_per_minute", 1..=MOST_PER_MINUTE)?;
    fields.finish()?;
    Ok((which, rate))
}

/// What was queued.
#[derive(Serialize)]
pub(crate) struct AcceptedReparse {
    /// Null where there is nothing to read again.
    batch_id: Option<BatchId>,
    documents: u64,
    /// More than one request queues: ask again.
    remaining: u64,
}

pub(super) async fn estimate(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    request: Request,
) -> Result<Json<ToReadAgain>, ApiError> {
    let (which, _) = wanted(json_body(&app, request).await?)?;
    let which = which.of(&app.front.settings.parsers);
    let found = app.front.store.to_read_again(caller.workspace_id, id, which).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("collection", id))
}

pub(super) async fn begin(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<CollectionId>,
    headers: HeaderMap,
    request: Request,
) -> Result<(StatusCode, Json<AcceptedReparse>), ApiError> {
    let traceparent = traceparent(&headers);
    let (which, rate) = wanted(json_body(&app, request).await?)?;
    let which = which.of(&app.front.settings.parsers);
    let collection = existing(&app, caller.workspace_id, id).await?;
    let (front, workspace) = (&app.front, caller.workspace_id);
    let found = front.store.to_read_again(workspace, id, which).await?;
    let stale = found.ok_or_else(|| ApiError::missing("collection", id))?.stale;
    let wanted = stale.min(AT_MOST);
    let (batch_id, now): (BatchId, _) = (front.ids.next(), front.clock.now());
    let mut queued = 0;
    failpoint::hit("front.before_accept");
    while queued < wanted {
        let count = usize::try_from(wanted - queued).unwrap_or(AT_ONCE).min(AT_ONCE);
        let job = |place: u64| NewJob {
            id: front.ids.next(),
            kind: JobKind::Documents,
            step: Step::DocumentsIngest,
            principal_id: caller.principal_id,
            payload: Value::Null,
            batch_id: Some(batch_id),
            outbox_id: front.ids.next(),
            created_at: now,
            held_until: rate.map(|rate| {
                let place = i64::try_from(place).unwrap_or(i64::MAX);
                now + TimeDelta::milliseconds(place.saturating_mul(60_000) / rate)
            }),
            deadline: None,
            traceparent: traceparent.clone(),
        };
        let reparse = NewReparse {
            collection_id: id,
            which,
            batch_id,
            principal_id: Some(caller.principal_id),
            name: format!("read again: {}", collection.name),
            jobs: (queued..).take(count).map(job).collect(),
            audit: (queued == 0).then(|| app.audit(&caller, "collection.reparse", id)),
        };
        let added = front.store.begin_reparse(workspace, reparse).await?;
        let added = added.ok_or_else(|| ApiError::missing("collection", id))?;
        queued += added;
        front.wake.notify();
        if added < count as u64 {
            break;
        }
    }
    failpoint::hit("front.after_accept");
    let accepted = AcceptedReparse {
        batch_id: (queued > 0).then_some(batch_id),
        documents: queued,
        remaining: stale.saturating_sub(wanted),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
