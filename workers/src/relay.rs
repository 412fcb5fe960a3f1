//! The outbox relay: publishes committed messages that are due.
//!
//! What this process has accepted it is handed in memory, with the rows held back in the
//! store meanwhile. What others have accepted, what was put off and what a relay left
//! behind it takes from the store: when a hint comes, when a row becomes due, and every
//! second, since a hint can be lost. Several relays are safe: a message that is published
//! twice is claimed once.
//!
//! Messages are marked as sent a while after they were, in one go. By then most of them
//! are done with and have no row any more.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::{ChatPayload, Envelope, Step};
use quaestor_core::metrics;
use quaestor_core::ports::queue::{Durability, Published};
use quaestor_core::ports::store::OutboxRow;
use quaestor_core::trace;
use quaestor_core::wake::HELD;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{Span, error, info, warn};

use crate::context::Context;
use crate::decision::BoxError;

/// How many rows are read and published at a time.
const BATCH: u32 = 256;
/// The net under lost hints.
const POLL: Duration = Duration::from_secs(1);
/// How long a relay has for publishing what it took from the store, before another may.
const TAKEN: Duration = Duration::from_secs(15);
/// How soon a due row is looked for again that was locked.
const LOCKED: Duration = Duration::from_millis(20);
/// How long a full queue or an unavailable store is left alone.
const PAUSE: Duration = Duration::from_millis(250);
/// How long after it was published a message is marked as sent: well within [`HELD`].
const MARK_AFTER: Duration = Duration::from_secs(1);
/// Messages that wait to be marked; at more they are marked at once.
const UNMARKED: usize = 4_096;

/// Publishes what is due until `stop`. At start, with a queue that forgets with its
/// process, every unfinished row is due again: this is what makes a crash harmless.
pub async fn run_relay(context: Context, stop: CancellationToken) {
    let loops = match context.queue.durability() {
        Durability::Volatile => {
            take_up(&context, &stop).await;
            1
        }
        // A broker confirms in milliseconds: meanwhile another loop takes what comes.
        Durability::Durable => 2,
    };
    let open = context.wake.open();
    futures::future::join_all((0..loops).map(|_| Relay::new(&context).run(&stop))).await;
    drop(open);
    // What came too late is for another relay.
    loop {
        let left = context.wake.take(BATCH as usize);
        if left.is_empty() {
            break;
        }
        let ids: Vec<_> = left.iter().map(|row| row.envelope.outbox_id).collect();
        give_back(&context, &ids, Duration::ZERO).await;
    }
}

/// Makes every unfinished job's message due again.
async fn take_up(context: &Context, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        match context.store.outbox_restart(context.clock.now()).await {
            Ok(0) => break,
            Ok(rows) => {
                info!(outbox.rows = rows, "took up {rows} unfinished jobs");
                break;
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not take up unfinished jobs"
                );
                context.clock.sleep(POLL).await;
            }
        }
    }
}

/// One loop of the relay.
struct Relay<'a> {
    context: &'a Context,
    /// When the store is looked at next, unless a hint comes before.
    look_at: Time,
    /// Until when the store is left alone, whatever is hinted: a queue was full.
    full_until: Time,
    /// What was published and is not marked yet, and when the first of it was.
    sent: Vec<OutboxId>,
    sent_since: Time,
}

impl<'a> Relay<'a> {
    fn new(context: &'a Context) -> Self {
        let now = context.clock.now();
        Self { context, look_at: now, full_until: now, sent: Vec::new(), sent_since: now }
    }

