//! The spans of frames: an event that is sent belongs to the step that told it.
//!
//! An answer has hundreds of tokens, and a span for each would say nothing: the first frame of
//! text has one, and every other kind of event.

use std::collections::HashMap;

use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::trace;
use tracing::Span;

/// Under which trace contexts the events of a socket's jobs are told. As many as it watches.
#[derive(Debug, Default)]
pub(super) struct JobTraces(HashMap<JobId, JobTrace>);

#[derive(Debug)]
struct JobTrace {
    parent: String,
    /// Whether text of this step was told.
    told_text: bool,
}

impl JobTraces {
    /// A job was asked for under this context, which its steps will replace by theirs.
    pub(super) fn begin(&mut self, job: JobId, parent: Option<String>) {
        if let Some(parent) = parent {
            self.0.insert(job, JobTrace { parent, told_text: false });
        }
    }

    /// The span of an event's frame; none where nothing is known of its trace.
    pub(super) fn told(&mut self, job: JobId, event: &Event) -> Span {
        if !trace::is_on() {
            return Span::none();
        }
        if let Event::Started { traceparent, .. } | Event::Restarted { traceparent, .. } = event {
            self.begin(job, traceparent.clone());
        }
        if event.is_terminal() {
            let known = self.0.remove(&job);
            return known
                .map_or_else(Span::none, |known| trace::frame(event.name(), job, &known.parent));
        }
        let Some(known) = self.0.get_mut(&job) else { return Span::none() };
        if matches!(event, Event::Token { .. }) && std::mem::replace(&mut known.told_text, true) {
            return Span::none();
        }
        trace::frame(event.name(), job, &known.parent)
    }

    /// The job is no longer watched.
    pub(super) fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}
