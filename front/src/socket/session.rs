//! One open socket: a single task that waits for the peer, its jobs, the clock and the
//! end of the process, and answers each.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use quaestor_core::clock::Time;
use quaestor_core::events::EventId;
use quaestor_core::failpoint;
use quaestor_core::ids::{ConversationId, JobId};
use quaestor_core::metrics;
use quaestor_core::model::Caller;
use quaestor_core::ports::event_log::Rung;
use quaestor_core::trace;
use serde_json::Value;
use tokio_stream::StreamMap;
use tracing::{Instrument, Span};

use super::frames::{self, Incoming, Request};
use super::traces::JobTraces;
use crate::app::App;
use crate::auth::{Who, in_force};
use crate::http::guard::forbidden;
use crate::http::route::RateClass;
use crate::jobs::{
    Question, WatchItem, accept_question, cancel_job, visible_to, watch_job, watch_new_job,
};
use crate::problem::{ApiError, Code};

/// A reason must fit a control frame of 125 bytes.
const GOING_AWAY: Close =
    Close(1001, "restarting: reconnect, and subscribe again after the last event id");
const KEY_REVOKED: Close = Close(1008, "the key is no longer valid");
const IDLE: Close = Close(4001, "idle: no frame came, not even a pong");
const SLOW_CONSUMER: Close = Close(4008, "slow_consumer");