    async fn run(mut self, stop: &CancellationToken) {
        let clock = &self.context.clock;
        while !stop.is_cancelled() {
            let pause = match self.turn().await {
                Ok(Progress::Published) => continue,
                Ok(Progress::Idle) => None,
                Err(error) => {
                    error!(
                        error = error.as_ref() as &dyn std::error::Error,
                        "could not relay the outbox"
                    );
                    Some(POLL)
                }
            };
            let wait = async {
                match pause {
                    Some(pause) => clock.sleep(pause).await,
                    None => tokio::select! {
                        () = self.context.wake.woken() => {}
                        () = clock.sleep_until(self.next_turn()) => {}
                    },
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = wait => {}
            }
        }
        self.mark().await;
    }

    fn next_turn(&self) -> Time {
        if self.sent.is_empty() { self.look_at } else { self.look_at.min(self.mark_at()) }
    }

    fn mark_at(&self) -> Time {
        self.sent_since + delta(MARK_AFTER)
    }

    /// The store's turn comes before that of what was just accepted: it has what is older.
    /// Where a queue is full the store is left alone for a while, and what was just accepted,
    /// which goes to another queue, is not held up by it.
    async fn turn(&mut self) -> Result<Progress, BoxError> {
        let now = self.context.clock.now();
        if self.sent.len() >= UNMARKED || (!self.sent.is_empty() && self.mark_at() <= now) {
            self.mark().await;
        }
        if self.context.wake.take_hint() {
            self.look_at = self.look_at.min(now);
        }
        self.look_at = self.look_at.max(self.full_until);
        let from_store = match self.look_at <= now {
            true => self.look(now).await?,
            false => Progress::Idle,
        };
        let mut fresh = self.context.wake.take(BATCH as usize);
        // What waited here for too long is no longer held back, and comes from the store.
        fresh.retain(|row| row.envelope.enqueued_at + delta(HELD) > now);
        if fresh.is_empty() {
            return Ok(from_store);
        }
        self.publish(fresh).await
    }

    /// Publishes what is due in the store.
    async fn look(&mut self, now: Time) -> Result<Progress, BoxError> {
        let rows = self.context.store.outbox_take(now, now + delta(TAKEN), BATCH).await?;
        if rows.is_empty() {
            let poll_at = now + delta(POLL);
            let due_at = self.context.store.outbox_next_due().await?;
            // One that is due and was not given is locked: somebody works on it.
            self.look_at = due_at.map_or(poll_at, |due| due.clamp(now + delta(LOCKED), poll_at));
            return Ok(Progress::Idle);
        }
        failpoint::hit("relay.after_take");
        // There may be more.
        self.look_at = now;
        self.publish(rows).await
    }

    async fn publish(&mut self, rows: Vec<OutboxRow>) -> Result<Progress, BoxError> {
        let context = self.context;
        let ids: Vec<_> = rows.iter().map(|row| row.envelope.outbox_id).collect();
        tell_queued(context, &rows).await;
        let mut messages: Vec<_> = rows.into_iter().map(|row| row.envelope).collect();
        let spans: Vec<Span> = messages.iter_mut().map(publishing).collect();
        if failpoint::error("relay.before_publish") {
            self.return_later(&ids).await;
            return Err("the fail-point relay.before_publish".into());
        }
        let began = context.clock.now();
        let published = match context.queue.publish(messages).await {
            Ok(published) => published,
            Err(error) => {
                self.return_later(&ids).await;
                return Err(error.into());
            }
        };
        let took = metrics::seconds(began, context.clock.now());
        metrics::OUTBOX_PUBLISH_SECONDS.of([]).record(took);
        let unheard = failpoint::error("relay.after_publish");
        if self.sent.is_empty() {
            self.sent_since = context.clock.now();
        }
        let mut unsent = Vec::new();
        for ((id, span), published) in ids.into_iter().zip(spans).zip(published) {
            let published = if unheard { Published::Unconfirmed } else { published };
            metrics::OUTBOX_PUBLISHED.of([published.as_str().into()]).increment(1);
            trace::published(&span, published.as_str());
            match published {
                Published::Confirmed => self.sent.push(id),
                Published::Full | Published::Unconfirmed => unsent.push(id),
                // It stays held, and is tried again when it no longer is: somebody has to
                // mend the broker meanwhile.
                Published::Unroutable => error!(
                    "the queue has no place for message {id}: `quaestor topology check` tells \
                     what is missing, `quaestor topology apply` makes it"
                ),
            }
        }
        if unsent.is_empty() {
            return Ok(Progress::Published);
        }
        self.full_until = context.clock.now() + delta(PAUSE);
        self.return_later(&unsent).await;
        Ok(Progress::Idle)
    }

    /// Gives back what could not be published, and looks for it when it is due again.
    async fn return_later(&mut self, unsent: &[OutboxId]) {
        give_back(self.context, unsent, PAUSE).await;
        self.look_at = self.look_at.min(self.context.clock.now() + delta(PAUSE));
    }

    /// Marks what was published. Where that fails it is published once more when it is no
    /// longer held, and claimed once.
    async fn mark(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let marked = match failpoint::store("relay.before_mark") {
            Ok(()) => self.context.store.outbox_sent(&sent, self.context.clock.now()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = marked {
            warn!(error = &error as &dyn std::error::Error, "could not mark messages as sent");
        }
    }
}

/// The span of a message on its way to its queue, which the message goes on with.
fn publishing(message: &mut Envelope) -> Span {
    let span = trace::publish(message.step, message.outbox_id, message.traceparent.as_deref());
    if let Some(context) = trace::context_of(&span) {
        message.traceparent = Some(context);
    }
    span
}

enum Progress {
    Published,
    Idle,
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::zero())
}

/// Appends `queued` for jobs that no worker had yet. It stands before the message is
/// published: a log that a worker's `started` begins looks like one that was lost in part,
/// and its watchers are told so. A second time the log refuses it, which is as good.
async fn tell_queued(context: &Context, rows: &[OutboxRow]) {
    let appends = rows.iter().filter(|row| row.attempt == 0).map(|row| {
        let OutboxRow { envelope, .. } = row;
        context.events.append(envelope.workspace_id, envelope.job_id, 0, vec![Event::Queued])
    });
    for appended in futures::future::join_all(appends).await {
        if let Err(error) = appended {
            warn!(error = &error as &dyn std::error::Error, "a queued event was lost");
        }
    }
    ring(context, rows).await;
}

/// Tells those who follow a conversation that it has a new question.
async fn ring(context: &Context, rows: &[OutboxRow]) {
    let rings = rows
        .iter()
        .filter(|row| row.attempt == 0 && row.envelope.step == Step::ChatRetrieve)
        .filter_map(|row| {
            let payload = ChatPayload::deserialize(&row.envelope.payload).ok()?;
            let OutboxRow { envelope, .. } = row;
            let (workspace, conversation) = (envelope.workspace_id, payload.conversation_id);
            Some(context.events.ring(workspace, conversation, envelope.job_id))
        });
    for rung in futures::future::join_all(rings).await {
        if let Err(error) = rung {
            warn!(error = &error as &dyn std::error::Error, "a conversation was not rung");
        }
    }
}

/// What could not be published is due again after a pause. Should this fail, it is due
/// once it is no longer held.
async fn give_back(context: &Context, unsent: &[OutboxId], pause: Duration) {
    let due_at = context.clock.now() + delta(pause);
    if let Err(error) = context.store.outbox_give_back(unsent, due_at).await {
        warn!(error = &error as &dyn std::error::Error, "could not give messages back");
    }
}
