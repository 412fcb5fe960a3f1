//! What came out of a handler is written: the job ends, goes on, waits, or is handed back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::metrics;
use quaestor_core::model::{Failure, JobState, Reason};
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{Advance, CallsOf, Claim, Claimed, PutOff, StoreError};
use quaestor_core::problem::Problem;
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
        job.scope.calls.put_back(calls);
    }
    written
}

/// How long a job waits for the installation's own servers to come back before it is given
/// up: whoever runs them finds it among the dead then, and loses nothing.
const LONGEST_OUTAGE: TimeDelta = TimeDelta::hours(24);

fn is_one_of(reason: &str, those: &[Reason]) -> bool {
    those.iter().any(|one| one.as_str() == reason)
}

/// Whether a step was tried that waits for this reason: a model that is left alone was not
/// asked, and what is the servers' own trouble says nothing about the job.
fn is_try(reason: &str) -> bool {
    !is_one_of(reason, &[Reason::ModelBreakerOpen, Reason::ModelLimitReached]) && !is_outage(reason)
}

fn is_outage(reason: &str) -> bool {
    let servers = [Reason::StoreUnavailable, Reason::EventsUnavailable, Reason::ObjectsUnavailable];
    is_one_of(reason, &servers)
}

/// Since when a job waits for the same server.
async fn outage_since(
    context: &Context,
    job: &Running,
    reason: &str,
    now: Time,
) -> Result<Time, StoreError> {
    let last = context.store.last_failure(job.workspace, job.claim.job_id).await?;
    let same = last.filter(|last| last.step == job.claim.step && last.code == reason);
    Ok(same.map_or(now, |last| last.since.unwrap_or(last.at)))
}

/// Half as long as it has lasted so far, which finds the end of an outage late by half of it
/// at the most.
fn pause_in_outage(lasted: TimeDelta) -> Duration {
    let half = lasted.to_std().unwrap_or_default() / 2;
    half.clamp(Duration::from_secs(1), Duration::from_secs(60))
}

fn outage_too_long(reason: &str) -> Problem {
    let hours = LONGEST_OUTAGE.num_hours();
    Problem::new(
        "outage",
        "The job was given up",
        format!(
            "{} for {hours} hours; an administrator finds it with `quaestor dead list` and can \
             replay it",
            Reason::told(reason)
        ),
    )
}

/// How often a step is tried that fails for this reason. One that breaks the program is not
/// given as many chances to do so.
fn tries(context: &Context, reason: &str) -> u32 {
    /// F46: a message that breaks its handler is tried three times.
    const PANICS: u32 = 3;
    let most = context.settings.max_step_attempts;
    if reason == Reason::HandlerPanicked.as_str() { most.min(PANICS) } else { most }
}

/// Problems that nobody who asked can mend: the job is kept for an operator, who can replay it.
fn is_for_operators(code: &str) -> bool {
    ["too_many_attempts", "bad_payload", "unknown_step"].contains(&code)
}

/// What a job is told whose step was tried in vain.
pub(crate) fn too_many_attempts(attempts: u32) -> Problem {
    Problem::new(
        "too_many_attempts",
        "The job was given up",
        format!(
            "the step was tried {attempts} times and never ended; an administrator finds it with \
             `quaestor dead list` and can replay it"
        ),
    )
}

/// Says what went wrong the last time, and not only that it went wrong too often. The causes
/// may name hosts: they stand in the dead letter alone.
fn with_last_error(problem: Problem, last: &Failure) -> Problem {
    let Problem { code, title, detail } = problem;
    let detail = format!("{}: {}; {detail}", Reason::told(&last.code), last.detail);
    Problem { code, title, detail }
}

