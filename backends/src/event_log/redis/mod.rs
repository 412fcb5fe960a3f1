//! The events of running jobs in Redis: a stream per job, and a channel of the same name
//! that tells the watchers. Redis is a cache here: it may lose all, and says so.
//!
//! An append is one script and one round trip: it numbers the events, logs them, and
//! announces them with their text, so that a watcher reads from the stream only when it
//! comes, after a loss, or when it was too slow.
//!
//! What cannot be told: events that one process failed to append, when another process
//! goes on with the next attempt. That attempt begins with `restarted` or a new step.

mod append;
mod entry;
mod hub;
mod numbers;
mod subscriber;
mod watcher;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use quaestor_core::entropy::Entropy;
use quaestor_core::events::{Event, EventId};
use quaestor_core::ids::{ConversationId, JobId, WorkspaceId};
use quaestor_core::ports::event_log::{Appended, EventLog, EventLogError, Rung, Watched};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::append::{Part, Scripts};
use self::hub::{Found, Hub, Listening};
use self::numbers::Numbers;
use self::subscriber::Subscriber;
use self::watcher::Watcher;
use crate::redis::{RedisFault, RedisServer};

/// How much is kept of each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisBounds {
    /// Events of one job, about (whole blocks of the stream are cut); the oldest go first.
    pub events_per_job: usize,
    /// How long a job's events are kept after the last of them.
    pub keep: Duration,
}

impl Default for RedisBounds {
    /// As many events as the log in memory keeps, for a quarter of an hour.
    fn default() -> Self {
        Self { events_per_job: 16_384, keep: Duration::from_secs(900) }
    }
}

/// An event log in Redis.
pub struct RedisEventLog {
    server: RedisServer,
    bounds: RedisBounds,
    scripts: Scripts,
    numbers: Numbers,
    hub: Arc<Hub>,
    /// The channel on which every process hears which jobs are to be cancelled: cancels
    /// are rare, and a channel for each job that runs would be two commands for each.
    cancels: String,
    /// Keeps that channel subscribed to while no job runs.
    _hears_cancels: Listening,
    _subscriber: AbortOnDropHandle<()>,
}

impl fmt::Debug for RedisEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEventLog")
            .field("server", &self.server)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl RedisEventLog {
    /// Opens the log: one more connection, which listens for this process.
    ///
    /// # Errors
    /// The second connection could not be made.
    pub async fn open(
        server: RedisServer,
        bounds: RedisBounds,
        entropy: &dyn Entropy,
    ) -> Result<Self, EventLogError> {
        let mut mark = [0_u8; 16];
        entropy.fill(&mut mark);
        let hub = Arc::new(Hub::new(format!("{:032x}", u128::from_be_bytes(mark))));
        let subscriber = Subscriber { server: server.clone(), hub: Arc::clone(&hub) };
        let ears = subscriber.connect().await.map_err(|fault| failed("subscribe to", fault))?;
        let task = TaskTracker::new().spawn(subscriber.run(ears));
        let cancels = server.name(format_args!("cancels"));
        Ok(Self {
            _hears_cancels: hub.listen_for_signal(&cancels),
            cancels,
            server,
            bounds,
            scripts: Scripts::default(),
            numbers: Numbers::default(),
            hub,
            _subscriber: AbortOnDropHandle::new(task),
        })
    }

    /// The name of something of a job. What stands in braces decides the node of a
    /// cluster; the workspace is in it, so that a job is found under its own alone.
    fn name(&self, workspace: WorkspaceId, job: JobId, what: &str) -> String {
        let (workspace, job) = (workspace.uuid().simple(), job.uuid().simple());
        self.server.name(format_args!("{{{workspace}:{job}}}:{what}"))
    }

    /// The channel of those who follow a conversation.
    fn bell(&self, workspace: WorkspaceId, conversation: ConversationId) -> String {
        let (workspace, conversation) = (workspace.uuid().simple(), conversation.uuid().simple());
        self.server.name(format_args!("{{{workspace}:{conversation}}}:bell"))
    }

    async fn send(
        &self,
        channel: &str,
        message: &str,
        action: &'static str,
    ) -> Result<(), EventLogError> {
        let mut command = redis::cmd(self.publish());
        command.arg(channel).arg(message);
        self.server.query(&command).await.map(drop).map_err(|fault| failed(action, fault))
    }

    fn publish(&self) -> &'static str {
        if self.server.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }
}

