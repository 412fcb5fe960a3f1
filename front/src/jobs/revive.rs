//! Those who watch a job are told that it was replayed.

use futures::StreamExt;
use futures::stream;
use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::model::{Caller, Reason};
use quaestor_core::ports::store::{ReplayReport, Replayed, ReplayedJob};

use crate::app::App;
use crate::problem::chain;

/// Jobs whose events are appended at once.
const AT_ONCE: usize = 16;

/// Begins the log of each job anew, wakes the relay, and rings for those who follow a
/// conversation. The store is the truth: what cannot be told here is told by the worker's
/// `started`.
pub(crate) async fn tell_replayed(app: &App, caller: &Caller, report: &ReplayReport) {
    if report.replayed == 0 {
        return;
    }
    stream::iter(&report.items).for_each_concurrent(AT_ONCE, |line| tell(app, caller, line)).await;
    app.front.wake.notify();
}

async fn tell(app: &App, caller: &Caller, line: &ReplayedJob) {
    let Replayed::Replayed { attempt, due_at } = line.outcome else { return };
    let job_id = JobId(line.id);
    let mut events = vec![Event::Restarted { attempt, traceparent: None }];
    if due_at > app.front.clock.now() {
        let reason = Reason::ReplayPaced.as_str().to_owned();
        events.push(Event::Waiting { reason, until: due_at });
    }
    app.append_events(caller, job_id, attempt, events).await;
    if let Some(conversation) = line.conversation_id {
        let rung = app.front.events.ring(caller.workspace_id, conversation, job_id).await;
        if let Err(error) = rung {
            tracing::warn!(job.id = %job_id, error = %chain(&error), "a conversation was not rung");
        }
    }
}
