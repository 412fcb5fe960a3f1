//! Which messages a worker takes from a queue, and how many at once.
//!
//! The slots of a step change while the process runs. A queue gives a consumer as many messages
//! as it asked for when it began, so more slots are a further consumer, and fewer are one that
//! stops: what it has taken runs to its end, and counts against the slots until then. So nothing
//! is taken that has to lie here and wait, and never does more run than there are slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::jobs::Step;
use quaestor_core::ports::model_call::Readiness;
use quaestor_core::ports::queue::Consumer;
use quaestor_core::{metrics, trace};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span, warn};

use crate::run::Worker;

/// How often it is looked whether a call has shown that a model is back: an answer may go on
/// for minutes after that.
const TRIAL_LOOK: Duration = Duration::from_millis(50);
/// How long a queue is left alone that could not be consumed.
const PAUSE: Duration = Duration::from_secs(1);
/// Beyond so many consumers of one queue, those that stand idle are made one.
const ENOUGH: usize = 4;

/// Takes messages of a step until the worker is to stop: none while the step's model is left
/// alone, so that they stay where other workers can have them, and one while it is not known
/// whether the model is back.
pub(crate) async fn consume(worker: Worker, step: Step) {
    let mut places = worker.context.places.watch();
    let mut takers = Takers::new(worker.clone(), step);
    while !worker.stop.is_cancelled() {
        let readiness = worker.context.readiness(step);
        let slots = *places.borrow_and_update().of(step);
        metrics::STEP_SLOTS.of([step.as_str().into()]).set(f64::from(slots));
        let look_at = match readiness {
            Readiness::NotBefore(until) => {
                takers.stop_all().await;
                if !takers.paused {
                    warn!(job.step = %step, "{step} is not taken before {until}: its model is left alone");
                }
                takers.pause(true);
                Some(until)
            }
            Readiness::Ready | Readiness::Trial => {
                takers.pause(false);
                let slots = if readiness == Readiness::Trial { 1 } else { slots };
                takers.adjust(slots, readiness).await
            }
        };
        tokio::select! {
            () = worker.stop.cancelled() => {}
            _ = places.changed() => {}
            () = takers.moved.notified() => {}
            () = sleep_until(&worker, look_at) => {}
        }
    }
    takers.stop_all().await;
}

