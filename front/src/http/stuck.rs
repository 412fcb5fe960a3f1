//! What stands still, for admins: `quaestor doctor` prints it.
//!
//! Queues, leases and the outbox are the installation's, and only counts of them are told;
//! dead letters are the workspace's own.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::model::{Page, Reason, Taking};
use quaestor_core::ports::store::{Backlog, DeadFilter, DeadGroup};
use serde::Serialize;

use crate::app::App;
use crate::auth::Who;
use crate::input::Params;
use crate::jobs::taking;
use crate::problem::{ApiError, chain};

/// How long work stands still before it is called stuck.
const OLDER_THAN_S: u32 = 60;
const MOST_S: u32 = 86_400;
/// Groups of dead letters that are told.
const MOST_GROUPS: u32 = 10;

/// Work of one sort that stands still.
#[derive(Debug, Serialize)]
pub(super) struct Stuck {
    /// What sort: `no_worker`, `slow_queue`, `waiting`, `lease_expired`, `unpublished`,
    /// `dead_letters`, `dead_queue`.
    code: &'static str,
    /// The step, the reason or the class of error.
    name: String,
    /// How many.
    count: u64,
    /// Since when the oldest stands; null where it is not known.
    oldest_at: Option<Time>,
    /// What is the matter.
    detail: String,
    /// What mends it.
    mend: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<Stuck>>, ApiError> {
    let mut params = Params::of(&uri)?;
    let wanted = format!("a number of seconds from 1 to {MOST_S}");
    let older = params.parsed::<u32>("older_than_s", &wanted)?.unwrap_or(OLDER_THAN_S);
    if !(1..=MOST_S).contains(&older) {
        return Err(ApiError::invalid("older_than_s", &wanted));
    }
    params.finish()?;
    let now = app.front.clock.now();
    let store = &app.front.store;
    let work = store.stuck_work(now - TimeDelta::seconds(i64::from(older))).await?;
    let filter = DeadFilter::default();
    let groups = store.dead_groups(caller.workspace_id, filter, MOST_GROUPS).await?;
    let workers = taking(&app).await;

    let mut items = Vec::new();
    items.extend(work.queued.into_iter().map(|backlog| queued(backlog, &workers, now)));
    items.extend(work.unsent.map(unsent));
    items.extend(work.expired.map(expired));
    items.extend(work.waiting.into_iter().map(waiting));
    items.extend(groups.into_iter().map(dead));
    match app.front.queue.dead_depth().await {
        Ok(0) => {}
        Ok(count) => items.push(dead_queue(count)),
        // Who cannot be asked is told of by the health checks.
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the dead queue could not be measured");
        }
    }
    Ok(Json(Page { items, next: None }))
}

fn queued(backlog: Backlog, workers: &[Taking], now: Time) -> Stuck {
    let Backlog { name, count, oldest_at } = backlog;
    let takers: Vec<&Taking> =
        workers.iter().filter(|taking| taking.step.as_str() == name).collect();
    let paused = takers.iter().map(|taking| taking.paused_until).collect::<Option<Vec<_>>>();
    let (code, detail, mend) = if takers.is_empty() {
        (
            "no_worker",
            format!("{count} jobs wait for {name}, and no worker takes them"),
            format!("start `quaestor worker --queues {name}`"),
        )
    } else if let Some(until) = paused.and_then(|pauses| pauses.into_iter().min()) {
        let seconds = (until - now).num_seconds().max(0);
        (
            "slow_queue",
            format!("{count} jobs wait for {name}: its model has failed too often"),
            format!("it is tried again in {seconds} s; see GET /api/admin/providers"),
        )
    } else {
        let slots: u32 = takers.iter().map(|taking| u32::from(taking.slots)).sum();
        (
            "slow_queue",
            format!("{count} jobs wait for {name}; workers take {slots} of them at once"),
            format!("start another `quaestor worker --queues {name}` if it does not get less"),
        )
    };
    Stuck { code, name, count, oldest_at: Some(oldest_at), detail, mend }
}

fn unsent(Backlog { count, oldest_at, .. }: Backlog) -> Stuck {
    Stuck {
        code: "unpublished",
        name: "outbox".to_owned(),
        count,
        oldest_at: Some(oldest_at),
        detail: format!("{count} jobs are due and on no queue"),
        mend: "see that the queue serves (`/ready`) and has room; `quaestor topology apply` makes \
               queues that are missing"
            .to_owned(),
    }
}

fn expired(Backlog { count, oldest_at, .. }: Backlog) -> Stuck {
    Stuck {
        code: "lease_expired",
        name: "leases".to_owned(),
        count,
        oldest_at: Some(oldest_at),
        detail: format!("{count} running jobs have lost their worker"),
        mend: "start a `quaestor worker`: every worker queues them again within seconds".to_owned(),
    }
}

fn waiting(backlog: Backlog) -> Stuck {
    let Backlog { name, count, oldest_at } = backlog;
    let mend = match name.parse::<Reason>() {
        Ok(
            Reason::ModelBreakerOpen
            | Reason::ModelOverloaded
            | Reason::ModelUnavailable
            | Reason::ModelTooSlow
            | Reason::ModelMalformed,
        ) => "see GET /api/admin/providers, and the provider's own status",
        Ok(Reason::ModelLimitReached) => {
            "raise the provider's limit there and in the configuration, or wait"
        }
        Ok(Reason::BatchPaused) => {
            "`quaestor batches list`, and `batches resume` when they may go on"
        }
        Ok(Reason::WorkspaceBusy | Reason::ReplayPaced) => "nothing: each has its turn",
        Ok(
            Reason::StoreUnavailable
            | Reason::StoreFailed
            | Reason::EventsUnavailable
            | Reason::ObjectsUnavailable,
        ) => "see the checks of `/ready`, and the log of the workers",
        _ => "`quaestor jobs list --state waiting`, and the log of the workers",
    };
    Stuck {
        code: "waiting",
        detail: format!("{count} jobs wait: {}", Reason::told(&name)),
        name,
        count,
        oldest_at: Some(oldest_at),
        mend: mend.to_owned(),
    }
}

fn dead(group: DeadGroup) -> Stuck {
    let DeadGroup { code, kind, count, first_at, example, .. } = group;
    Stuck {
        code: "dead_letters",
        detail: format!("{count} dead letters ({kind}): {example}"),
        mend: format!("`quaestor dead list --code {code}`, then replay or discard them"),
        name: code,
        count,
        oldest_at: Some(first_at),
    }
}

fn dead_queue(count: u64) -> Stuck {
    Stuck {
        code: "dead_queue",
        name: "qs.dead".to_owned(),
        count,
        oldest_at: None,
        detail: format!("{count} messages that could not be read are still with the broker"),
        mend: "every worker keeps them as dead letters within seconds: start one; where too many \
               are kept, `quaestor dead discard --all --kind message`"
            .to_owned(),
    }
}
