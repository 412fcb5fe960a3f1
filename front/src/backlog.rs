//! How much waits in the outbox: while the queue is away, work is accepted up to a cap
//! and then refused, so that a long outage cannot fill the database.

use std::time::Duration;

use quaestor_core::clock::Time;
use tokio::sync::Mutex;

use crate::Front;
use crate::problem::ApiError;

/// How long a count is good for. What is accepted meanwhile may go beyond the cap.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// What a client is told to wait, at least; the rest is spread over as much again, so
/// that they do not all come back at once.
const COME_BACK: Duration = Duration::from_secs(5);

/// When it was last counted, and whether there was room.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Mutex<Option<(Time, bool)>>);

/// Admits new work, or says when to come again.
pub(crate) async fn admit(backlog: &Backlog, front: &Front) -> Result<(), ApiError> {
    let cap = front.settings.outbox_cap;
    let mut last = backlog.0.lock().await;
    let now = front.clock.now();
    let room = match *last {
        Some((at, room)) if at + GOOD_FOR > now => room,
        _ => {
            let waiting = front.store.outbox_unsent(cap).await?;
            *last = Some((now, waiting < u64::from(cap)));
            waiting < u64::from(cap)
        }
    };
    drop(last);
    if room {
        return Ok(());
    }
    metrics::counter!("quaestor_overloaded_total").increment(1);
    let mut spread = [0; 1];
    front.entropy.fill(&mut spread);
    Err(ApiError::overloaded(COME_BACK + COME_BACK.mul_f64(f64::from(spread[0]) / 255.0)))
}
