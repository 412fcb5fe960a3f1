//! Tells a job's watchers what happens, under the attempt that may speak.

use std::sync::Arc;

use quaestor_core::events::Event;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::ports::event_log::{Appended, EventLog};
use tokio::sync::Mutex;
use tracing::warn;

/// Appends events of one attempt of one job.
///
/// The event log may lose anything, the store is the truth: an event that cannot be
/// appended is logged, and the job goes on.
#[derive(Clone, Debug)]
pub(crate) struct Emitter {
    events: Arc<dyn EventLog>,
    workspace: WorkspaceId,
    job: JobId,
    attempt: u32,
    /// Who emits first is told first, also where one does not wait for the other.
    turn: Arc<Mutex<()>>,
}

impl Emitter {
    pub(crate) fn new(
        events: Arc<dyn EventLog>,
        workspace: WorkspaceId,
        job: JobId,
        attempt: u32,
    ) -> Self {
        Self { events, workspace, job, attempt, turn: Arc::default() }
    }

    /// Appends the last event of the attempt before, if it is still to be told, and then the
    /// first one of this. What is emitted meanwhile comes after them.
    pub(crate) async fn begin(&self, before: Option<(Self, Event)>, first: Event) {
        let _turn = self.turn.lock().await;
        if let Some((emitter, event)) = before {
            emitter.emit(event).await;
        }
        // That a later attempt has taken over is found out by whatever comes next.
        self.append(vec![first]).await;
    }

    /// Appends one event. False if a later attempt has taken over: the caller must stop.
    pub(crate) async fn emit(&self, event: Event) -> bool {
        self.emit_all(vec![event]).await
    }

    /// Appends events that belong together, as [`Emitter::emit`] does one.
    pub(crate) async fn emit_all(&self, events: Vec<Event>) -> bool {
        let _turn = self.turn.lock().await;
        self.append(events).await
    }

    async fn append(&self, events: Vec<Event>) -> bool {
        match self.events.append(self.workspace, self.job, self.attempt, events).await {
            Ok(Appended::At(_) | Appended::Ended) => true,
            Ok(Appended::Fenced) => false,
            Err(error) => {
                warn!(
                    job.id = %self.job,
                    error = &error as &dyn std::error::Error,
                    "an event of job {} was lost",
                    self.job
                );
                true
            }
        }
    }
}
