//! `/metrics`: what was recorded, and what is read when somebody scrapes.
//!
//! What waits in the store and in queues is read for a scrape and not counted where work
//! passes, so that it costs nothing where nobody looks. However many scrape, it is read once a
//! second, and a scrape waits for it no longer than a check of the health may take: what could
//! not be read is `NaN`, and not an old figure that looks like a new one.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::jobs::Step;
use quaestor_core::metrics;
use quaestor_core::ports::store::{Backlog, StuckWork};
use tokio::sync::Mutex;

use super::health::{self, Check};
use super::process;
use crate::app::App;
use crate::problem::chain;

/// How old what was read may be.
const GOOD_FOR: TimeDelta = TimeDelta::seconds(1);

/// What the last scrape read, so that what has gone since is shown as gone.
#[derive(Debug, Default)]
pub(crate) struct Scraped(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    at: Option<Time>,
    /// Reasons that jobs waited for.
    reasons: BTreeSet<String>,
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    look(&app).await;
    let mut text = (app.front.metrics)();
    process::write(&mut text, app.started_at);
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Reads what is not recorded. Those who scrape together wait for one look.
async fn look(app: &App) {
    let mut last = app.scraped.0.lock().await;
    let now = app.front.clock.now();
    if last.at.is_some_and(|at| at <= now && now < at + GOOD_FOR) {
        return;
    }
    let (checked, stuck, (), ()) = tokio::join!(
        health::checked(app),
        waiting(app, now),
        queues(app),
        super::schedule_metrics::look(app, now)
    );
    for (check, result) in &checked.services {
        if *check == Check::Models {
            continue;
        }
        let up = if result.status == "ok" { 1.0 } else { 0.0 };
        metrics::SERVICE_UP.of([check.name().into()]).set(up);
        metrics::SERVICE_PING_SECONDS.of([check.name().into()]).set(result.latency_ms / 1_000.0);
    }
    show_waiting(stuck.as_ref(), now, &mut last.reasons);
    last.at = Some(app.front.clock.now());
}

/// What is due and waits, by the store; none where it does not answer in time.
async fn waiting(app: &App, now: Time) -> Option<StuckWork> {
    let read = tokio::select! {
        read = app.front.store.stuck_work(now) => read,
        () = app.front.clock.sleep(app.front.settings.check_timeout) => {
            metrics::LOOKS_FAILED.of(["store".into()]).increment(1);
            return None;
        }
    };
    match read {
        Ok(stuck) => Some(stuck),
        Err(error) => {
            tracing::debug!(error = %chain(&error), "a scrape does not know what waits");
            metrics::LOOKS_FAILED.of(["store".into()]).increment(1);
            None
        }
    }
}

fn show_waiting(stuck: Option<&StuckWork>, now: Time, reasons: &mut BTreeSet<String>) {
    let count = |backlog: Option<&Backlog>| match (stuck, backlog) {
        (None, _) => f64::NAN,
        (Some(_), None) => 0.0,
        (Some(_), Some(backlog)) => backlog.count as f64,
    };
    let age = |backlog: Option<&Backlog>| match (stuck, backlog) {
        (None, _) => f64::NAN,
        (Some(_), None) => 0.0,
        (Some(_), Some(backlog)) => metrics::seconds(backlog.oldest_at, now),
    };
    for step in Step::ALL {
        let queued = stuck
            .and_then(|stuck| stuck.queued.iter().find(|backlog| backlog.name == step.as_str()));
        metrics::QUEUED_JOBS.of([step.as_str().into()]).set(count(queued));
        metrics::QUEUE_OLDEST.of([step.as_str().into()]).set(age(queued));
    }
    let unsent = stuck.and_then(|stuck| stuck.unsent.as_ref());
    metrics::OUTBOX_MESSAGES.of([]).set(count(unsent));
    metrics::OUTBOX_OLDEST.of([]).set(age(unsent));
    let expired = stuck.and_then(|stuck| stuck.expired.as_ref());
    metrics::EXPIRED_LEASES.of([]).set(count(expired));
    let waiting = stuck.map(|stuck| stuck.waiting.as_slice()).unwrap_or_default();
    reasons.extend(waiting.iter().map(|backlog| backlog.name.clone()));
    for reason in reasons.iter() {
        let found = waiting.iter().find(|backlog| backlog.name == *reason);
        metrics::WAITING_JOBS.of([reason.clone().into()]).set(count(found));
    }
}

/// What is in the queues, by themselves.
async fn queues(app: &App) {
    for step in Step::ALL {
        let depth = tokio::select! {
            depth = app.front.queue.depth(step) => depth.ok(),
            () = app.front.clock.sleep(app.front.settings.check_timeout) => None,
        };
        let label = |state: &'static str| [step.as_str().into(), state.into()];
        match depth {
            Some(depth) => {
                metrics::QUEUE_MESSAGES.of(label("ready")).set(depth.ready as f64);
                if let Some(unsettled) = depth.unsettled {
                    metrics::QUEUE_MESSAGES.of(label("unsettled")).set(unsettled as f64);
                }
            }
            None => {
                metrics::LOOKS_FAILED.of(["queue".into()]).increment(1);
                metrics::QUEUE_MESSAGES.of(label("ready")).set(f64::NAN);
                // The next queue would be asked as long in vain.
                return;
            }
        }
    }
}
