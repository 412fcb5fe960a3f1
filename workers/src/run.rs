//! The worker loop: takes messages, claims jobs, runs handlers, and has what came out settled.
//!
//! A step that ends by handing its job on may be followed by the next one at once, in the
//! same process, where that has a slot for it: no message, no second claim, and what the
//! first has read need not be read again.
//!
//! Stopping has two phases. When `Drain::begin` is cancelled, no more messages are taken
//! and running jobs go on. When they have not ended within the drain time, they are
//! handed back: queued again, without harm, for the next worker.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::TimeDelta;
use futures::FutureExt;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::model::{Job, JobState, Reason};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::queue::Delivery;
use quaestor_core::ports::store::{
    Claim, ClaimOutcome, ClaimRequest, Claimed, Heartbeat, StoreError, Unclaimed,
};
use quaestor_core::problem::Problem;
use quaestor_core::{metrics, trace};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, info, info_span, warn};

use crate::consume::consume;
use crate::context::Context;
use crate::decision::{Decision, Outcome, pause_before_retry};
use crate::emitter::Emitter;
use crate::fair::{Fair, Seat, WORKSPACE_BUSY};
use crate::following::{Carried, Following, Next};
use crate::registry::{Registry, Running};
use crate::settle::{give_step_back, settle, too_many_attempts};
use crate::sweep::deadline_passed;

/// How long a handler whose claim is gone may still say how it ended.
const LAST_WORD: std::time::Duration = std::time::Duration::from_secs(1);

/// A file of a paused batch is called up when the batch is resumed. This is the net under
/// that, and costs a look at each such file as often.
const LOOK_AGAIN: TimeDelta = TimeDelta::hours(1);

/// How the workers are stopped.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// Cancel this to stop taking work. Running jobs go on.
    pub begin: CancellationToken,
    /// From when this is cancelled on, they get the drain time. The same token as `begin`, but
    /// where whoever has this process stop waits for its jobs, however long they take.
    pub hurry: CancellationToken,
}

/// What the tasks of one process share.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) context: Context,
    registry: Arc<Registry>,
    following: Following,
    fair: Fair,
    pub(crate) stop: CancellationToken,
    /// Cancelled when the drain time is over.
    hand_back: CancellationToken,
    pub(crate) running: TaskTracker,
}

/// Takes and runs the given steps until drained. Returns when no job is running any more.
pub async fn run_workers(context: Context, steps: Vec<Step>, drain: Drain) {
    let worker = Worker {
        following: Following::new(&steps, &context.places, drain.begin.clone()),
        fair: Fair::new(&steps, &context.places, context.settings.chat_per_workspace),
        context,
        registry: Arc::new(Registry::of_all()),
        stop: drain.begin,
        hand_back: CancellationToken::new(),
        running: TaskTracker::new(),
    };
    let consumers = TaskTracker::new();
    for step in steps {
        consumers.spawn(consume(worker.clone(), step));
    }
    consumers.close();
    tokio::join!(consumers.wait(), worker.fair.tend(&worker.context, &worker.stop));
    let Worker { context, hand_back, running, .. } = worker;
    running.close();
    let patience = async {
        drain.hurry.cancelled().await;
        context.clock.sleep(context.settings.drain).await;
    };
    tokio::select! {
        () = running.wait() => return,
        () = patience => {}
    }
    warn!(jobs = running.len(), "handing {} running jobs back", running.len());
    hand_back.cancel();
    running.wait().await;
}

impl Worker {
    /// Deals with one message, and with the steps that follow at once. Wishes to cancel
    /// are listened to all the while.
    pub(crate) async fn run_delivery(&self, delivery: Delivery) {
        let envelope = delivery.envelope.clone();
        if envelope.deadline.is_some_and(|deadline| deadline <= self.context.clock.now()) {
            // Nobody wants it any more. The sweep ends all such jobs together; a claim for
            // each would hold up the fresh ones behind them.
            metrics::MESSAGES_EXPIRED.of([envelope.step.as_str().into()]).increment(1);
            acknowledge(delivery).await;
            return;
        }
        let Some(_seat) = self.take_turn(&envelope).await else {
            acknowledge(delivery).await;
            return;
        };
        let wish = Notify::new();
        let listen = async {
            loop {
                let (workspace, job) = (envelope.workspace_id, envelope.job_id);
                self.context.events.cancel_requested(workspace, job).await;
                wish.notify_one();
            }
        };
        let deal = async {
            let mut next = self.settle_delivery(delivery, &envelope, &wish).await;
            while let Some((claimed, follow)) = next {
                let Claim { step, attempt, job_id, .. } = claimed.claim;
                let span = info_span!("following", job.step = %step);
                let traced = trace::process(step, job_id, attempt, follow.traceparent.as_deref());
                let run = self.run_claimed(&envelope, claimed, Some(follow), &wish, &traced);
                next = run.instrument(traced.clone()).instrument(span).await;
            }
        };
        tokio::select! {
            () = deal => {}
            () = listen => {}
        }
    }

