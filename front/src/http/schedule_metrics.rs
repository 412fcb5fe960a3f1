//! What a scrape reads of schedules: how late each is, when it was last done, and what the last
//! check found. By the store, so that each process tells the same.

use quaestor_core::clock::Time;
use quaestor_core::metrics::{self, SCHEDULE_NAMES};
use quaestor_core::model::{CHECK, CheckReport, FindingKind};
use quaestor_core::ports::store::StoreError;

use crate::app::App;
use crate::problem::chain;

/// Reads it, if the store answers in time.
pub(super) async fn look(app: &App, now: Time) {
    let read = tokio::select! {
        read = read(app, now) => read,
        () = app.front.clock.sleep(app.front.settings.check_timeout) => {
            metrics::LOOKS_FAILED.of(["store".into()]).increment(1);
            return;
        }
    };
    if let Err(error) = read {
        tracing::debug!(error = %chain(&error), "a scrape does not know of the schedules");
        metrics::LOOKS_FAILED.of(["store".into()]).increment(1);
    }
}

async fn read(app: &App, now: Time) -> Result<(), StoreError> {
    let store = &app.front.store;
    for schedule in store.list_schedules().await? {
        let name = SCHEDULE_NAMES.or_other(&schedule.name);
        metrics::SCHEDULE_LATENESS.of([name.into()]).set(schedule.lateness(now));
        let Some(done) = store.last_done(&schedule.name).await? else { continue };
        let at = done.ended_at.unwrap_or(done.queued_at).timestamp();
        metrics::SCHEDULE_LAST_DONE.of([name.into()]).set(at as f64);
        if schedule.name == CHECK
            && let Some(report) = done.report
            && let Ok(report) = serde_json::from_value::<CheckReport>(report)
        {
            for kind in FindingKind::ALL {
                let count = report.count(kind) as f64;
                metrics::CHECK_FINDINGS.of([kind.as_str().into()]).set(count);
            }
        }
    }
    Ok(())
}
