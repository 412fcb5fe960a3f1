//! Tells which queues this process takes, so that a job can say whether anybody will come.

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::jobs::Step;
use quaestor_core::model::{Taking, WORKERS_TOPIC};
use quaestor_core::ports::model_call::Readiness;
use quaestor_core::ports::noticeboard::Noticeboard;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How often it is told. A process that ends is forgotten after three times as long.
const EVERY: Duration = Duration::from_secs(5);

/// Puts the notice up until `stop`, and takes it down then.
pub async fn tell_presence(
    context: Context,
    steps: Vec<Step>,
    board: Arc<dyn Noticeboard>,
    stop: CancellationToken,
) {
    let taking = |step: &Step| Taking {
        step: *step,
        slots: context.places.of(*step),
        paused_until: match context.readiness(*step) {
            Readiness::NotBefore(until) => Some(until),
            Readiness::Ready | Readiness::Trial => None,
        },
    };
    while !stop.is_cancelled() {
        let notice: Vec<Taking> = steps.iter().map(taking).collect();
        let notice = serde_json::json!(notice);
        board.post(WORKERS_TOPIC, context.worker_id, notice, 3 * EVERY).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = context.clock.sleep(EVERY) => {}
        }
    }
    let nothing = serde_json::json!([]);
    board.post(WORKERS_TOPIC, context.worker_id, nothing, EVERY).await;
}
