//! Reckons what is wanted, where this is the process that does.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkerId;
use quaestor_core::jobs::Step;
use quaestor_core::metrics;
use quaestor_core::ports::noticeboard::Noticeboard;
use quaestor_core::scaling::notice::{WANTED_TOPIC, Wanted, Worked};
use quaestor_core::scaling::plan::Planner;
use tracing::{info, warn};

use super::{KEPT, read_wanted};
use crate::context::Context;
use crate::fair::WORKSPACE_BUSY;

/// The lease's name.
const LEASE: &str = "scaling";
/// How long the lease holds unless it is renewed, which it is every second. Another process
/// reckons so long after this one has died.
const HOLDS: Duration = Duration::from_secs(5);
/// A look at the store is followed by so many times its own length without one, so that a
/// large backlog is not looked at all the time; but not for longer than this: what is wanted
/// would come too late.
const REST: i32 = 10;
const LONGEST_REST: TimeDelta = TimeDelta::milliseconds(1_000);

/// What this process knows as the one that reckons.
pub(super) struct Lead {
    board: Arc<dyn Noticeboard>,
    planner: Option<Planner>,
    next_look: Option<Time>,
    last: Option<Wanted>,
    /// Whether it was told that it cannot be reckoned; it is told once.
    failing: bool,
}

impl Lead {
    pub(super) fn new(board: Arc<dyn Noticeboard>) -> Self {
        Self { board, planner: None, next_look: None, last: None, failing: false }
    }

    fn fails(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(error, "how many slots the queues need is not known; everything stays as it is");
        }
    }

    /// Tells what is wanted, where this process holds the lease.
    pub(super) async fn go_on(&mut self, context: &Context, told: &[(WorkerId, Vec<Worked>)]) {
        match self.board.lead(LEASE, context.worker_id, HOLDS).await {
            Ok(true) => {}
            Ok(false) => return self.forget(),
            Err(error) => {
                self.fails(&error);
                return self.forget();
            }
        }
        let began = context.clock.now();
        if self.next_look.is_some_and(|at| began < at) {
            if let Some(last) = &self.last {
                let notice = serde_json::json!(last);
                self.board.post(WANTED_TOPIC, context.worker_id, notice, KEPT).await;
            }
            return;
        }
        let loads = match context.store.queue_loads(WORKSPACE_BUSY, began).await {
            Ok(loads) => loads,
            Err(error) => {
                self.fails(&error);
                return silent();
            }
        };
        self.failing = false;
        let now = context.clock.now();
        self.next_look = Some(now + ((now - began) * REST).min(LONGEST_REST));
        if self.planner.is_none() {
            let former = read_wanted(&*self.board).await;
            let settings = &context.settings.scaling;
            let (aims, pace) = (settings.aims.clone(), settings.pace);
            info!("this process reckons how many slots the queues need");
            self.planner = Some(Planner::new(aims, pace, now, former.as_ref()));
        }
        let Some(planner) = &mut self.planner else { return };
        let wanted = planner.reckon(now, &loads, told);
        show(&wanted);
        let notice = serde_json::json!(wanted);
        self.board.post(WANTED_TOPIC, context.worker_id, notice, KEPT).await;
        self.last = Some(wanted);
    }

    /// Has another process lead, or knows that one does. What it tells is not told here, too.
    fn forget(&mut self) {
        if self.planner.take().is_some() {
            info!("another process reckons how many slots the queues need");
            self.last = None;
            silent();
        }
    }

    /// Lets another process lead at once.
    pub(super) async fn give_up(mut self, context: &Context) {
        if self.planner.is_some() {
            // Should it fail, the lease ends soon by itself.
            let _ = self.board.lead(LEASE, context.worker_id, Duration::ZERO).await;
            self.forget();
        }
    }
}

fn show(wanted: &Wanted) {
    for queue in &wanted.queues {
        let name = || [queue.step.as_str().into()];
        metrics::DESIRED_WORKERS.of(name()).set(f64::from(queue.slots));
        metrics::QUEUE_RUNNING.of(name()).set(queue.running as f64);
        metrics::QUEUE_ARRIVALS.of(name()).set(queue.arrivals_per_s);
        metrics::QUEUE_SERVICE.of(name()).set(queue.service_s);
    }
}

/// What this process has told is told by another, or by nobody.
fn silent() {
    for step in Step::ALL {
        for gauge in [
            &metrics::DESIRED_WORKERS,
            &metrics::QUEUE_RUNNING,
            &metrics::QUEUE_ARRIVALS,
            &metrics::QUEUE_SERVICE,
        ] {
            gauge.of([step.as_str().into()]).set(f64::NAN);
        }
    }
}
