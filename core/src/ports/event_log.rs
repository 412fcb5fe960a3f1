//! The port to the events of running jobs: a short log per job, and who watches it.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::events::{Event, EventId, NumberedEvent};
use crate::ids::{ConversationId, JobId, WorkspaceId};

/// What became of events that were to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They stand in the log; the id of the last one.
    At(EventId),
    /// A later attempt has written already: this one is stale and must stop.
    Fenced,
    /// The job has its terminal event; nothing may follow it but a replay.
    Ended,
}

/// What a watcher gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// The next event, each once and in order.
    Event(NumberedEvent),
    /// Events between the last one and the next are gone: read the stored result.
    Gap,
}

/// What those who follow a conversation hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// A question was accepted; its job.
    Job(JobId),
    /// It is listened to from now on, or rings may have been missed: the store knows the
    /// conversation's jobs.
    Look,
}

/// Why the event log could not serve.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the event log")]
pub struct EventLogError {
    /// `append to`, `subscribe to`, `tell a cancel to`, `ping`.
    pub action: &'static str,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The events of jobs, kept for as long as somebody may come back for them.
///
/// The log may lose anything (the store is the truth), but never reorders, never
/// repeats, and tells a watcher when something is gone.
#[async_trait]
pub trait EventLog: Send + Sync + std::fmt::Debug {
    /// Appends events of one attempt, in order; the log numbers them.
    ///
    /// Attempt 0 is `queued` alone: it is appended to an empty log, and says `Ended` or
    /// `Fenced` for one that has begun, so that appending it twice is harmless.
    ///
    /// After the terminal event, a later attempt that begins (`started` or `restarted` comes
    /// first) is a replay of a dead job: the log is emptied to the `queued` of the job's
    /// beginning and goes on with it, so that a watcher from the beginning sees the last
    /// life alone, and one that comes back with the number of an event of the life before
    /// goes on with `restarted`.
    async fn append(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        attempt: u32,
        events: Vec<Event>,
    ) -> Result<Appended, EventLogError>;

    /// All events after `after` (from the first where none is given), those that are
    /// logged and then those that come. Begins with `Gap` where history between
    /// `after` and the oldest kept event is gone, also when the log knows nothing of a
    /// job of which the watcher has seen events. Ends after the terminal event.
    ///
    /// A slow watcher holds no memory: it reads from the log at its own pace, and gets
    /// `Gap` if the log was trimmed meanwhile.
    async fn watch(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        after: Option<EventId>,
    ) -> Result<BoxStream<'static, Watched>, EventLogError>;

    /// Tells whoever runs the job that it is to be cancelled. The store holds the wish;
    /// this only makes it quick.
    async fn request_cancel(&self, workspace: WorkspaceId, job: JobId)
    -> Result<(), EventLogError>;

    /// Returns when a cancel is requested after this call began, or may have been: whoever
    /// waits asks the store.
    async fn cancel_requested(&self, workspace: WorkspaceId, job: JobId);

    /// Rings for those who follow a conversation: one of its questions was accepted.
    async fn ring(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        job: JobId,
    ) -> Result<(), EventLogError>;

    /// Follows a conversation: `Look` as soon as it is listened to and whenever rings may
    /// have been missed, and `Job` for every ring.
    async fn rings(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
    ) -> Result<BoxStream<'static, Rung>, EventLogError>;

    /// Whether the log serves.
    async fn ping(&self) -> Result<(), EventLogError>;
}