    /// Lets a question in, or has it wait in the store: then there is no seat for it.
    /// Other steps need none.
    async fn take_turn(&self, envelope: &Envelope) -> Option<Option<Seat>> {
        let Envelope { workspace_id: workspace, job_id, step, outbox_id, .. } = *envelope;
        let begun = match step {
            Step::ChatRetrieve => false,
            Step::ChatGenerate => true,
            Step::DocumentsIngest
            | Step::DocumentsEmbed
            | Step::CollectionsReindex
            | Step::ExportsWrite => return Some(None),
        };
        let context = &self.context;
        let now = context.clock.now();
        let due_at = match self.fair.enter(workspace, job_id, begun, now) {
            Ok(seat) => return Some(Some(seat)),
            Err(due_at) => due_at,
        };
        let next_outbox_id = context.ids.next();
        let reason = WORKSPACE_BUSY;
        let step = Unclaimed { job_id, step, outbox_id, next_outbox_id, reason, due_at, now };
        match context.store.put_off_unclaimed(workspace, step).await {
            Ok(true) => {
                metrics::JOB_WAITS.of([envelope.step.as_str().into(), reason.into()]).increment(1);
                self.fair.waits();
                return None;
            }
            // Somebody has it, or it has ended: the claim says which.
            Ok(false) => {}
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "could not have job {job_id} wait its turn"
            ),
        }
        Some(Some(self.fair.let_in(workspace, job_id)))
    }

    /// Deals with one message from claim to acknowledgement. Returns what follows.
    async fn settle_delivery(
        &self,
        delivery: Delivery,
        envelope: &Envelope,
        wish: &Notify,
    ) -> Option<(Claimed, Next)> {
        let context = &self.context;
        let mut next = None;
        let (parent, step) = (envelope.traceparent.as_deref(), envelope.step);
        let settled = match claim_or_wait(context, envelope).await {
            Ok(ClaimOutcome::Claimed(claimed)) => {
                failpoint::hit("worker.after_claim");
                let waited = metrics::seconds(envelope.enqueued_at, context.clock.now());
                metrics::QUEUE_WAIT.of([step.as_str().into()]).record(waited);
                let traced = trace::process(step, envelope.job_id, claimed.claim.attempt, parent);
                let run = self.run_claimed(envelope, *claimed, None, wish, &traced);
                next = run.instrument(traced.clone()).await;
                !failpoint::error("worker.before_ack")
            }
            Ok(ClaimOutcome::Ended { job }) => {
                // A worker died between its commit and its event: tell the watchers now.
                tell_end(context, envelope, &job).await;
                true
            }
            Ok(ClaimOutcome::Cancelled { attempt }) => {
                emitter(context, envelope, attempt).emit(Event::Cancelled).await;
                true
            }
            Ok(ClaimOutcome::Stale) => true,
            // Paused and resumed again and again while it was looked at: whoever takes it next
            // finds out.
            Ok(ClaimOutcome::BatchPaused) => false,
            Ok(ClaimOutcome::Held { until }) => {
                info!(job.held_until = %until, "job {} is held by another worker", envelope.job_id);
                // The sweep queues it again should that worker be gone when its lease ends.
                true
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not claim job {}", envelope.job_id
                );
                context.clock.sleep(pause_before_retry(1)).await;
                false
            }
        };
        let result = if settled { delivery.ack().await } else { delivery.give_back().await };
        if let Err(error) = result {
            // The message comes again, and the claim will say that there is nothing to do.
            warn!(error = &error as &dyn std::error::Error, "could not settle a message");
        }
        next
    }

    /// Runs a claimed step and settles it. Returns the step that follows at once.
    async fn run_claimed(
        &self,
        envelope: &Envelope,
        claimed: Claimed,
        follows: Option<Next>,
        wish: &Notify,
        traced: &Span,
    ) -> Option<(Claimed, Next)> {
        let context = &self.context;
        let _counted = context.work.begin(claimed.claim.step);
        let started_at = context.clock.now();
        let claim = claimed.claim.clone();
        // The slot is held until the step has ended.
        let mut scope = CallScope::of(envelope.workspace_id, Some(claimed.principal_id)).for_job(
            claim.job_id,
            claim.attempt,
            claimed.deadline,
        );
        let (_slot, cancel, carried, last_word) = match follows {
            Some(Next { slot, cancel, carried, last_word, calls, .. }) => {
                scope.calls = calls;
                (Some(slot), cancel, carried, Some(last_word))
            }
            None => (None, CancellationToken::new(), Carried::Nothing, None),
        };
        let job = Running {
            workspace: envelope.workspace_id,
            claim: claim.clone(),
            scope,
            emitter: emitter(context, envelope, claim.attempt),
            cancel,
            progressed: AtomicBool::new(false),
            carried,
            following: self.following.clone(),
        };
        let asked_before = job.scope.calls.asked();
        let (attempt, traceparent) = (claim.attempt, trace::context_of(traced));
        let first = if claimed.restarted {
            Event::Restarted { attempt, traceparent: traceparent.clone() }
        } else {
            Event::Started { attempt, traceparent: traceparent.clone() }
        };
        let run = async {
            if claimed.step_attempt > context.settings.max_step_attempts {
                return Some(Err(Decision::Fail(too_many_attempts(claimed.step_attempt - 1))));
            }
            if claimed.deadline.is_some_and(|deadline| deadline <= started_at) {
                return Some(Err(Decision::Fail(deadline_passed())));
            }
            let Some(handler) = self.registry.of(claim.step) else {
                return Some(Err(Decision::Fail(Problem::new(
                    "unknown_step",
                    "No worker knows this step",
                    format!("this version has no handler for {}", claim.step),
                ))));
            };
            tokio::select! {
                // The result first: work that is done is not thrown away.
                biased;
                result = caught(handler(context, &job, claimed.payload.clone())) => Some(result),
                () = watch_over(context, &job, wish) => Some(Err(Decision::Fenced)),
                () = self.hand_back.cancelled() => {
                    give_step_back(context, &job, &claimed).await;
                    None
                }
            }
        };
        // The work does not wait until its beginning was told; what it tells itself does.
        let ((), result) = tokio::join!(job.emitter.begin(last_word, first), run);
        let result = result?;
        let mut next: Option<Next> = None;
        let outcome = match result {
            Ok(Outcome::Followed(follow)) => {
                next = Some(Next { traceparent, ..*follow });
                "followed"
            }
            result => settle(context, &job, &claimed, result).await,
        };
        trace::processed(traced, outcome);
        measure(context, &claimed, started_at, outcome);
        let (asked, held) = (job.scope.calls.asked(), context.clock.now());
        let asked = asked.since(asked_before);
        context.work.ended(claimed.claim.step, metrics::seconds(started_at, held), asked);
        next.map(|next| (next.claimed(&claimed), next))
    }
}

