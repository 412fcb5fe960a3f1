//! Time, handed in: what the program waits for and stamps rows with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// A moment, UTC. Stored as microseconds since 1970, shown as RFC 3339.
pub type Time = DateTime<Utc>;

/// The application's clock. Nothing else may ask the operating system for the time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The moment it is now.
    fn now(&self) -> Time;

    /// Returns when `moment` has come; at once where it has passed.
    async fn sleep_until(&self, moment: Time);

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration) {
        let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        let moment = self.now().checked_add_signed(delta).unwrap_or(Time::MAX_UTC);
        self.sleep_until(moment).await;
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Time {
        // Rows keep microseconds; a finer stamp would not compare equal after a round trip.
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    async fn sleep_until(&self, moment: Time) {
        if let Ok(wait) = (moment - self.now()).to_std() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// A clock that a test moves by hand.
#[derive(Clone)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}

impl ManualClock {
    /// A clock that stands at the given Unix time in milliseconds.
    #[must_use]
    pub fn at_millis(millis: i64) -> Self {
        Self { micros: Arc::new(AtomicI64::new(millis * 1_000)), moved: Arc::new(Notify::new()) }
    }

    /// Sets the clock, forwards or backwards.
    pub fn set_millis(&self, millis: i64) {
        self.micros.store(millis * 1_000, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// Moves the clock forwards and wakes what was due.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(micros, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        DateTime::from_timestamp_micros(self.micros.load(Ordering::SeqCst)).unwrap_or_default()
    }

    async fn sleep_until(&self, moment: Time) {
        loop {
            // Registered before the time is read: a move in between is not missed.
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= moment {
                return;
            }
            moved.await;
        }
    }
}
