//! Which messages a worker takes from a queue, and how many at once.

use std::time::Duration;

use quaestor_core::jobs::Step;
use quaestor_core::ports::model_call::Readiness;
use quaestor_core::ports::queue::Consumer;
use quaestor_core::{metrics, trace};
use tokio::task::JoinHandle;
use tracing::{Instrument, error, info_span, warn};

use crate::run::Worker;

/// How often it is looked whether a call has shown that a model is back: an answer may go on
/// for minutes after that.
const TRIAL_LOOK: Duration = Duration::from_millis(50);

/// Takes messages of a step until the worker is to stop: none while the step's model is left
/// alone, so that they stay where other workers can have them, and one while it is not known
/// whether the model is back.
pub(crate) async fn consume(worker: Worker, step: Step) {
    let context = &worker.context;
    metrics::STEP_SLOTS.of([step.as_str().into()]).set(f64::from(context.settings.slots.of(step)));
    while !worker.stop.is_cancelled() {
        let readiness = context.readiness(step);
        let slots = match readiness {
            Readiness::Ready => context.settings.slots.of(step),
            Readiness::Trial => 1,
            Readiness::NotBefore(until) => {
                warn!(job.step = %step, "{step} is not taken before {until}: its model is left alone");
                paused(step, true);
                tokio::select! {
                    () = worker.stop.cancelled() => {}
                    () = context.clock.sleep_until(until) => {}
                }
                continue;
            }
        };
        paused(step, false);
        match context.queue.consume(step, slots).await {
            Ok(consumer) => take(&worker, consumer, step, readiness).await,
            Err(error) => {
                error!(job.step = %step, error = &error as &dyn std::error::Error, "could not consume {step}");
                tokio::select! {
                    () = worker.stop.cancelled() => {}
                    () = context.clock.sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
}

/// Takes messages of a step for as long as its model is as ready as it was, and the queue
/// gives any.
async fn take(worker: &Worker, mut consumer: Box<dyn Consumer>, step: Step, readiness: Readiness) {
    while worker.context.readiness(step) == readiness {
        let delivery = tokio::select! {
            biased;
            () = worker.stop.cancelled() => return,
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else { return };
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
            until_decided(worker, step, running).await;
        }
    }
}

/// Returns when one call has shown whether the model is back: nobody else is to try.
async fn until_decided(worker: &Worker, step: Step, mut trial: JoinHandle<()>) {
    while worker.context.readiness(step) == Readiness::Trial {
        tokio::select! {
            _ = &mut trial => return,
            () = worker.stop.cancelled() => return,
            () = worker.context.clock.sleep(TRIAL_LOOK) => {}
        }
    }
}

fn paused(step: Step, paused: bool) {
    metrics::QUEUE_PAUSED.of([step.as_str().into()]).set(f64::from(u8::from(paused)));
}
