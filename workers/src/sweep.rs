//! The sweeps: what a crash or the passing of time leaves behind is put right.
//!
//! Each does a bounded piece of work, tells how much it did, and is safe in any number of
//! processes at once. Logs of events need none: they end by themselves (`EXPIRE` in Redis,
//! bounds in memory).

use std::time::Duration;

use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::Step;
use quaestor_core::metrics;
use quaestor_core::ports::queue::{Depth, Durability};
use quaestor_core::ports::store::StoreError;
use quaestor_core::problem::Problem;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::dead_messages::DeadMessages;
use crate::emitter::Emitter;

/// How often the sweeps run.
const EVERY: Duration = Duration::from_secs(5);
/// How often those run that find something only after a crash of the database server.
const RARELY: TimeDelta = TimeDelta::minutes(10);
/// A message that was sent this long ago, and is neither queued nor claimed, is lost.
const LOST_AFTER: Duration = Duration::from_mins(1);
/// The most rows that one sweep touches.
const AT_MOST: u32 = 500;

/// How many sweeps of deadlines follow one another while each finds as many as it may.
const OVERDUE_ROUNDS: u32 = 40;
/// Ends that are told at once.
const TOLD_AT_ONCE: usize = 32;

/// Tells how a sweep went: `quaestor_sweep_rows_total`, `…_last_run_timestamp_seconds` and
/// `…_failures_total`, by `sweep`. Returns what it did.
pub(crate) fn told<E: std::error::Error + 'static>(
    context: &Context,
    sweep: &'static str,
    swept: Result<u64, E>,
) -> u64 {
    match swept {
        Ok(rows) => {
            metrics::SWEEP_ROWS.of([sweep.into()]).increment(rows);
            let now = context.clock.now().timestamp() as f64;
            metrics::SWEEP_LAST_RUN.of([sweep.into()]).set(now);
            rows
        }
        Err(error) => {
            metrics::SWEEP_FAILURES.of([sweep.into()]).increment(1);
            let error: &dyn std::error::Error = &error;
            warn!(error, sweep, "the sweep of {sweep} failed");
            0
        }
    }
}

/// Runs the sweeps until `stop`: leases that ran out, deadlines that passed, messages that
/// were lost or left, idempotency keys that are old.
pub async fn run_sweeps(context: Context, stop: CancellationToken) {
    let mut dead_messages = DeadMessages::default();
    let mut rarely_at = context.clock.now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(EVERY) => {}
        }
        expired_leases(&context).await;
        overdue_jobs(&context).await;
        lost_messages(&context).await;
        old_idempotency_keys(&context).await;
        crate::lost_calls::settle(&context).await;
        dead_messages.sweep(&context).await;
        if context.clock.now() >= rarely_at {
            ended_messages(&context).await;
            rarely_at = context.clock.now() + RARELY;
        }
    }
}

/// A durable queue may still lose what it held: it was made anew, or its disk is gone.
/// It is empty then, while jobs wait whose messages were sent long ago.
async fn lost_messages(context: &Context) {
    if context.queue.durability() == Durability::Volatile {
        return;
    }
    let now = context.clock.now();
    let sent_before = now - TimeDelta::from_std(LOST_AFTER).unwrap_or(TimeDelta::minutes(1));
    for step in Step::ALL {
        match context.queue.depth(step).await {
            Ok(Depth { ready: 0, .. }) => {}
            Ok(_) => continue,
            Err(error) => {
                told(context, "lost_messages", Err(error));
                return;
            }
        }
        // A message that a worker holds unclaimed is not lost; sending it twice does no
        // harm, since a claim is granted once.
        let resent = context.store.outbox_resend(step, sent_before, now, AT_MOST).await;
        let jobs = told(context, "lost_messages", resent);
        if jobs > 0 {
            warn!(jobs, "the queue of {step} had lost {jobs} messages; they are sent again");
            metrics::MESSAGES_LOST.of([step.as_str().into()]).increment(jobs);
            context.wake.notify();
        }
    }
}

async fn expired_leases(context: &Context) {
    failpoint::hit("sweep.before_requeue");
    let requeued = context.store.requeue_expired(context.clock.now(), AT_MOST).await;
    let jobs = told(context, "expired_leases", requeued);
    if jobs > 0 {
        failpoint::hit("sweep.after_requeue");
        info!(jobs, "{jobs} jobs lost their worker and were queued again");
        context.wake.notify();
    }
}

/// Ends what nobody waits for any more, in as many rounds as a long outage may have left.
async fn overdue_jobs(context: &Context) {
    for _ in 0..OVERDUE_ROUNDS {
        let swept = match context.store.fail_overdue(context.clock.now(), AT_MOST).await {
            Ok(swept) => swept,
            Err(error) => {
                told(context, "overdue_jobs", Err(error));
                return;
            }
        };
        told::<StoreError>(context, "overdue_jobs", Ok(swept.len() as u64));
        let last = swept.len() < AT_MOST as usize;
        let tell = swept.into_iter().map(|job| async move {
            let events = context.events.clone();
            Emitter::new(events, job.workspace_id, job.job_id, job.attempt)
                .emit(Event::Failed { problem: deadline_passed() })
                .await;
        });
        stream::iter(tell).buffer_unordered(TOLD_AT_ONCE).collect::<()>().await;
        if last {
            return;
        }
    }
}

async fn old_idempotency_keys(context: &Context) {
    let kept =
        TimeDelta::from_std(context.settings.idempotency_keys_kept).unwrap_or(TimeDelta::days(1));
    let before = context.clock.now() - kept;
    told(context, "idempotency_keys", context.store.forget_idempotency_keys(before, AT_MOST).await);
}

/// A message is removed with the end of its job. One that is left has survived a crash that
/// undid one of the two.
async fn ended_messages(context: &Context) {
    told(context, "ended_messages", context.store.forget_ended_messages(AT_MOST).await);
}

/// What a job is told that waited for too long.
pub(crate) fn deadline_passed() -> Problem {
    Problem::new(
        "deadline_passed",
        "The job was not done in time",
        "the job waited past its deadline and was given up; ask or upload again",
    )
}