/// Over how long the sockets of a process that goes away are spread when they come back.
const RECONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why a socket is closed: code and reason.
#[derive(Clone, Copy, Debug)]
struct Close(u16, &'static str);

/// Whether the session goes on; it ends with a close frame, or without one where the
/// peer has closed or is gone.
type Flow = ControlFlow<Option<Close>>;

/// A socket's state.
pub(super) struct Session {
    app: App,
    who: Who,
    jobs: StreamMap<JobId, BoxStream<'static, WatchItem>>,
    /// Conversations whose questions are watched as they come, and whether that was told.
    followed: StreamMap<ConversationId, BoxStream<'static, Rung>>,
    told_followed: HashSet<ConversationId>,
    /// Jobs whose end was told on this socket a moment ago, with its number: asking for them
    /// again tells nothing twice. Bounded by the number of subscriptions.
    told: VecDeque<(JobId, EventId)>,
    /// Under which trace contexts the jobs' events are told, where traces are kept.
    traces: JobTraces,
    heard_at: Time,
    ping_at: Time,
    check_at: Time,
}

impl Session {
    pub(super) fn new(app: App, who: Who) -> Self {
        let now = app.front.clock.now();
        let settings = app.front.settings.sockets;
        Self {
            app,
            who,
            jobs: StreamMap::new(),
            followed: StreamMap::new(),
            told_followed: HashSet::new(),
            told: VecDeque::new(),
            traces: JobTraces::default(),
            heard_at: now,
            ping_at: now + settings.ping_every,
            check_at: now + settings.key_check,
        }
    }

    /// Runs on the application's tracker, so that shutdown waits for the close frames.
    pub(super) async fn run(mut self, mut socket: WebSocket) {
        let tasks = self.app.tasks.clone();
        let session = async move {
            metrics::SOCKETS.of([]).increment(1.0);
            metrics::SOCKETS_OPENED.of([]).increment(1);
            let _open = OpenSocket;
            let end = loop {
                if let ControlFlow::Break(end) = self.step(&mut socket).await {
                    break end;
                }
            };
            if let Some(close) = end {
                self.close(socket, close).await;
            }
        };
        // Waited for elsewhere; this task has nothing more to do.
        drop(tasks.spawn(session));
    }

    async fn step(&mut self, socket: &mut WebSocket) -> Flow {
        let clock = self.app.front.clock.clone();
        let settings = self.app.front.settings.sockets;
        tokio::select! {
            biased;
            () = self.app.stop.close.cancelled() => Flow::Break(Some(GOING_AWAY)),
            () = clock.sleep_until(self.check_at) => {
                self.check_at = clock.now() + settings.key_check;
                if in_force(&self.app, &self.who).await {
                    Flow::Continue(())
                } else {
                    Flow::Break(Some(KEY_REVOKED))
                }
            }
            () = clock.sleep_until(self.heard_at + settings.idle_close) => Flow::Break(Some(IDLE)),
            () = clock.sleep_until(self.ping_at) => {
                self.ping_at = clock.now() + settings.ping_every;
                self.send(socket, Message::Ping(Bytes::new())).await
            }
            message = socket.recv() => match message {
                Some(Ok(message)) => {
                    self.heard_at = clock.now();
                    metrics::SOCKET_FRAMES.of(["received".into()]).increment(1);
                    self.message(socket, message).await
                }
                // The library has answered a broken peer with the fitting close frame.
                Some(Err(error)) => {
                    tracing::debug!(error = %error, "a socket broke");
                    Flow::Break(close_for(&error))
                }
                None => Flow::Break(None),
            },
            Some((conversation_id, rung)) = self.followed.next(), if !self.followed.is_empty() => {
                match rung {
                    Rung::Look => self.look(socket, conversation_id).await,
                    Rung::Job(job_id) => self.watch_new(socket, job_id).await,
                }
            }
            Some((job_id, item)) = self.jobs.next(), if !self.jobs.is_empty() => {
                let mut span = Span::none();
                let frame = match &item {
                    WatchItem::Gap => frames::gap(job_id),
                    WatchItem::Event(event) => {
                        span = self.traces.told(job_id, &event.event);
                        if event.event.is_terminal() {
                            self.jobs.remove(&job_id);
                            self.told.push_back((job_id, event.id));
                            if self.told.len() > settings.max_subscriptions {
                                self.told.pop_front();
                            }
                        }
                        failpoint::hit("socket.before_event");
                        frames::event(job_id, event)
                    }
                };
                self.say(socket, &frame).instrument(span).await
            }
        }
    }

    async fn message(&mut self, socket: &mut WebSocket, message: Message) -> Flow {
        match message {
            Message::Text(text) => {
                let max_chars = self.app.front.settings.question_max_chars;
                let Incoming { request_id, request } = frames::read(&text, max_chars);
                let request_id = request_id.as_deref();
                let handled = match request {
                    Ok((request, entry)) if entry.access.allows(self.who.caller.role) => {
                        self.handle(request, request_id).await
                    }
                    Ok((_, entry)) => {
                        self.app.record_denied(&self.who.caller, entry.name).await;
                        Err(forbidden(entry.access))
                    }
                    Err(error) => Err(error),
                };
                match handled {
                    Ok(Some(frame)) => self.say(socket, &frame).await,
                    Ok(None) => Flow::Continue(()),
                    Err(error) => {
                        if let Some(subject) = &error.denied {
                            self.app.record_denied(&self.who.caller, subject).await;
                        }
                        self.say(socket, &frames::error(request_id, &error)).await
                    }
                }
            }
            Message::Binary(_) => {
                let error = ApiError::new(Code::UnsupportedFrame, "send text frames of JSON");
                self.say(socket, &frames::error(None, &error)).await
            }
            // The library answers pings and close frames itself.
            Message::Ping(_) | Message::Pong(_) => Flow::Continue(()),
            Message::Close(_) => Flow::Break(None),
        }
    }

    /// Does what a frame asks, and says what is to be answered.
    async fn handle(
        &mut self,
        request: Request,
        request_id: Option<&str>,
    ) -> Result<Option<Value>, ApiError> {
        let caller = self.who.caller;
        match request {
            Request::Ping => Ok(Some(frames::pong())),
            Request::Unsubscribe { job_id } => {
                self.jobs.remove(&job_id);
                self.traces.forget(job_id);
                self.told.retain(|(told, _)| *told != job_id);
                Ok(None)
            }
            Request::Follow { conversation_id } => {
                self.app.admit(&caller, RateClass::Read).await?;
                if self.followed.contains_key(&conversation_id) {
                    return Ok(Some(frames::following(conversation_id)));
                }
                self.room()?;
                let front = &self.app.front;
                let (workspace, principal) = (caller.workspace_id, caller.principal_id);
                if front.store.conversation(workspace, principal, conversation_id).await?.is_none()
                {
                    return Err(ApiError::missing("conversation", conversation_id));
                }
                let rings = front.events.rings(workspace, conversation_id).await;
                let rings = rings.map_err(|error| ApiError::unavailable(&error))?;
                // `following` is said once it is listened to.
                self.followed.insert(conversation_id, rings);
                Ok(None)
            }
            Request::Unfollow { conversation_id } => {
                self.followed.remove(&conversation_id);
                self.told_followed.remove(&conversation_id);
                Ok(None)
            }
            Request::Cancel { job_id } => {
                self.app.admit(&caller, RateClass::Write).await?;
                // The end comes as an event to all who watch the job.
                cancel_job(&self.app, &caller, job_id).await?;
                Ok(None)
            }
            Request::Subscribe { job_id, after } => {
                self.app.admit(&caller, RateClass::Read).await?;
                // Watched already, or told to its end: saying it again would repeat events.
                if self.jobs.contains_key(&job_id) {
                    return Ok(None);
                }
                let after = match (after, self.told_of(job_id)) {
                    (None, Some(end)) if is_replayed(&self.app, &caller, job_id, end).await? => {
                        Some(end)
                    }
                    (None, Some(_)) => return Ok(None),
                    (after, _) => after,
                };
                self.room()?;
                let items = watch_job(&self.app, &caller, job_id, after).await?;
                self.told.retain(|(told, _)| *told != job_id);
                self.jobs.insert(job_id, items);
                Ok(None)
            }
            Request::Ask { conversation_id, content } => {
                self.app.admit(&caller, RateClass::Ask).await?;
                self.room()?;
                let span = trace::socket_request("ask");
                let traceparent = trace::context_of(&span);
                let traced = traceparent.clone();
                let question =
                    Question { conversation_id, content, idempotency_key: None, traceparent };
                let accepted = accept_question(&self.app, &caller, question).instrument(span);
                let answer = accepted.await?.answer;
                self.traces.begin(answer.job_id, traced);
                // Who asks here watches here.
                let items = watch_new_job(&self.app, &caller, answer.job_id).await;
                self.jobs.insert(answer.job_id, items);
                Ok(Some(frames::accepted(request_id, &answer)))
            }
        }
    }

    /// Watches what a followed conversation has begun since the last look.
    async fn look(&mut self, socket: &mut WebSocket, conversation_id: ConversationId) -> Flow {
        let first = self.told_followed.insert(conversation_id);
        if let Err(error) = self.watch_unfinished(conversation_id).await {
            self.say(socket, &frames::error(None, &error)).await?;
        }
        if first {
            self.say(socket, &frames::following(conversation_id)).await
        } else {
            Flow::Continue(())
        }
    }

    /// Watches a job that a followed conversation has just begun: it is whose the
    /// conversation is, which was looked at when it was followed.
    async fn watch_new(&mut self, socket: &mut WebSocket, job_id: JobId) -> Flow {
        if self.jobs.contains_key(&job_id) {
            return Flow::Continue(());
        }
        if let Some(end) = self.told_of(job_id) {
            if let Err(error) = self.watch_replayed(job_id, end).await {
                return self.say(socket, &frames::error(None, &error)).await;
            }
            return Flow::Continue(());
        }
        if let Err(error) = self.room() {
            return self.say(socket, &frames::error(None, &error)).await;
        }
        let items = watch_new_job(&self.app, &self.who.caller, job_id).await;
        self.jobs.insert(job_id, items);
        Flow::Continue(())
    }

    async fn watch_unfinished(&mut self, conversation_id: ConversationId) -> Result<(), ApiError> {
        let caller = self.who.caller;
        let store = &self.app.front.store;
        let unfinished = store
            .unfinished_jobs(caller.workspace_id, caller.principal_id, conversation_id)
            .await?;
        for job_id in unfinished {
            if self.jobs.contains_key(&job_id) {
                continue;
            }
            self.room()?;
            // One that has an end and is unfinished was replayed.
            let items = watch_job(&self.app, &caller, job_id, self.told_of(job_id)).await?;
            self.told.retain(|(told, _)| *told != job_id);
            self.jobs.insert(job_id, items);
        }
        Ok(())
    }

    /// The number of the end that was told of a job.
    fn told_of(&self, job_id: JobId) -> Option<EventId> {
        self.told.iter().find(|(told, _)| *told == job_id).map(|(_, end)| *end)
    }

    /// Goes on with a job whose end was told, where it was replayed since.
    async fn watch_replayed(&mut self, job_id: JobId, end: EventId) -> Result<(), ApiError> {
        let caller = self.who.caller;
        if is_replayed(&self.app, &caller, job_id, end).await? {
            self.room()?;
            let items = watch_job(&self.app, &caller, job_id, Some(end)).await?;
            self.told.retain(|(told, _)| *told != job_id);
            self.jobs.insert(job_id, items);
        }
        Ok(())
    }

    fn room(&self) -> Result<(), ApiError> {
        let max = self.app.front.settings.sockets.max_subscriptions;
        if self.jobs.len() + self.followed.len() < max {
            return Ok(());
        }
        let detail = format!(
            "a socket may watch at most {max} jobs and conversations; unsubscribe from some"
        );
        Err(ApiError::new(Code::TooManySubscriptions, detail))
    }

    async fn say(&mut self, socket: &mut WebSocket, frame: &Value) -> Flow {
        self.send(socket, Message::text(frame.to_string())).await
    }

    /// Sends a frame, for as long as a peer may take. Nothing is read meanwhile, and the
    /// jobs' streams wait in the log: a slow peer costs no memory.
    async fn send(&mut self, socket: &mut WebSocket, message: Message) -> Flow {
        let settings = self.app.front.settings.sockets;
        tokio::select! {
            biased;
            sent = socket.send(message) => match sent {
                Ok(()) => {
                    metrics::SOCKET_FRAMES.of(["sent".into()]).increment(1);
                    Flow::Continue(())
                }
                Err(error) => {
                    tracing::debug!(error = %error, "a socket's peer is gone");
                    Flow::Break(None)
                }
            },
            // A peer that does not read is not waited for at the end of the process.
            () = self.app.stop.close.cancelled() => Flow::Break(Some(GOING_AWAY)),
            () = self.app.front.clock.sleep(settings.send_timeout) => {
                Flow::Break(Some(SLOW_CONSUMER))
            }
        }
    }

    /// Says why, waits a bounded while for the peer's own close frame, and hangs up.
    async fn close(&mut self, mut socket: WebSocket, Close(code, reason): Close) {
        metrics::SOCKETS_CLOSED.of([code.to_string().into()]).increment(1);
        let frame = CloseFrame { code, reason: reason.into() };
        let farewell = async {
            if code == GOING_AWAY.0 {
                let hint = frames::going_away(self.app.spread(RECONNECT_WITHIN));
                // Where it cannot be told any more, the close frame cannot either.
                drop(socket.send(Message::text(hint.to_string())).await);
            }
            if socket.send(Message::Close(Some(frame))).await.is_ok() {
                // What the peer still says is of no interest; its close frame ends this.
                while let Some(Ok(_)) = socket.recv().await {}
            }
        };
        tokio::select! {
            () = farewell => {}
            () = self.app.front.clock.sleep(self.app.front.settings.sockets.send_timeout) => {}
        }
    }
}

/// Whether a job whose end was told has another life.
async fn is_replayed(
    app: &App,
    caller: &Caller,
    job_id: JobId,
    end: EventId,
) -> Result<bool, ApiError> {
    let job = app.front.store.job(caller.workspace_id, visible_to(caller), job_id).await?;
    let job = job.ok_or_else(|| ApiError::missing("job", job_id))?;
    Ok(job.attempt > end.attempt)
}

/// Counts an open socket down, however its task ends.
struct OpenSocket;

impl Drop for OpenSocket {
    fn drop(&mut self) {
        metrics::SOCKETS.of([]).decrement(1.0);
    }
}

/// The close frame for a peer that broke the protocol; none where it is merely gone.
fn close_for(error: &axum::Error) -> Option<Close> {
    use std::error::Error;
    use tokio_tungstenite::tungstenite::Error as Protocol;
    match error.source().and_then(|source| source.downcast_ref::<Protocol>()) {
        Some(Protocol::Capacity(_)) => Some(Close(1009, "a message may have at most 64 KiB")),
        Some(Protocol::Utf8(_)) => Some(Close(1007, "text frames are UTF-8")),
        Some(Protocol::Protocol(_)) => Some(Close(1002, "the frame breaks the protocol")),
        _ => None,
    }
}
