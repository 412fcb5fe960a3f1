//! The outbox relay: publishes committed messages that are due.
//!
//! The commit that made a row wakes it; it also polls, since a hint can be lost and a
//! row may become due with time. Several relays are safe: a message that is published
//! twice is claimed once.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::{ChatPayload, Step};
use quaestor_core::ports::queue::{Durability, Published};
use quaestor_core::ports::store::OutboxRow;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::context::Context;
use crate::decision::BoxError;

/// How many rows are read and published at a time.
const BATCH: u32 = 256;
/// How long a relay has for publishing what it took, before another one may.
const HELD: Duration = Duration::from_secs(15);
/// The net under lost hints.
const POLL: Duration = Duration::from_secs(1);
/// How long a full queue or an unavailable store is left alone.
const PAUSE: Duration = Duration::from_millis(250);

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
    futures::future::join_all((0..loops).map(|_| relay(&context, &stop))).await;
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

async fn relay(context: &Context, stop: &CancellationToken) {
    let mut sent = Vec::new();
    while !stop.is_cancelled() {
        let pause = match publish_due(context, &mut sent).await {
            Ok(Progress::Published) => continue,
            Ok(Progress::QueueFull) => Some(PAUSE),
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
                Some(pause) => context.clock.sleep(pause).await,
                None => wait_for_work(context).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = wait => {}
        }
    }
    if let Err(error) = context.store.outbox_sent(&sent, context.clock.now()).await {
        // They are published once more, and claimed once.
        warn!(error = &error as &dyn std::error::Error, "could not mark messages as sent");
    }
}

enum Progress {
    Published,
    QueueFull,
    Idle,
}

/// Publishes what is due. `sent` is what was published before and is not marked yet: that
/// is done beside the next look, since nobody waits for it.
async fn publish_due(context: &Context, sent: &mut Vec<OutboxId>) -> Result<Progress, BoxError> {
    let now = context.clock.now();
    let hold_until = now + TimeDelta::from_std(HELD).unwrap_or(TimeDelta::zero());
    let (rows, marked) = tokio::join!(
        context.store.outbox_take(now, hold_until, BATCH),
        context.store.outbox_sent(sent, now)
    );
    sent.clear();
    if let Err(error) = marked {
        // They are published again once they are no longer held. What was taken goes on.
        warn!(error = &error as &dyn std::error::Error, "could not mark messages as sent");
    }
    let rows = rows?;
    if rows.is_empty() {
        return Ok(Progress::Idle);
    }
    tell_queued(context, &rows).await;
    let ids: Vec<_> = rows.iter().map(|row| row.envelope.outbox_id).collect();
    let messages = rows.into_iter().map(|row| row.envelope).collect();
    let published = match context.queue.publish(messages).await {
        Ok(published) => published,
        Err(error) => {
            give_back(context, &ids).await;
            return Err(error.into());
        }
    };
    let mut unsent = Vec::new();
    for (id, published) in ids.into_iter().zip(published) {
        metrics::counter!("quaestor_published_total", "outcome" => published.as_str()).increment(1);
        match published {
            Published::Confirmed => sent.push(id),
            Published::Full | Published::Unconfirmed => unsent.push(id),
            // It stays held, and is tried again when it no longer is: somebody has to mend
            // the broker meanwhile.
            Published::Unroutable => error!(
                "the queue has no place for message {id}: `quaestor topology check` tells what \
                 is missing, `quaestor topology apply` makes it"
            ),
        }
    }
    failpoint::hit("relay.after_publish");
    if unsent.is_empty() {
        Ok(Progress::Published)
    } else {
        give_back(context, &unsent).await;
        Ok(Progress::QueueFull)
    }
}

/// Appends `queued` for jobs that no worker had yet. It stands before the message is
/// published, since a worker's `started` must come after it; a second time the log
/// refuses it, which is as good.
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
            Some(context.events.ring(row.envelope.workspace_id, payload.conversation_id))
        });
    for rung in futures::future::join_all(rings).await {
        if let Err(error) = rung {
            warn!(error = &error as &dyn std::error::Error, "a conversation was not rung");
        }
    }
}

/// What could not be published is due again after a pause. Should this fail, it is due
/// once it is no longer held.
async fn give_back(context: &Context, unsent: &[OutboxId]) {
    let due_at = context.clock.now() + TimeDelta::from_std(PAUSE).unwrap_or(TimeDelta::zero());
    if let Err(error) = context.store.outbox_give_back(unsent, due_at).await {
        warn!(error = &error as &dyn std::error::Error, "could not give messages back");
    }
}

async fn wait_for_work(context: &Context) {
    let poll_at = context.clock.now() + TimeDelta::from_std(POLL).unwrap_or(TimeDelta::zero());
    let due_at = match context.store.outbox_next_due().await {
        Ok(Some(due)) => due.min(poll_at),
        Ok(None) => poll_at,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not read the next due time");
            poll_at
        }
    };
    tokio::select! {
        () = context.wake.notified() => {}
        () = context.clock.sleep_until(due_at) => {}
    }
}