/// Ends the job as dead and keeps what it ran into.
async fn die(
    context: &Context,
    job: &Running,
    problem: Problem,
    failure: Option<Failure>,
    now: Time,
) -> Result<&'static str, StoreError> {
    let code = failure.as_ref().map_or(&problem.code, |failure| &failure.code).clone();
    let step = job.claim.step;
    error!(
        job.step = %step,
        job.attempt = job.claim.attempt,
        problem.code = %problem.code,
        error.code = %code,
        error.chain = failure.as_ref().map(Failure::sentence),
        "job {} is dead: see `quaestor dead show {}`", job.claim.job_id, job.claim.job_id
    );
    let told = problem.clone();
    with_calls(job, |calls| async move {
        let store = &context.store;
        store.bury(job.workspace, &job.claim, told, failure, &calls, now).await
    })
    .await?;
    metrics::JOBS_DEAD.of([step.as_str().into(), code.into()]).increment(1);
    job.emitter.emit(Event::Failed { problem }).await;
    Ok("dead")
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
        Err(Decision::Fail(problem)) if is_for_operators(&problem.code) => {
            let last = context.store.last_failure(job.workspace, job_id).await?;
            let last = last.filter(|failure| failure.step == job.claim.step);
            let problem = match &last {
                Some(failure) => with_last_error(problem, failure),
                None => problem,
            };
            die(context, job, problem, last, now).await
        }
        Err(Decision::Fail(problem)) => {
            info!(problem.code = %problem.code, "job {job_id} failed: {}", problem.title);
            let told = problem.clone();
            with_calls(job, |calls| async move {
                let store = &context.store;
                let state = JobState::Failed;
                store.fail(job.workspace, &job.claim, state, told, &calls, now).await
            })
            .await?;
            job.emitter.emit(Event::Failed { problem }).await;
            Ok("failed")
        }
        Err(Decision::PutOff { reason, after }) => {
            let until = now + TimeDelta::from_std(after).unwrap_or(TimeDelta::hours(1));
            let next = same_step(context, job, claimed, until);
            let reason = reason.as_str();
            with_calls(job, |calls| async move {
                let (store, why) = (&context.store, PutOff::untried(reason));
                store.put_off(job.workspace, &job.claim, why, next, &calls, now).await
            })
            .await?;
            if after.is_zero() {
                context.wake.notify();
            }
            job.emitter.emit(Event::Waiting { reason: reason.to_owned(), until }).await;
            Ok("put_off")
        }
        Err(Decision::Retry { reason, after, error }) => {
            let at = (job.claim.step, job.claim.attempt);
            let mut failure = Failure::of(reason, error.as_ref(), at, Some(context.worker_id), now);
            if is_outage(reason) {
                failure.since = Some(outage_since(context, job, reason, now).await?);
            }
            let outage = failure.since.map(|since| now - since);
            if outage.is_some_and(|lasted| lasted >= LONGEST_OUTAGE) {
                return die(context, job, outage_too_long(reason), Some(failure), now).await;
            }
            let first = job.progressed.load(Ordering::Relaxed);
            if is_try(reason) && !first && claimed.step_attempt >= tries(context, reason) {
                let problem = with_last_error(too_many_attempts(claimed.step_attempt), &failure);
                return die(context, job, problem, Some(failure), now).await;
            }
            warn!(
                job.attempt = job.claim.attempt,
                job.reason = reason,
                error = error.as_ref() as &dyn std::error::Error,
                "job {job_id} is tried again later"
            );
            let pause = after.unwrap_or_else(|| match outage {
                Some(lasted) => pause_in_outage(lasted),
                None => pause_before_retry(claimed.step_attempt),
            });
            let until = now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1));
            let next = same_step(context, job, claimed, until);
            failpoint::hit("worker.put_off");
            let is_try = is_try(reason);
            // That a model is left alone is no news of why: what it failed with stays.
            let keep = is_try || outage.is_some();
            let why = PutOff { reason, is_try, failure: keep.then_some(&failure) };
            with_calls(job, |calls| async move {
                context.store.put_off(job.workspace, &job.claim, why, next, &calls, now).await
            })
            .await?;
            let step = job.claim.step.as_str();
            metrics::JOB_WAITS.of([step.into(), reason.into()]).increment(1);
            job.emitter.emit(Event::Waiting { reason: reason.to_owned(), until }).await;
            Ok("put_off")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_no_tries_and_are_looked_at_once_a_minute_at_the_least() {
        assert!(is_try("model_unavailable") && is_try("handler_panicked"));
        for reason in ["store_unavailable", "objects_unavailable", "model_breaker_open"] {
            assert!(!is_try(reason), "{reason}");
        }
        let pauses = [0, 1, 10, 60, 600, 80_000]
            .map(|lasted| pause_in_outage(TimeDelta::seconds(lasted)).as_secs());
        assert_eq!(pauses, [1, 1, 5, 30, 60, 60]);
        let told = outage_too_long("objects_unavailable").detail;
        assert!(told.contains("stored files") && told.contains("24 hours"), "{told}");
    }
}
