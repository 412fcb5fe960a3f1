//! What came out of a handler is written: the job ends, goes on, waits, or is handed back.

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{Advance, Claim, Claimed, StoreError};
use tracing::{error, info, warn};

use crate::context::Context;
use crate::decision::{Decision, Outcome, pause_before_retry};
use crate::registry::Running;

fn same_step(context: &Context, job: &Running, claimed: &Claimed, due_at: Time) -> Advance {
    Advance {
        step: job.claim.step,
        payload: claimed.payload.clone(),
        outbox_id: context.ids.next::<OutboxId>(),
        due_at,
        kept: None,
    }
}

/// Hands a step back that could not be ended in the time of a drain.
pub(crate) async fn give_step_back(context: &Context, job: &Running, claimed: &Claimed) {
    let now = context.clock.now();
    let next = same_step(context, job, claimed, now);
    match context.store.hand_back(job.workspace, &job.claim, next, now).await {
        // Published before this process ends: another worker has it at once.
        Ok(()) => context.wake.notify(),
        Err(StoreError::Fenced) => {}
        // The lease will run out, and the sweep queues the job again.
        Err(error) => warn!(error = &error as &dyn std::error::Error, "could not hand a job back"),
    }
}

/// Writes what came out of a handler. Returns the word for the metric.
pub(crate) async fn settle(
    context: &Context,
    job: &Running,
    claimed: &Claimed,
    result: Result<Outcome, Decision>,
) -> &'static str {
    match try_settle(context, job, claimed, result).await {
        Ok(word) => word,
        Err(StoreError::Fenced) => "fenced",
        Err(error) => {
            // Nothing is lost: the lease runs out, and the job is run again.
            error!(
                error = &error as &dyn std::error::Error,
                "could not settle job {}", job.claim.job_id
            );
            "unsettled"
        }
    }
}

async fn try_settle(
    context: &Context,
    job: &Running,
    claimed: &Claimed,
    result: Result<Outcome, Decision>,
) -> Result<&'static str, StoreError> {
    let Claim { job_id, .. } = job.claim;
    let now = context.clock.now();
    match result {
        Ok(Outcome::Ended(events)) => {
            failpoint::hit("worker.after_save");
            job.emitter.emit_all(events).await;
            Ok("done")
        }
        Ok(Outcome::Advanced) => {
            context.wake.notify();
            Ok("advanced")
        }
        Ok(Outcome::Followed(_)) => Ok("followed"),
        Ok(Outcome::SubjectGone) => {
            warn!("what job {job_id} was about was deleted before it ran");
            context.store.finish_without_subject(job.workspace, &job.claim, now).await?;
            job.emitter.emit(Event::Done { usage: None }).await;
            Ok("subject_gone")
        }
        Err(Decision::Fenced) => {
            info!("job {job_id} is run by another worker; attempt {} stops", job.claim.attempt);
            Ok("fenced")
        }
        Err(Decision::Cancelled) => {
            context.store.cancel(job.workspace, &job.claim, now).await?;
            job.emitter.emit(Event::Cancelled).await;
            Ok("cancelled")
        }
        Err(Decision::Fail(problem)) => {
            info!(problem.code = %problem.code, "job {job_id} failed: {}", problem.title);
            let state =
                if problem.code == "too_many_attempts" { JobState::Dead } else { JobState::Failed };
            context.store.fail(job.workspace, &job.claim, state, problem.clone(), now).await?;
            job.emitter.emit(Event::Failed { problem }).await;
            Ok("failed")
        }
        Err(Decision::Retry { reason, after, error }) => {
            warn!(
                job.attempt = job.claim.attempt,
                job.reason = reason,
                error = error.as_ref() as &dyn std::error::Error,
                "job {job_id} is tried again later"
            );
            let pause = after.unwrap_or_else(|| pause_before_retry(claimed.step_attempt));
            let until = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1));
            let next = same_step(context, job, claimed, until);
            context.store.put_off(job.workspace, &job.claim, reason, next, now).await?;
            job.emitter.emit(Event::Waiting { reason: reason.to_owned(), until }).await;
            Ok("put_off")
        }
    }
}
