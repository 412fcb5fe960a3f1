//! What came out of a handler is written: the job ends, goes on, waits, or is handed back.

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::model::JobState;
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{Advance, CallsOf, Claim, Claimed, PutOff, StoreError};
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
    let store = &context.store;
    let handed_back = with_calls(job, |calls| async move {
        store.hand_back(job.workspace, &job.claim, next, &calls, now).await
    });
    let handed_back = handed_back.await;
    account_rest(context, job, claimed).await;
    match handed_back {
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
    let settled = try_settle(context, job, claimed, result).await;
    account_rest(context, job, claimed).await;
    match settled {
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

/// Writes the requests to models that nothing was written with: of a claim that is stale by
/// now, and of a step that hands its job on.
async fn account_rest(context: &Context, job: &Running, claimed: &Claimed) {
    let calls = job.scope.calls.take();
    if calls.is_empty() {
        return;
    }
    let of = CallsOf {
        principal_id: claimed.principal_id,
        job: Some((job.claim.job_id, job.claim.attempt)),
    };
    if let Err(error) = context.store.save_calls(job.workspace, of, &calls).await {
        error!(
            error = &error as &dyn std::error::Error,
            calls = calls.len(),
            "could not write down what models were asked for job {}",
            job.claim.job_id
        );
    }
}

/// Hands what was written down to `write`; where that fails it is written down again.
pub(crate) async fn with_calls<T, F>(
    job: &Running,
    write: impl FnOnce(Vec<ModelCall>) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let calls = job.scope.calls.take();
    let written = write(calls.clone()).await;
    if written.is_err() {
        calls.into_iter().for_each(|call| job.scope.calls.push(call));
    }
    written
}

/// Whether a step was tried that waits for this reason: a model that is left alone was not
/// asked.
fn is_try(reason: &str) -> bool {
    !["model_breaker_open", "model_limit_reached"].contains(&reason)
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
            with_calls(job, |calls| async move {
                context.store.cancel(job.workspace, &job.claim, &calls, now).await
            })
            .await?;
            job.emitter.emit(Event::Cancelled).await;
            Ok("cancelled")
        }
        Err(Decision::Fail(problem)) => {
            info!(problem.code = %problem.code, "job {job_id} failed: {}", problem.title);
            let state =
                if problem.code == "too_many_attempts" { JobState::Dead } else { JobState::Failed };
            let told = problem.clone();
            with_calls(job, |calls| async move {
                let store = &context.store;
                store.fail(job.workspace, &job.claim, state, told, &calls, now).await
            })
            .await?;
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
            failpoint::hit("worker.put_off");
            let why = PutOff { reason, is_try: is_try(reason) };
            with_calls(job, |calls| async move {
                context.store.put_off(job.workspace, &job.claim, why, next, &calls, now).await
            })
            .await?;
            job.emitter.emit(Event::Waiting { reason: reason.to_owned(), until }).await;
            Ok("put_off")
        }
    }
}
