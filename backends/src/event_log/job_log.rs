//! The events of one job in memory: their numbers, what was trimmed, and who may append.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quaestor_core::events::{Event, EventId, NumberedEvent, begins_anew};
use quaestor_core::model::Figure;
use quaestor_core::ports::event_log::Appended;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::memory::Bounds;

/// What an event costs beside its text: its place in the ring and its allocations.
const EVENT_BYTES: usize = 160;

/// The log of one job.
#[derive(Default)]
pub(super) struct JobLog {
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    events: VecDeque<NumberedEvent>,
    bytes: usize,
    /// The last number that was given.
    last: Option<EventId>,
    /// Who has seen this number has missed nothing; none while the log has the job's
    /// first event.
    floor: Option<EventId>,
    ended: bool,
    given_up: bool,
}

/// What an append did to the log.
pub(super) struct Written {
    pub(super) appended: Appended,
    /// These were the log's first events.
    pub(super) began: bool,
    /// The terminal event was among them.
    pub(super) ended: bool,
    pub(super) bytes_added: usize,
    pub(super) bytes_removed: usize,
}

/// What a watcher finds.
pub(super) enum Look {
    /// The next event.
    Event(NumberedEvent),
    /// Events are gone; the watcher goes on after this number.
    Gap { now_after: EventId },
    /// Nothing yet.
    Nothing,
    /// All was read, and nothing will follow.
    Ended,
    /// The log was given up to make room.
    GivenUp,
}

impl JobLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes at the next change after this call.
    pub(super) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    /// Whether nothing was ever appended.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.last.is_none() && !state.given_up
    }

    /// Appends events of an attempt. A log that begins counts from `base`.
    pub(super) fn append(
        &self,
        attempt: u32,
        events: Vec<Event>,
        base: u64,
        bounds: &Bounds,
    ) -> Written {
        let mut state = self.state();
        let mut written = Written {
            appended: Appended::Ended,
            began: false,
            ended: false,
            bytes_added: 0,
            bytes_removed: 0,
        };
        if state.ended {
            let last = state.last.map_or(0, |last| last.attempt);
            if !(attempt > last && begins_anew(&events)) {
                return written;
            }
            // The job was replayed: the log is what it was when the job was accepted. Who
            // has seen the life before goes on with what this one begins with.
            written.bytes_removed += std::mem::take(&mut state.bytes);
            let queued = NumberedEvent { id: EventId::FIRST, event: Event::Queued };
            let bytes = weight(&queued.event);
            state.events = VecDeque::from([queued]);
            state.bytes = bytes;
            written.bytes_added += bytes;
            state.floor = None;
            state.ended = false;
        }
        let stale = match state.last {
            // `queued` comes before all else, or not at all.
            Some(last) => attempt == 0 || attempt < last.attempt,
            None => false,
        };
        if stale {
            written.appended = Appended::Fenced;
            return written;
        }
        let mut seq = match state.last {
            Some(last) if last.attempt == attempt => last.seq,
            Some(_) => 0,
            None if attempt == 0 => 0,
            None => base,
        };
        if state.last.is_none() {
            written.began = true;
            if attempt > 0 {
                state.floor = Some(EventId { attempt, seq });
            }
        }
        for event in events {
            seq += 1;
            let bytes = weight(&event);
            state.ended = event.is_terminal();
            state.events.push_back(NumberedEvent { id: EventId { attempt, seq }, event });
            state.bytes += bytes;
            written.bytes_added += bytes;
            if state.ended {
                // Nothing may follow the terminal event.
                break;
            }
        }
        state.last = Some(EventId { attempt, seq });
        written.ended = state.ended;
        written.appended = Appended::At(EventId { attempt, seq });
        while state.events.len() > bounds.events_per_job.max(1)
            || (state.bytes > bounds.bytes_per_job && state.events.len() > 1)
        {
            let Some(oldest) = state.events.pop_front() else { break };
            let bytes = weight(&oldest.event);
            state.bytes -= bytes;
            written.bytes_removed += bytes;
            state.floor = Some(oldest.id);
        }
        drop(state);
        self.changed.notify_waiters();
        written
    }

    /// Whether the job has ended, and was not replayed since.
    pub(super) fn is_ended(&self) -> bool {
        self.state().ended
    }

    /// What there is after `after`.
    pub(super) fn look(&self, after: Option<EventId>) -> Look {
        let state = self.state();
        if state.given_up {
            return Look::GivenUp;
        }
        if let Some(floor) = state.floor
            && after.is_none_or(|after| after < floor)
        {
            return Look::Gap { now_after: floor };
        }
        // Numbers are ordered: the first after `after` is found by halving.
        let next = state.events.partition_point(|event| after >= Some(event.id));
        match state.events.get(next) {
            Some(event) => Look::Event(event.clone()),
            None if state.ended => Look::Ended,
            None => Look::Nothing,
        }
    }

    /// Empties the log for good; its watchers are told. Gives the bytes that it held.
    pub(super) fn give_up(&self) -> usize {
        let mut state = self.state();
        let bytes = std::mem::take(&mut state.bytes);
        if !state.ended {
            // A watcher of an ended job may read to its end: it alone holds it now.
            state.events = VecDeque::new();
            state.given_up = true;
        }
        drop(state);
        self.changed.notify_waiters();
        bytes
    }
}

/// Roughly the memory of an event.
fn weight(event: &Event) -> usize {
    let text = match event {
        Event::Token { text } => text.len(),
        Event::Progress { unit, .. } => unit.len(),
        Event::Waiting { reason, .. } => reason.len(),
        Event::Failed { problem } => problem.detail.len() + problem.title.len(),
        Event::Citations { citations, figures } => {
            let quotes: usize = citations.iter().map(|c| c.quote.len() + 512).sum();
            quotes + figures.iter().map(Figure::weight).sum::<usize>()
        }
        Event::Queued
        | Event::Started { .. }
        | Event::Retrieved { .. }
        | Event::Restarted { .. }
        | Event::Done { .. }
        | Event::Cancelled => 0,
    };
    EVENT_BYTES + text
}
