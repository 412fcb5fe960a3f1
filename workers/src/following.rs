//! Steps that follow at once on the one before, in the same process.
//!
//! Between two steps of a job a message costs more than the step's own writing: a publish
//! with its confirm, a delivery, a claim, and reading again what was at hand. So a process
//! that runs both steps goes on by itself while it has a slot. It has as many slots for
//! this as it takes messages of the step, and where they are full, or where the step is
//! not this process's, the step is queued.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use quaestor_core::events::Event;
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::Step;
use quaestor_core::ports::model_call::CallLog;
use quaestor_core::ports::store::{
    Advance, Claim, Claimed, Grounding, Kept, QuestionContext, StoreError,
};
use quaestor_core::scaling::PerStep;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::Context;
use crate::emitter::Emitter;
use crate::registry::Running;
use crate::scaling::Places;

/// The steps that this process goes on with, and their slots.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    steps: Arc<[Step]>,
    places: Places,
    taken: Arc<Mutex<PerStep<u16>>>,
    stop: CancellationToken,
}

/// A slot. Dropped, it is free.
#[derive(Debug)]
pub(crate) struct Slot {
    taken: Arc<Mutex<PerStep<u16>>>,
    step: Step,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = taken.of_mut(self.step);
        *taken = taken.saturating_sub(1);
    }
}

impl Following {
    /// Slots for each of the steps, until `stop`: then others shall go on.
    pub(crate) fn new(steps: &[Step], places: &Places, stop: CancellationToken) -> Self {
        Self { steps: steps.into(), places: places.clone(), taken: Arc::default(), stop }
    }

    /// A slot for the step, if it may follow at once.
    pub(crate) fn slot(&self, step: Step) -> Option<Slot> {
        if self.stop.is_cancelled() || !self.steps.contains(&step) {
            return None;
        }
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.of_mut(step);
        if *taken >= self.places.of(step) {
            return None;
        }
        *taken += 1;
        drop(all);
        Some(Slot { taken: Arc::clone(&self.taken), step })
    }
}

/// The claim of a worker that goes on by itself.
pub(crate) fn kept(context: &Context) -> Kept {
    let lease = TimeDelta::from_std(context.settings.lease).unwrap_or(TimeDelta::seconds(30));
    Kept { worker: context.worker_id, lease_until: context.clock.now() + lease }
}

/// Hands back the step that would have followed, where the store kept it although its
/// answer was lost. False where it did not, or cannot say.
pub(crate) async fn give_up(
    context: &Context,
    job: &Running,
    kept: OutboxId,
    payload: &Value,
) -> bool {
    let step = Step::ChatGenerate;
    let claim =
        Claim { job_id: job.claim.job_id, step, attempt: job.claim.attempt + 1, outbox_id: kept };
    let now = context.clock.now();
    let next = Advance {
        step,
        payload: payload.clone(),
        outbox_id: context.ids.next(),
        due_at: now,
        kept: None,
    };
    match context.store.hand_back(job.workspace, &claim, next, &[], now).await {
        Ok(()) => {
            context.wake.notify();
            true
        }
        Err(StoreError::Fenced) => false,
        Err(error) => {
            // If it was kept after all, the lease runs out, and the sweep queues it.
            warn!(
                error = &error as &dyn std::error::Error,
                "could not tell whether job {} was kept", claim.job_id
            );
            false
        }
    }
}

/// A step that follows, whose claim the store has kept.
#[derive(Debug)]
pub(crate) struct Next {
    /// The requests to models of the step before, which are written with this one's.
    pub(crate) calls: CallLog,
    /// Given back when the step has ended.
    pub(crate) slot: Slot,
    /// The step.
    pub(crate) step: Step,
    /// Its payload.
    pub(crate) payload: Value,
    /// Its outbox row.
    pub(crate) outbox_id: OutboxId,
    /// The job's wish to be cancelled, which may have come by now.
    pub(crate) cancel: CancellationToken,
    /// What need not be read again.
    pub(crate) carried: Carried,
    /// The trace context of the step before, where traces are kept.
    pub(crate) traceparent: Option<String>,
    /// What the step before has still to tell: it goes out while this one begins.
    pub(crate) last_word: (Emitter, Event),
}

impl Next {
    /// The claim under which the step runs.
    pub(crate) fn claimed(&self, before: &Claimed) -> Claimed {
        Claimed {
            claim: Claim {
                job_id: before.claim.job_id,
                step: self.step,
                attempt: before.claim.attempt + 1,
                outbox_id: self.outbox_id,
            },
            restarted: false,
            step_attempt: 1,
            payload: self.payload.clone(),
            principal_id: before.principal_id,
            deadline: before.deadline,
            created_at: before.created_at,
        }
    }
}

/// What a step hands to the one that follows at once. A step that was queued finds
/// nothing, and reads it from the store.
#[derive(Debug)]
pub(crate) enum Carried {
    /// Nothing.
    Nothing,
    /// A question and what was found for it.
    Question(Box<(QuestionContext, Grounding)>),
}
