//! A look at the store that many requests share: it is renewed in the background, and nobody
//! waits for it longer than an answer may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::BoxFuture;
use quaestor_core::clock::Time;
use quaestor_core::ports::store::StoreError;
use tokio::sync::watch;

use super::Gate;
use crate::app::App;
use crate::problem::chain;

/// How long a request waits for a new look before it goes by the last one. A refusal is
/// answered within 50 ms, whatever the store does.
const PATIENCE: Duration = Duration::from_millis(25);

/// What was seen, and when the look began.
#[derive(Debug)]
pub(super) struct Sample<T> {
    pub(super) at: Time,
    pub(super) seen: T,
}

/// The last look, and whether one is under way: there is one at a time.
#[derive(Debug)]
pub(super) struct Sampled<T> {
    last: watch::Sender<Option<Arc<Sample<T>>>>,
    looking: AtomicBool,
}

impl<T> Default for Sampled<T> {
    fn default() -> Self {
        Self { last: watch::Sender::new(None), looking: AtomicBool::new(false) }
    }
}

impl<T> Sampled<T> {
    pub(super) fn last(&self) -> Option<Arc<Sample<T>>> {
        self.last.borrow().clone()
    }
}

/// How a sample is got: which one of the gate's it is, how long it is good for, and the look.
pub(super) struct Way<T> {
    pub(super) of: fn(&Gate) -> &Sampled<T>,
    pub(super) good_for: TimeDelta,
    pub(super) look: fn(App) -> BoxFuture<'static, Result<T, StoreError>>,
}

/// A look that is not older than it may be; an older one where the store does not answer
/// soon, and none where it never has.
pub(super) async fn sample<T: Send + Sync + 'static>(
    app: &App,
    way: &Way<T>,
) -> Option<Arc<Sample<T>>> {
    let sampled = (way.of)(&app.gate);
    let now = app.front.clock.now();
    let last = sampled.last();
    if last.as_ref().is_some_and(|last| last.at <= now && now < last.at + way.good_for) {
        return last;
    }
    let mut changed = sampled.last.subscribe();
    if !sampled.looking.swap(true, Ordering::AcqRel) {
        drop(app.tasks.spawn(look(app.clone(), way.of, way.look)));
    }
    tokio::select! {
        // It is told of even where it failed.
        _ = changed.changed() => {}
        () = app.front.clock.sleep(PATIENCE) => {}
    }
    sampled.last()
}

async fn look<T: Send + Sync + 'static>(
    app: App,
    of: fn(&Gate) -> &Sampled<T>,
    look: fn(App) -> BoxFuture<'static, Result<T, StoreError>>,
) {
    let sampled = of(&app.gate);
    let _looking = Looking(&sampled.looking);
    let at = app.front.clock.now();
    match look(app.clone()).await {
        Ok(seen) => drop(sampled.last.send_replace(Some(Arc::new(Sample { at, seen })))),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "it is not known how much work waits");
            sampled.last.send_modify(|_| {});
        }
    }
}

/// Says that no look is under way, however it has ended.
struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
