//! The events of running jobs in this process: a bounded log per job.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::stream::{self, BoxStream, StreamExt};
use quaestor_core::clock::{Clock, Time};
use quaestor_core::events::{Event, EventId};
use quaestor_core::ids::{ConversationId, JobId, WorkspaceId};
use quaestor_core::ports::event_log::{Appended, EventLog, EventLogError, Rung, Watched};
use tokio::sync::{Notify, broadcast};
use tokio_stream::wrappers::BroadcastStream;

use super::job_log::{JobLog, Look};

/// How much the log may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events of one job; the oldest go first.
    pub events_per_job: usize,
    /// Bytes of one job's events, roughly; the oldest go first.
    pub bytes_per_job: usize,
    /// Jobs; those that ended first go first, then those that began first.
    pub jobs: usize,
    /// Bytes of all events, roughly.
    pub bytes: usize,
    /// How long the log of an ended job is kept for clients that come back.
    pub keep_ended: Duration,
}

impl Default for Bounds {
    /// An answer of 1 MiB in tokens of some letters fits into a job's part.
    fn default() -> Self {
        Self {
            events_per_job: 16_384,
            bytes_per_job: 2 * 1024 * 1024,
            jobs: 20_000,
            bytes: 64 * 1024 * 1024,
            keep_ended: Duration::from_secs(600),
        }
    }
}

type Key = (WorkspaceId, JobId);
type Bells = HashMap<(WorkspaceId, ConversationId), broadcast::Sender<JobId>>;

/// Rings that wait for a follower; one who is slower is told to look.
const RINGS: usize = 64;

/// An event log in memory. Whoever watches keeps a position, never a buffer.
#[derive(Clone)]
pub struct MemoryEventLog {
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    logs: Mutex<Logs>,
    cancels: Mutex<HashMap<Key, Arc<Notify>>>,
    bells: Mutex<Bells>,
}

#[derive(Default)]
struct Logs {
    jobs: HashMap<Key, Arc<JobLog>>,
    /// Bytes of all events.
    bytes: usize,
    /// Ended jobs, in the order of their end.
    ended: VecDeque<(Time, Key)>,
    /// All jobs with events, in the order of their first; some may be gone by now.
    begun: VecDeque<Key>,
    /// Whether the log of a running job was ever given up: its numbers are forgotten.
    lost_running: bool,
}

impl fmt::Debug for MemoryEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEventLog").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl MemoryEventLog {
    /// An empty log.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self { clock, bounds, shared: Arc::default() }
    }
}

impl Shared {
    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancels(&self) -> MutexGuard<'_, HashMap<Key, Arc<Notify>>> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logs {
    /// Makes the logs fit their bounds again. `written` is the one that stays: it has
    /// just been written to.
    fn evict(&mut self, bounds: &Bounds, now: Time, written: Option<&Key>) {
        let keep = TimeDelta::from_std(bounds.keep_ended).unwrap_or(TimeDelta::MAX);
        while let Some((ended, key)) = self.ended.front() {
            let too_many = self.jobs.len() > bounds.jobs || self.bytes > bounds.bytes;
            if (!too_many && now.signed_duration_since(*ended) < keep) || Some(key) == written {
                break;
            }
            let key = *key;
            self.ended.pop_front();
            // One that was replayed runs: it goes when it has ended again.
            if self.jobs.get(&key).is_some_and(|log| log.is_ended()) {
                self.remove(&key);
            }
        }
        // Stale keys of jobs that ended and went are dropped with the rest.
        if self.begun.len() > 2 * self.jobs.len() + 64 {
            self.begun.retain(|key| self.jobs.contains_key(key));
        }
        while self.jobs.len() > bounds.jobs || self.bytes > bounds.bytes {
            match self.begun.front() {
                Some(key) if Some(key) != written => {}
                _ => break,
            }
            if let Some(key) = self.begun.pop_front()
                && self.remove(&key)
            {
                self.lost_running = true;
            }
        }
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(log) = self.jobs.remove(key) else { return false };
        self.bytes -= log.give_up();
        true
    }
}

#[async_trait]
impl EventLog for MemoryEventLog {
    async fn append(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        attempt: u32,
        events: Vec<Event>,
    ) -> Result<Appended, EventLogError> {
        let now = self.clock.now();
        let key = (workspace, job);
        let mut logs = self.shared.logs();
        let log = Arc::clone(logs.jobs.entry(key).or_default());
        // Numbers must never fall behind those that a watcher may have seen. Where a
        // running job's numbers were forgotten, the microseconds since 1970 are above.
        let base = if logs.lost_running { now.timestamp_micros().unsigned_abs() } else { 0 };
        let written = log.append(attempt, events, base, &self.bounds);
        logs.bytes = logs.bytes.saturating_add(written.bytes_added) - written.bytes_removed;
        if written.began {
            logs.begun.push_back(key);
        }
        if written.ended {
            logs.ended.push_back((now, key));
        }
        logs.evict(&self.bounds, now, Some(&key));
        Ok(written.appended)
    }

