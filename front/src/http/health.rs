//! How the process is: `/health` and `/ready`.

use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use quaestor_core::clock::Time;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::app::App;
use crate::problem::chain;
pub(super) use crate::settings::Check;

use super::process::{cpu_seconds, resident_bytes};

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CheckResult {
    pub(super) status: &'static str,
    pub(super) latency_ms: f64,
    detail: Option<String>,
}

/// All checks at one moment.
#[derive(Debug)]
pub(super) struct Checked {
    at: Time,
    pub(super) services: [(Check, CheckResult); 5],
    cpu_s: Option<f64>,
    /// Share of one core since the checks before.
    cpu_share: Option<f64>,
}

/// The last checks, so that asking often costs nothing.
#[derive(Debug, Default)]
pub(crate) struct HealthCache(Mutex<Option<Arc<Checked>>>);

/// 200 while the process lives, whatever the services behind do.
pub(super) async fn health(State(app): State<App>) -> Json<Value> {
    let checked = checked(&app).await;
    let status = if failed(&checked, &Check::ALL) { "degraded" } else { "ok" };
    Json(body(&app, Some(&checked), status))
}

/// 503 when a needed check fails, or when the process is to stop: that is said at once,
/// without a look at the services.
pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    if app.stop.leave.is_cancelled() {
        let last = app.health.0.try_lock().ok().and_then(|last| last.clone());
        let body = body(&app, last.as_deref(), "unavailable");
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    let checked = checked(&app).await;
    if failed(&checked, &app.front.settings.ready_needs) {
        (StatusCode::SERVICE_UNAVAILABLE, Json(body(&app, Some(&checked), "unavailable")))
    } else {
        (StatusCode::OK, Json(body(&app, Some(&checked), "ok")))
    }
}

impl Check {
    const ALL: [Self; 5] = [Self::Database, Self::Queue, Self::Events, Self::Objects, Self::Models];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Queue => "queue",
            Self::Events => "events",
            Self::Objects => "objects",
            Self::Models => "models",
        }
    }
}

/// Whether one of these checks failed. Models that nobody named are unknown, not failed.
fn failed(checked: &Checked, needed: &[Check]) -> bool {
    let bad = |result: &CheckResult| result.status == "failed";
    checked.services.iter().any(|(check, result)| needed.contains(check) && bad(result))
}

/// What is said; without the services where nobody has looked at them yet.
fn body(app: &App, checked: Option<&Checked>, status: &str) -> Value {
    let mut checks = Map::new();
    checks.insert("process".to_owned(), process(app));
    for (check, result) in checked.iter().flat_map(|checked| &checked.services) {
        checks.insert(check.name().to_owned(), json!(result));
    }
    let memory = resident_bytes().map(|bytes| format!("{bytes} bytes resident"));
    checks.insert("memory".to_owned(), measured(memory));
    let cpu = checked.and_then(|checked| {
        checked.cpu_s.map(|seconds| match checked.cpu_share {
            Some(share) => format!("{seconds:.2} s used, {:.1} % of a core lately", share * 100.0),
            None => format!("{seconds:.2} s used"),
        })
    });
    checks.insert("cpu".to_owned(), measured(cpu));
    let uptime = (app.front.clock.now() - app.started_at).as_seconds_f64().max(0.0);
    json!({
        "status": status,
        "version": app.front.settings.version,
        "uptime_s": uptime,
        "checks": checks,
    })
}

/// Whether the process stays.
fn process(app: &App) -> Value {
    let (status, detail) = if app.stop.leave.is_cancelled() {
        ("failed", Some("it was told to stop: it ends what runs and takes no more work".to_owned()))
    } else {
        ("ok", None)
    };
    json!(CheckResult { status, latency_ms: 0.0, detail })
}

/// A measure of the process itself; unknown where the system does not tell.
fn measured(detail: Option<String>) -> Value {
    let status = if detail.is_some() { "ok" } else { "unknown" };
    json!(CheckResult { status, latency_ms: 0.0, detail })
}

/// The checks, at most as old as the settings allow. Those who come together wait for
/// one round of checks instead of each starting one.
pub(super) async fn checked(app: &App) -> Arc<Checked> {
    let mut cache = app.health.0.lock().await;
    let now = app.front.clock.now();
    if let Some(last) = cache.as_ref()
        && now - last.at < chrono_of(app.front.settings.health_cache)
    {
        return last.clone();
    }
    let front = &app.front;
    let (database, queue, events, objects) = tokio::join!(
        check(app, front.store.ping()),
        check(app, front.queue.ping()),
        check(app, front.events.ping()),
        check(app, front.objects.ping()),
    );
    let names = &front.settings.models;
    let models = CheckResult {
        status: if names.is_empty() { "unknown" } else { "ok" },
        latency_ms: 0.0,
        detail: (!names.is_empty()).then(|| names.join(", ")),
    };
    let cpu_s = cpu_seconds();
    let cpu_share = cache.as_ref().and_then(|last| {
        let wall = (now - last.at).as_seconds_f64();
        Some((cpu_s? - last.cpu_s?) / wall).filter(|share| share.is_finite())
    });
    let checked = Arc::new(Checked {
        at: now,
        services: [
            (Check::Database, database),
            (Check::Queue, queue),
            (Check::Events, events),
            (Check::Objects, objects),
            (Check::Models, models),
        ],
        cpu_s,
        cpu_share,
    });
    *cache = Some(checked.clone());
    checked
}

async fn check<E: std::error::Error + 'static>(
    app: &App,
    ping: impl Future<Output = Result<(), E>>,
) -> CheckResult {
    let started = app.front.clock.now();
    let (status, detail) = tokio::select! {
        answer = ping => match answer {
            Ok(()) => ("ok", None),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a health check failed: {error}");
                // The causes may name hosts; they are for the log alone.
                ("failed", Some(error.to_string()))
            }
        },
        () = app.front.clock.sleep(app.front.settings.check_timeout) => {
            ("failed", Some("no answer in time".to_owned()))
        }
    };
    let latency = (app.front.clock.now() - started).as_seconds_f64() * 1_000.0;
    CheckResult { status, latency_ms: latency.max(0.0), detail }
}

fn chrono_of(duration: std::time::Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or_default()
}
