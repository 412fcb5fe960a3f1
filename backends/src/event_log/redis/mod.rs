//! The events of running jobs in Redis: a stream per job, and a channel of the same name
//! that tells the watchers. Redis is a cache here: it may lose all, and says so.
//!
//! An append is one script and one round trip: it numbers the events, logs them, and
//! announces them with their text, so that a watcher reads from the stream only when it
//! comes, after a loss, or when it was too slow.
//!
//! What cannot be appended while Redis is away is kept for a while, with its numbers, and
//! appended when it is back (`owed`).
//!
//! What cannot be told: events that one process failed to append and did not live to append
//! later, when another process goes on with the next attempt. That attempt begins with
//! `restarted` or a new step.

mod append;
mod entry;
mod hub;
mod numbers;
mod owed;
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
use tracing::{debug, warn};

use self::append::{Part, Scripts};
use self::hub::{Found, Hub, Listening};
use self::numbers::Numbers;
use self::owed::{Key, Owed};
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

/// How often it is looked whether what is owed can be appended.
const PAY_EVERY: Duration = Duration::from_millis(250);

/// An event log in Redis.
pub struct RedisEventLog {
    server: RedisServer,
    writer: Arc<Writer>,
    hub: Arc<Hub>,
    /// The channel on which every process hears which jobs are to be cancelled: cancels
    /// are rare, and a channel for each job that runs would be two commands for each.
    cancels: String,
    /// Keeps that channel subscribed to while no job runs.
    _hears_cancels: Listening,
    _subscriber: AbortOnDropHandle<()>,
    _payer: AbortOnDropHandle<()>,
}

/// What appends.
struct Writer {
    server: RedisServer,
    bounds: RedisBounds,
    scripts: Scripts,
    numbers: Numbers,
    owed: Owed,
}

impl Writer {
    /// The name of something of a job. What stands in braces decides the node of a
    /// cluster; the workspace is in it, so that a job is found under its own alone.
    fn name(&self, (workspace, job): Key, what: &str) -> String {
        let (workspace, job) = (workspace.uuid().simple(), job.uuid().simple());
        self.server.name(format_args!("{{{workspace}:{job}}}:{what}"))
    }

    fn publish(&self) -> &'static str {
        if self.server.is_cluster() { "SPUBLISH" } else { "PUBLISH" }
    }

    async fn append(&self, key: Key, part: Part) -> Result<Appended, RedisFault> {
        // It comes after what is owed, and does not wait for a server that is away.
        if self.owed.has(key) {
            return self.owe(key, part, RedisFault::NotConnected);
        }
        let known = if part.attempt == 0 { None } else { self.numbers.known(key) };
        match self.run(&self.name(key, "ev"), &part, known).await {
            Ok(appended) => {
                self.remember(key, &part, &appended);
                Ok(appended)
            }
            Err(fault) => self.owe(key, part, fault),
        }
    }

    fn remember(&self, key: Key, part: &Part, appended: &Appended) {
        match appended {
            Appended::At(last) if !part.ends && part.attempt > 0 => self.numbers.given(key, *last),
            _ => self.numbers.forget(key),
        }
    }

    /// Keeps what could not be appended now, and says which number its last event is to have.
    fn owe(&self, key: Key, part: Part, fault: RedisFault) -> Result<Appended, RedisFault> {
        let (attempt, events) = (part.attempt, part.len());
        let known = self.numbers.known(key).filter(|known| known.last.attempt == attempt);
        let after = known.map(|known| known.last.seq);
        self.numbers.lost(key, attempt, events);
        if !self.owed.keep(key, part, after, self.server.clock().now()) {
            return Err(fault);
        }
        debug!(error = &fault as &dyn std::error::Error, "events are kept until Redis is back");
        let seq = after.unwrap_or(0).saturating_add(events);
        Ok(Appended::At(EventId { attempt, seq }))
    }

    /// Appends what is owed to a job.
    async fn pay_job(&self, key: Key) -> Result<(), RedisFault> {
        while let Some(debt) = self.owed.first(key) {
            let paid = self.pay(&self.name(key, "ev"), &debt.part, debt.after).await?;
            // Known before it is off the list: who comes next goes on after it.
            self.remember(key, &debt.part, &paid);
            match paid {
                Appended::At(last) => self.owed.paid(key, debt.part.len(), last.seq),
                Appended::Fenced | Appended::Ended => self.owed.forget_first(key),
            }
        }
        Ok(())
    }

    /// Appends what is owed, whenever Redis is there, until it is dropped.
    async fn keep_paying(&self) {
        for round in 0_usize.. {
            let clock = self.server.clock();
            self.owed.some().await;
            clock.sleep(PAY_EVERY).await;
            let forgotten = self.owed.forget_old(clock.now());
            if forgotten > 0 {
                warn!(jobs = forgotten, "events of {forgotten} jobs were lost: Redis was away");
            }
            // Each is the first one in turn: a part of a cluster may be away.
            let mut jobs = self.owed.jobs();
            let first = round % jobs.len().max(1);
            jobs.rotate_left(first);
            for key in jobs {
                if let Err(fault) = self.pay_job(key).await {
                    debug!(error = &fault as &dyn std::error::Error, "events are still kept");
                    break;
                }
            }
        }
    }
}

impl fmt::Debug for RedisEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEventLog")
            .field("server", &self.server)
            .field("bounds", &self.writer.bounds)
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
        let writer = Arc::new(Writer {
            server: server.clone(),
            bounds,
            scripts: Scripts::default(),
            numbers: Numbers::default(),
            owed: Owed::default(),
        });
        let paying = Arc::clone(&writer);
        let payer = TaskTracker::new().spawn(async move { paying.keep_paying().await });
        Ok(Self {
            _hears_cancels: hub.listen_for_signal(&cancels),
            cancels,
            server,
            writer,
            hub,
            _subscriber: AbortOnDropHandle::new(task),
            _payer: AbortOnDropHandle::new(payer),
        })
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
        let mut command = redis::cmd(self.writer.publish());
        command.arg(channel).arg(message);
        self.server.query(&command).await.map(drop).map_err(|fault| failed(action, fault))
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
        let part = Part::new(attempt, &events)
            .map_err(|source| EventLogError { action: "append to", source: source.into() })?;
        let appended = self.writer.append((workspace, job), part).await;
        appended.map_err(|fault| failed("append to", fault))
    }

    async fn watch(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        after: Option<EventId>,
    ) -> Result<BoxStream<'static, Watched>, EventLogError> {
        // No command is sent here: a log that is away is waited for by the stream.
        let key = self.writer.name((workspace, job), "ev");
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