    async fn watch(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        after: Option<EventId>,
    ) -> Result<BoxStream<'static, Watched>, EventLogError> {
        let key = (workspace, job);
        let log = {
            let mut logs = self.shared.logs();
            logs.evict(&self.bounds, self.clock.now(), None);
            // An unknown job gets an empty log to wait at; it goes with its last watcher.
            Arc::clone(logs.jobs.entry(key).or_default())
        };
        let watcher = Watcher {
            gap_first: after.is_some() && log.is_empty(),
            shared: Arc::clone(&self.shared),
            key,
            log,
            after,
        };
        Ok(stream::unfold(watcher, Watcher::next).boxed())
    }

    async fn request_cancel(
        &self,
        workspace: WorkspaceId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        if let Some(wish) = self.shared.cancels().get(&(workspace, job)) {
            wish.notify_waiters();
        }
        Ok(())
    }

    async fn cancel_requested(&self, workspace: WorkspaceId, job: JobId) {
        let key = (workspace, job);
        let (waiting, wished) = {
            let mut cancels = self.shared.cancels();
            let wish = Arc::clone(cancels.entry(key).or_default());
            // Made under the lock: a request from now on reaches it.
            let wished = Arc::clone(&wish).notified_owned();
            (CancelWait { shared: &self.shared, key, wish }, wished)
        };
        wished.await;
        drop(waiting);
    }

    async fn ring(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        if let Some(bell) = self.shared.bells().get(&(workspace, conversation)) {
            // An error says that nobody listens any more.
            drop(bell.send(job));
        }
        Ok(())
    }

    async fn rings(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
    ) -> Result<BoxStream<'static, Rung>, EventLogError> {
        let mut bells = self.shared.bells();
        // Bells that nobody hears any more go here, so that there are never more than
        // followers.
        bells.retain(|_, bell| bell.receiver_count() > 0);
        let bell =
            bells.entry((workspace, conversation)).or_insert_with(|| broadcast::Sender::new(RINGS));
        let heard =
            BroadcastStream::new(bell.subscribe()).map(|rung| rung.map_or(Rung::Look, Rung::Job));
        drop(bells);
        Ok(stream::iter([Rung::Look]).chain(heard).boxed())
    }

    async fn ping(&self) -> Result<(), EventLogError> {
        Ok(())
    }
}

/// Takes the wish for a cancel out of the map when the last who waits for it is gone.
struct CancelWait<'a> {
    shared: &'a Shared,
    key: Key,
    wish: Arc<Notify>,
}

impl Drop for CancelWait<'_> {
    fn drop(&mut self) {
        let mut cancels = self.shared.cancels();
        let others = cancels.get(&self.key).is_some_and(|wish| Arc::ptr_eq(wish, &self.wish))
            && Arc::strong_count(&self.wish) > 3;
        if !others {
            cancels.remove(&self.key);
        }
    }
}

/// Where one watcher stands.
struct Watcher {
    shared: Arc<Shared>,
    key: Key,
    log: Arc<JobLog>,
    after: Option<EventId>,
    gap_first: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Watched, Self)> {
        if std::mem::take(&mut self.gap_first) {
            return Some((Watched::Gap, self));
        }
        loop {
            // Made before the look: an event in between is not slept through.
            let changed = self.log.changed();
            match self.log.look(self.after) {
                Look::Event(event) => {
                    self.after = Some(event.id);
                    return Some((Watched::Event(event), self));
                }
                Look::Gap { now_after } => {
                    self.after = Some(now_after);
                    return Some((Watched::Gap, self));
                }
                Look::Ended => return None,
                Look::GivenUp => {
                    // The job may go on in a new log.
                    self.log = Arc::clone(self.shared.logs().jobs.entry(self.key).or_default());
                    return Some((Watched::Gap, self));
                }
                Look::Nothing => changed.await,
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut logs = self.shared.logs();
        // One is held by the map and one by this watcher: nobody else waits at it.
        if self.log.is_empty()
            && Arc::strong_count(&self.log) <= 2
            && logs.jobs.get(&self.key).is_some_and(|log| Arc::ptr_eq(log, &self.log))
        {
            logs.jobs.remove(&self.key);
        }
    }
}