fn failed(action: &'static str, fault: RedisFault) -> EventLogError {
    EventLogError { action, source: fault.into() }
}

#[async_trait]
impl EventLog for RedisEventLog {
    async fn append(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        attempt: u32,
        mut events: Vec<Event>,
    ) -> Result<Appended, EventLogError> {
        if let Some(terminal) = events.iter().position(Event::is_terminal) {
            // Nothing may follow the terminal event.
            events.truncate(terminal + 1);
        }
        let ends = events.last().is_some_and(Event::is_terminal);
        let id = (workspace, job);
        let known = if attempt == 0 { None } else { self.numbers.known(id) };
        let part = Part::new(attempt, &events)
            .map_err(|source| EventLogError { action: "append to", source: source.into() })?;
        let key = self.name(workspace, job, "ev");
        let appended = match self.run(&key, &part, known).await {
            Ok(appended) => appended,
            Err(fault) => {
                self.numbers.lost(id, attempt, events.len());
                return Err(failed("append to", fault));
            }
        };
        match appended {
            Appended::At(last) if !ends && attempt > 0 => self.numbers.given(id, last),
            _ => self.numbers.forget(id),
        }
        Ok(appended)
    }

    async fn watch(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        after: Option<EventId>,
    ) -> Result<BoxStream<'static, Watched>, EventLogError> {
        // No command is sent here: a log that is away is waited for by the stream.
        let key = self.name(workspace, job, "ev");
        let listening = self.hub.listen(&key);
        let watcher = Watcher::new(self.server.clone(), listening, key, after);
        Ok(stream::unfold(watcher, Watcher::next).boxed())
    }

    async fn request_cancel(
        &self,
        workspace: WorkspaceId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        // Listeners of this process hear it whether or not Redis does.
        let named = self.hub.name_job(&self.cancels, workspace, job);
        self.send(&self.cancels, &named, "tell a cancel to").await
    }

    async fn cancel_requested(&self, workspace: WorkspaceId, job: JobId) {
        // A request that overtakes the subscription is not heard; the store has the wish,
        // and the next heartbeat of the job finds it.
        let listening = self.hub.listen_for_signal(&self.cancels);
        loop {
            match listening.place.take() {
                // So many came that it may have been among them: whoever waits looks.
                Found::Reread => return,
                Found::Named(of, named) if (of, named) == (workspace, job) => return,
                Found::Named(..) | Found::Announced(_) => {}
                Found::Nothing => listening.place.woken().await,
            }
        }
    }

    async fn ring(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        let channel = self.bell(workspace, conversation);
        // Followers of this process hear it whether or not Redis does.
        let named = self.hub.name_job(&channel, workspace, job);
        self.send(&channel, &named, "ring over").await
    }

    async fn rings(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
    ) -> Result<BoxStream<'static, Rung>, EventLogError> {
        let listening = self.hub.listen(&self.bell(workspace, conversation));
        let next = |listening: Listening| async move {
            let rung = loop {
                match listening.place.take() {
                    Found::Named(_, job) => break Rung::Job(job),
                    Found::Reread | Found::Announced(_) => break Rung::Look,
                    Found::Nothing => listening.place.woken().await,
                }
            };
            Some((rung, listening))
        };
        Ok(stream::unfold(listening, next).boxed())
    }

    async fn ping(&self) -> Result<(), EventLogError> {
        let answer = self.server.query(&redis::cmd("PING")).await;
        answer.map(drop).map_err(|fault| failed("ping", fault))
    }
}
