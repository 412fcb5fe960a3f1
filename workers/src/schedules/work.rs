//! Runs are claimed and done, each by one worker.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::failpoint;
use quaestor_core::model::{RunState, ScheduleRun};
use quaestor_core::ports::store::{ClaimedRun, HeldRun, RunEnd, StoreError};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::fire::told;
use super::{Task, TaskError};
use crate::context::Context;

/// How often a run is begun that gets no further.
const TRIES: u32 = 5;
/// After a failure of the store, how long until a run is claimed again.
const STORE_AGAIN: Duration = Duration::from_secs(5);

/// A run that this process has.
#[derive(Debug)]
pub struct Work<'a> {
    context: &'a Context,
    held: HeldRun,
    run: &'a ScheduleRun,
    checkpoint: Option<Value>,
    progressed: AtomicBool,
}

impl Work<'_> {
    /// The run.
    #[must_use]
    pub fn run(&self) -> &ScheduleRun {
        self.run
    }

    /// How far an earlier attempt came.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Value> {
        self.checkpoint.as_ref()
    }

    /// Writes down how far it is.
    ///
    /// # Errors
    /// Where somebody else has the run, or the store is away.
    pub async fn note(&self, checkpoint: Value) -> Result<(), TaskError> {
        let until = lease_until(self.context);
        match self.context.store.renew_run(self.held, Some(checkpoint), until).await {
            Ok(true) => {
                self.progressed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(false) => Err(TaskError::Lost),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        Self::Again { error: chain(&error), after: Duration::from_mins(1), tried: true }
    }
}

fn lease_until(context: &Context) -> Time {
    let lease = TimeDelta::from_std(context.settings.lease).unwrap_or(TimeDelta::minutes(1));
    context.clock.now() + lease
}

/// Does the runs of a task, one after another, until `stop`.
pub(super) async fn work(
    context: &Context,
    task: &dyn Task,
    mut waiting: watch::Receiver<HashSet<String>>,
    stop: CancellationToken,
) {
    let name = task.name();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = waiting.changed() => if changed.is_err() {
                return;
            },
        }
        if !waiting.borrow_and_update().contains(name) {
            continue;
        }
        let (until, now) = (lease_until(context), context.clock.now());
        match context.store.claim_run(name, until, now).await {
            // Another worker has it.
            Ok(None) => {}
            Ok(Some(claimed)) => {
                failpoint::hit("schedule.after_claim");
                do_one(context, task, claimed, &stop).await;
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not claim a run of {name}");
                context.clock.sleep(STORE_AGAIN).await;
            }
        }
    }
}

async fn do_one(context: &Context, task: &dyn Task, claimed: ClaimedRun, stop: &CancellationToken) {
    let ClaimedRun { held, run, checkpoint } = claimed;
    let name = &run.schedule;
    let work = Work { context, held, run: &run, checkpoint, progressed: AtomicBool::new(false) };
    let done = if run.tries > TRIES {
        let why = run.error.as_deref().unwrap_or("its worker ended each time");
        Err(TaskError::Failed(format!("it was begun {TRIES} times and never ended: {why}")))
    } else {
        tokio::select! {
            done = task.run(context, &work) => done,
            () = renew(context, held) => Err(TaskError::Lost),
            () = stop.cancelled() => Err(TaskError::Again {
                error: "its worker was stopped".to_owned(),
                after: Duration::ZERO,
                tried: false,
            }),
        }
    };
    let tries = if work.progressed.load(Ordering::Relaxed) { 1 } else { run.tries };
    let now = context.clock.now();
    let end = match done {
        Ok(report) => {
            told(name, RunState::Done);
            info!(schedule.name = name, "{name} is done");
            RunEnd::Done { report }
        }
        Err(TaskError::Lost) => {
            warn!(schedule.name = name, "another worker has taken {name} over");
            return;
        }
        Err(TaskError::Again { error, after, tried }) if !tried || tries < TRIES => {
            if tried {
                warn!(schedule.name = name, "{name} is tried again: {error}");
            }
            let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::hours(1));
            RunEnd::Again { error, at: now + after, tried }
        }
        Err(TaskError::Again { error, .. } | TaskError::Failed(error)) => {
            told(name, RunState::Failed);
            error!(schedule.name = name, "{name} failed: {error}");
            RunEnd::Failed { error }
        }
    };
    match context.store.end_run(held, end, now).await {
        Ok(true) => {}
        Ok(false) => warn!(schedule.name = name, "another worker has taken {name} over"),
        // Its lease ends, and it is done once more.
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "could not write down how {name} ended"
            );
        }
    }
}

/// Says that the run is worked on, for as long as it is this worker's.
async fn renew(context: &Context, held: HeldRun) {
    loop {
        context.clock.sleep(context.settings.heartbeat).await;
        match context.store.renew_run(held, None, lease_until(context)).await {
            Ok(true) => {}
            Ok(false) => return,
            // The lease holds for some more rounds.
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not renew a run");
            }
        }
    }
}

/// An error and its causes, in a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