async fn sleep_until(worker: &Worker, moment: Option<Time>) {
    match moment {
        Some(moment) => worker.context.clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The consumers of one queue.
struct Takers {
    worker: Worker,
    step: Step,
    takers: Vec<Taker>,
    /// What those hold that have stopped.
    leaving: Vec<Arc<Holds>>,
    /// One has stopped, or what it held was settled.
    moved: Arc<Notify>,
    tasks: TaskTracker,
    paused: bool,
}

/// A consumer.
struct Taker {
    slots: u16,
    readiness: Readiness,
    holds: Arc<Holds>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The messages that one consumer has taken and not settled.
#[derive(Debug)]
struct Holds {
    count: AtomicU16,
    /// Somebody waits for it to come to nought.
    waited_for: AtomicBool,
    moved: Arc<Notify>,
}

/// One of them.
#[derive(Debug)]
struct Held(Arc<Holds>);

impl Held {
    fn of(holds: &Arc<Holds>) -> Self {
        holds.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(holds))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        if self.0.waited_for.load(Ordering::Acquire) {
            self.0.moved.notify_one();
        }
    }
}

impl Holds {
    fn count(&self) -> u16 {
        self.count.load(Ordering::Acquire)
    }
}

impl Takers {
    fn new(worker: Worker, step: Step) -> Self {
        Self {
            worker,
            step,
            takers: Vec::new(),
            leaving: Vec::new(),
            moved: Arc::default(),
            tasks: TaskTracker::new(),
            paused: false,
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        metrics::QUEUE_PAUSED.of([self.step.as_str().into()]).set(f64::from(u8::from(paused)));
    }

    /// Takes so many messages at once from now on, or as soon as what was taken before allows
    /// it. Gives the moment to look again where the queue could not be consumed.
    async fn adjust(&mut self, slots: u16, readiness: Readiness) -> Option<Time> {
        let (there, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.takers)
            .into_iter()
            .partition(|taker| !taker.task.is_finished() && taker.readiness == readiness);
        self.takers = there;
        self.stop(gone).await;
        let mut surplus = Vec::new();
        while self.live() > slots {
            surplus.extend(self.takers.pop());
        }
        if self.takers.len() > ENOUGH {
            let (idle, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.takers)
                .into_iter()
                .partition(|taker| taker.holds.count() == 0);
            self.takers = busy;
            surplus.extend(idle);
        }
        self.stop(surplus).await;
        self.leaving.retain(|holds| holds.count() > 0);
        let leaving: u16 = self.leaving.iter().map(|holds| holds.count()).sum();
        let free = slots.saturating_sub(self.live()).saturating_sub(leaving);
        if free == 0 {
            return None;
        }
        let context = &self.worker.context;
        match context.queue.consume(self.step, free).await {
            Ok(consumer) => {
                self.begin(consumer, free, readiness);
                None
            }
            Err(error) => {
                let step = self.step;
                error!(job.step = %step, error = &error as &dyn std::error::Error, "could not consume {step}");
                Some(context.clock.now() + PAUSE)
            }
        }
    }

    fn begin(&mut self, consumer: Box<dyn Consumer>, slots: u16, readiness: Readiness) {
        let moved = Arc::clone(&self.moved);
        let holds = Arc::new(Holds {
            count: AtomicU16::new(0),
            waited_for: AtomicBool::new(false),
            moved: Arc::clone(&moved),
        });
        let stop = self.worker.stop.child_token();
        let (worker, step) = (self.worker.clone(), self.step);
        let (held, stopped) = (Arc::clone(&holds), stop.clone());
        let task = self.tasks.spawn(async move {
            take(&worker, consumer, step, readiness, &held, &stopped).await;
            moved.notify_one();
        });
        self.takers.push(Taker { slots, readiness, holds, stop, task });
    }

    /// The slots of those that take messages.
    fn live(&self) -> u16 {
        self.takers.iter().fold(0, |slots, taker| slots.saturating_add(taker.slots))
    }

    /// Has some take nothing more, and returns when they do not: from then on what they hold
    /// only becomes less.
    async fn stop(&mut self, takers: Vec<Taker>) {
        for taker in takers {
            taker.stop.cancel();
            if let Err(error) = taker.task.await {
                error!(job.step = %self.step, error = &error as &dyn std::error::Error, "a consumer failed");
            }
            taker.holds.waited_for.store(true, Ordering::Release);
            self.leaving.push(taker.holds);
            // What was settled just before that line is found by the look that this brings.
            self.moved.notify_one();
        }
    }

    async fn stop_all(&mut self) {
        let all = std::mem::take(&mut self.takers);
        self.stop(all).await;
    }
}

/// Takes messages of a step for as long as its model is as ready as it was, and the queue
/// gives any.
async fn take(
    worker: &Worker,
    mut consumer: Box<dyn Consumer>,
    step: Step,
    readiness: Readiness,
    holds: &Arc<Holds>,
    stop: &CancellationToken,
) {
    while worker.context.readiness(step) == readiness {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else { return };
        let delivery = delivery.holding(Held::of(holds));
        let envelope = &delivery.envelope;
        let span = info_span!(
            "job",
            job.id = %envelope.job_id,
            job.step = %envelope.step,
            workspace.id = %envelope.workspace_id,
            trace.id = envelope.traceparent.as_deref().and_then(trace::id_of),
        );
        let task = worker.clone();
        let running =
            worker.running.spawn(async move { task.run_delivery(delivery).await }.instrument(span));
        if readiness == Readiness::Trial {
            until_decided(worker, step, running, stop).await;
        }
    }
}

/// Returns when one call has shown whether the model is back: nobody else is to try.
async fn until_decided(
    worker: &Worker,
    step: Step,
    mut trial: JoinHandle<()>,
    stop: &CancellationToken,
) {
    while worker.context.readiness(step) == Readiness::Trial {
        tokio::select! {
            _ = &mut trial => return,
            () = stop.cancelled() => return,
            () = worker.context.clock.sleep(TRIAL_LOOK) => {}
        }
    }
}
