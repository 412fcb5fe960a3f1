//! What this process has done of each step, in counts that only rise, and how much it does now.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quaestor_core::jobs::Step;
use quaestor_core::metrics;
use quaestor_core::ports::model_call::Asked;
use quaestor_core::scaling::PerStep;
use quaestor_core::scaling::notice::Worked;

/// The counts. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Work(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    done: Mutex<PerStep<Done>>,
    busy: AtomicU32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Done {
    left: u64,
    held_s: f64,
    asked: Asked,
}

impl Work {
    fn done(&self) -> MutexGuard<'_, PerStep<Done>> {
        self.0.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many steps run at the moment.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.0.busy.load(Ordering::Relaxed)
    }

    /// Counts a step that runs, until what is returned is dropped.
    pub(crate) fn begin(&self, step: Step) -> Running {
        metrics::STEPS_RUNNING.of([step.as_str().into()]).increment(1.0);
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Running { work: self.clone(), step }
    }

    /// Counts a step that has ended, with what it asked of providers.
    pub(crate) fn ended(&self, step: Step, held_s: f64, asked: Asked) {
        let mut done = self.done();
        let done = done.of_mut(step);
        done.left += 1;
        done.held_s += held_s.max(0.0);
        done.asked.requests += asked.requests;
        done.asked.tokens += asked.tokens;
    }

    /// The counts, to be told.
    pub(crate) fn told(&self, steps: &[Step], takes: bool) -> Vec<Worked> {
        let done = *self.done();
        let told = |step: &Step| {
            let Done { left, held_s, asked } = *done.of(*step);
            let Asked { requests, tokens } = asked;
            Worked { step: *step, takes, left, held_s, requests, tokens }
        };
        steps.iter().map(told).collect()
    }
}

/// A step that runs.
#[derive(Debug)]
pub(crate) struct Running {
    work: Work,
    step: Step,
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::STEPS_RUNNING.of([self.step.as_str().into()]).decrement(1.0);
        self.work.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