/// What is told of a step that has ended, and of its job where that has.
fn measure(context: &Context, claimed: &Claimed, started_at: Time, outcome: &'static str) {
    let now = context.clock.now();
    let step = claimed.claim.step.as_str();
    metrics::STEP_SECONDS.of([step.into()]).record(metrics::seconds(started_at, now));
    metrics::STEP_TRIES.of([step.into()]).record(f64::from(claimed.step_attempt));
    metrics::STEPS.of([step.into(), outcome.into()]).increment(1);
    let ended = match outcome {
        "done" | "subject_gone" => "done",
        ended @ ("failed" | "dead" | "cancelled") => ended,
        _ => return,
    };
    let kind = claimed.claim.step.kind().as_str();
    let took = metrics::seconds(claimed.created_at, now);
    metrics::JOB_SECONDS.of([kind.into(), ended.into()]).record(took);
}

/// Runs a handler. One that panics is a try that failed: the process lives, its other jobs go
/// on, and the job is tried again as often as any.
async fn caught(
    handler: impl Future<Output = Result<Outcome, Decision>>,
) -> Result<Outcome, Decision> {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            let said = said.unwrap_or_else(|| "it said nothing".to_owned());
            metrics::HANDLER_PANICS.of([]).increment(1);
            Err(Decision::retry("handler_panicked", Panicked(said)))
        }
    }
}

