//! Schedules: each moment that comes makes one run, and one worker does it.
//!
//! Every worker looks. What has come due is taken by setting the next moment where it is still
//! the one that was read, in one transaction with the run that it makes: of any number of
//! processes one does it. A run has a lease, as a job has, and says how far it is: should its
//! worker die, another one goes on.

mod fire;
mod work;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use quaestor_core::ports::store::ScheduleOffer;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
pub use work::Work;
pub(crate) use work::chain;

/// What a process does by the clock.
#[derive(Clone, Debug)]
pub struct SchedulePlan {
    /// Which schedules its configuration has.
    pub offers: Vec<ScheduleOffer>,
    /// What it can do.
    pub tasks: Vec<Arc<dyn Task>>,
}

/// Something that a schedule has done.
#[async_trait]
pub trait Task: Send + Sync + std::fmt::Debug {
    /// Its name in schedules.
    fn name(&self) -> &'static str;

    /// Does it, from where an earlier attempt came to. Returns what came of it.
    async fn run(&self, context: &Context, work: &Work<'_>) -> Result<Value, TaskError>;
}

/// Why something was not done.
#[derive(Debug)]
pub enum TaskError {
    /// Somebody else has the run.
    Lost,
    /// It cannot be done now.
    Again {
        /// Why.
        error: String,
        /// When it may be tried again.
        after: Duration,
        /// Whether this was a try.
        tried: bool,
    },
    /// It cannot be done.
    Failed(String),
}

/// Takes what comes due, and does it, until `stop`. What is under way then is given back, and
/// taken up by another process or at the next start.
pub async fn run_schedules(context: Context, plan: SchedulePlan, stop: CancellationToken) {
    let (waiting, seen) = watch::channel(HashSet::new());
    let firing = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = fire::fire(&context, &plan.offers, &waiting) => {}
        }
    };
    let working = join_all(
        plan.tasks.iter().map(|task| work::work(&context, &**task, seen.clone(), stop.clone())),
    );
    tokio::join!(firing, working);
}
