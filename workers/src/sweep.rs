//! The sweeps: what a crash or the passing of time leaves behind is put right.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::events::Event;
use quaestor_core::problem::Problem;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::emitter::Emitter;

/// How often the sweeps run.
const EVERY: Duration = Duration::from_secs(5);
/// The most rows that one sweep touches.
const AT_MOST: u32 = 500;

/// Runs the sweeps until `stop`: leases that ran out, deadlines that passed, idempotency
/// keys that are old.
pub async fn run_sweeps(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(EVERY) => {}
        }
        expired_leases(&context).await;
        overdue_jobs(&context).await;
        old_idempotency_keys(&context).await;
    }
}

async fn expired_leases(context: &Context) {
    match context.store.requeue_expired(context.clock.now(), AT_MOST).await {
        Ok(0) => {}
        Ok(jobs) => {
            info!(jobs, "{jobs} jobs lost their worker and were queued again");
            context.wake.notify();
        }
        Err(error) => warn!(error = &error as &dyn std::error::Error, "could not sweep leases"),
    }
}

async fn overdue_jobs(context: &Context) {
    match context.store.fail_overdue(context.clock.now(), AT_MOST).await {
        Ok(swept) => {
            for job in swept {
                let events = context.events.clone();
                Emitter::new(events, job.workspace_id, job.job_id, job.attempt)
                    .emit(Event::Failed { problem: deadline_passed() })
                    .await;
            }
        }
        Err(error) => warn!(error = &error as &dyn std::error::Error, "could not sweep deadlines"),
    }
}

async fn old_idempotency_keys(context: &Context) {
    let kept =
        TimeDelta::from_std(context.settings.idempotency_keys_kept).unwrap_or(TimeDelta::days(1));
    let before = context.clock.now() - kept;
    if let Err(error) = context.store.forget_idempotency_keys(before, AT_MOST).await {
        warn!(error = &error as &dyn std::error::Error, "could not forget idempotency keys");
    }
}

/// What a job is told that waited for too long.
pub(crate) fn deadline_passed() -> Problem {
    Problem::new(
        "deadline_passed",
        "The job was not done in time",
        "the job waited past its deadline and was given up; ask or upload again",
    )
}
