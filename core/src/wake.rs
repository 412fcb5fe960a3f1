//! What one part of a process tells another: that there is something to do, and messages
//! that were just committed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::ports::store::OutboxRow;

/// How long the outbox row of a message is held back while the relay of the process that
/// accepted it publishes it from memory. Should that process die, another relay has it then.
pub const HELD: Duration = Duration::from_secs(5);

/// Messages that may be promised or waiting at once. Beyond, they are read from the store.
const PROMISES: usize = 1_024;

/// Wakes the outbox relay after a commit, and hands it what was committed. A hint may be
/// lost (another process made the commit), so whoever waits also polls.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    due: AtomicBool,
    woken: Notify,
    fresh: Mutex<Fresh>,
}

#[derive(Debug, Default)]
struct Fresh {
    /// Whether a relay takes what is given.
    open: bool,
    promised: usize,
    rows: VecDeque<OutboxRow>,
}

impl Wake {
    /// Says that something may be due in the store. Hints that come together count as one.
    pub fn notify(&self) {
        self.0.due.store(true, Ordering::Release);
        self.0.woken.notify_one();
    }

    /// Whether something may have become due since the last time it was asked.
    #[must_use]
    pub fn take_hint(&self) -> bool {
        self.0.due.swap(false, Ordering::AcqRel)
    }

    /// Waits for a hint or a message; one that came before the wait counts.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// Promises a message to the relay before it is committed, with its row held back for
    /// [`HELD`]. None where no relay runs in this process or it has enough to do: the row
    /// is then due at once.
    #[must_use]
    pub fn promise(&self) -> Option<Promise> {
        let mut fresh = self.fresh();
        if !fresh.open || fresh.promised + fresh.rows.len() >= PROMISES {
            return None;
        }
        fresh.promised += 1;
        Some(Promise(self.clone()))
    }

    /// Messages that were promised and committed, oldest first, at most `limit`.
    #[must_use]
    pub fn take(&self, limit: usize) -> Vec<OutboxRow> {
        let mut fresh = self.fresh();
        let count = fresh.rows.len().min(limit);
        fresh.rows.drain(..count).collect()
    }

    /// Says that a relay takes what is given, until the guard is dropped.
    #[must_use]
    pub fn open(&self) -> Open {
        self.fresh().open = true;
        Open(self.clone())
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.0.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A promised message. Dropped without being kept, it was not committed.
#[derive(Debug)]
pub struct Promise(Wake);

impl Promise {
    /// The message is committed.
    pub fn keep(self, row: OutboxRow) {
        self.0.fresh().rows.push_back(row);
        self.0.0.woken.notify_one();
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.fresh().promised -= 1;
    }
}

/// A relay that takes what is given.
#[derive(Debug)]
pub struct Open(Wake);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fresh().open = false;
    }
}
