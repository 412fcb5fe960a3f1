//! The sweeps: what a crash or the passing of time leaves behind is put right.

use std::time::Duration;

use chrono::TimeDelta;
use futures::stream::{self, StreamExt};
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::Step;
use quaestor_core::ports::queue::{Depth, Durability};
use quaestor_core::problem::Problem;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::dead_messages::DeadMessages;
use crate::emitter::Emitter;

/// How often the sweeps run.
const EVERY: Duration = Duration::from_secs(5);
/// A message that was sent this long ago, and is neither queued nor claimed, is lost.
const LOST_AFTER: Duration = Duration::from_mins(1);
/// The most rows that one sweep touches.
const AT_MOST: u32 = 500;

/// How many sweeps of deadlines follow one another while each finds as many as it may.
const OVERDUE_ROUNDS: u32 = 40;
/// Ends that are told at once.
const TOLD_AT_ONCE: usize = 32;

/// Runs the sweeps until `stop`: leases that ran out, deadlines that passed, idempotency
/// keys that are old.
pub async fn run_sweeps(context: Context, stop: CancellationToken) {
    let mut dead_messages = DeadMessages::default();
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
                warn!(error = &error as &dyn std::error::Error, "could not measure a queue");
                return;
            }
        }
        // A message that a worker holds unclaimed is not lost; sending it twice does no
        // harm, since a claim is granted once.
        match context.store.outbox_resend(step, sent_before, now, AT_MOST).await {
            Ok(0) => {}
            Ok(jobs) => {
                warn!(jobs, "the queue of {step} had lost {jobs} messages; they are sent again");
                metrics::counter!("quaestor_lost_messages_total", "step" => step.as_str())
                    .increment(jobs);
                context.wake.notify();
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not send lost messages");
            }
        }
    }
}

async fn expired_leases(context: &Context) {
    failpoint::hit("sweep.before_requeue");
    match context.store.requeue_expired(context.clock.now(), AT_MOST).await {
        Ok(0) => {}
        Ok(jobs) => {
            failpoint::hit("sweep.after_requeue");
            info!(jobs, "{jobs} jobs lost their worker and were queued again");
            context.wake.notify();
        }
        Err(error) => warn!(error = &error as &dyn std::error::Error, "could not sweep leases"),
    }
}

/// Ends what nobody waits for any more, in as many rounds as a long outage may have left.
async fn overdue_jobs(context: &Context) {
    for _ in 0..OVERDUE_ROUNDS {
        let swept = match context.store.fail_overdue(context.clock.now(), AT_MOST).await {
            Ok(swept) => swept,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not sweep deadlines");
                return;
            }
        };
        metrics::counter!("quaestor_deadlines_passed_total").increment(swept.len() as u64);
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