/// A handler panicked, which is an error of the program.
#[derive(Debug, thiserror::Error)]
#[error("the step panicked, which is an error of this program: {0}")]
struct Panicked(String);

async fn acknowledge(delivery: Delivery) {
    if let Err(error) = delivery.ack().await {
        // The message comes again, and is found to be of no use.
        warn!(error = &error as &dyn std::error::Error, "could not settle a message");
    }
}

fn emitter(context: &Context, envelope: &Envelope, attempt: u32) -> Emitter {
    Emitter::new(context.events.clone(), envelope.workspace_id, envelope.job_id, attempt)
}

async fn claim(context: &Context, envelope: &Envelope) -> Result<ClaimOutcome, StoreError> {
    let now = context.clock.now();
    let request = ClaimRequest {
        job_id: envelope.job_id,
        step: envelope.step,
        outbox_id: envelope.outbox_id,
        worker: context.worker_id,
        now,
        lease_until: lease_until(context, now),
    };
    failpoint::store("worker.before_claim")?;
    context.store.claim(envelope.workspace_id, request).await
}

/// Claims a step. One whose batch is paused waits in the store until it is resumed; should
/// that happen at this moment, it is claimed after all.
async fn claim_or_wait(context: &Context, envelope: &Envelope) -> Result<ClaimOutcome, StoreError> {
    /// How often a batch may be paused and resumed while one of its files is looked at.
    const ROUNDS: usize = 3;
    let mut outcome = claim(context, envelope).await?;
    for _ in 0..ROUNDS {
        if outcome != ClaimOutcome::BatchPaused {
            break;
        }
        let now = context.clock.now();
        let step = Unclaimed {
            job_id: envelope.job_id,
            step: envelope.step,
            outbox_id: envelope.outbox_id,
            next_outbox_id: context.ids.next(),
            reason: Reason::BatchPaused.as_str(),
            due_at: now + LOOK_AGAIN,
            now,
        };
        failpoint::store("worker.batch_paused")?;
        if context.store.wait_for_batch(envelope.workspace_id, step).await? {
            // It waits in the store, under another message.
            return Ok(ClaimOutcome::Stale);
        }
        outcome = claim(context, envelope).await?;
    }
    Ok(outcome)
}

fn lease_until(context: &Context, now: Time) -> Time {
    now + TimeDelta::from_std(context.settings.lease).unwrap_or(TimeDelta::seconds(30))
}

async fn tell_end(context: &Context, envelope: &Envelope, job: &Job) {
    let event = match job.state {
        JobState::Done => Event::Done { usage: None },
        JobState::Cancelled => Event::Cancelled,
        JobState::Failed | JobState::Dead => Event::Failed {
            problem: job.problem.clone().unwrap_or_else(|| {
                Problem::new("failed", "The job failed", "the reason was not kept")
            }),
        },
        JobState::Queued | JobState::Running | JobState::Waiting => return,
    };
    emitter(context, envelope, job.attempt).emit(event).await;
}

/// Keeps the lease while the handler runs, and passes a wish to cancel on to it. Returns
/// only when the job is no longer ours.
async fn watch_over(context: &Context, job: &Running, wish: &Notify) {
    loop {
        let wished = tokio::select! {
            () = context.clock.sleep(context.settings.heartbeat) => None,
            () = wish.notified() => Some(Wished(wish)),
        };
        let until = lease_until(context, context.clock.now());
        match context.store.heartbeat(job.workspace, &job.claim, until).await {
            Ok(Heartbeat::Held) => {}
            Ok(Heartbeat::CancelRequested) => job.cancel.cancel(),
            Ok(Heartbeat::Lost) => {
                // The handler may just have ended its own claim: its word comes first.
                context.clock.sleep(LAST_WORD).await;
                return;
            }
            // The lease is longer than a heartbeat: the next one may still be in time.
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a heartbeat failed"),
        }
        if let Some(wished) = wished {
            wished.answered();
        }
    }
}

/// A wish to cancel that the store was not asked about yet. Should the step end meanwhile,
/// the one that follows asks.
struct Wished<'a>(&'a Notify);

impl Wished<'_> {
    fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Wished<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
