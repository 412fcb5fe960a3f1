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

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Time;
    use crate::ids::{JobId, OutboxId, PrincipalId, WorkspaceId};
    use crate::jobs::{ENVELOPE_VERSION, Envelope, Step};

    fn row(number: u128) -> OutboxRow {
        let id = Uuid::from_u128(number);
        let envelope = Envelope {
            v: ENVELOPE_VERSION,
            outbox_id: OutboxId(id),
            job_id: JobId(id),
            step: Step::ChatRetrieve,
            workspace_id: WorkspaceId(id),
            principal_id: PrincipalId(id),
            payload: Value::Null,
            traceparent: None,
            enqueued_at: Time::UNIX_EPOCH,
            deadline: None,
        };
        OutboxRow { envelope, attempt: 0 }
    }

    #[test]
    fn nothing_is_promised_where_no_relay_runs() {
        let wake = Wake::default();
        assert!(wake.promise().is_none());
        let open = wake.open();
        assert!(wake.promise().is_some());
        drop(open);
        assert!(wake.promise().is_none());
    }

    #[test]
    fn what_was_committed_is_taken_once_and_in_order() {
        let wake = Wake::default();
        let _open = wake.open();
        for number in 1..=3 {
            wake.promise().expect("there is room").keep(row(number));
        }
        drop(wake.promise());
        assert_eq!(wake.take(2), [row(1), row(2)]);
        assert_eq!(wake.take(2), [row(3)]);
        assert!(wake.take(2).is_empty());
    }

    #[test]
    fn promises_are_bounded_and_room_comes_back() {
        let wake = Wake::default();
        let _open = wake.open();
        let mut promised: Vec<Promise> = (0..PROMISES).filter_map(|_| wake.promise()).collect();
        assert_eq!(promised.len(), PROMISES);
        assert!(wake.promise().is_none());
        promised.pop().expect("one").keep(row(1));
        assert!(wake.promise().is_none(), "a row that waits takes a place as well");
        assert_eq!(wake.take(9).len(), 1);
        assert!(wake.promise().is_some());
    }

    #[tokio::test]
    async fn a_hint_and_a_message_each_wake() {
        let wake = Wake::default();
        let _open = wake.open();
        assert!(!wake.take_hint());
        wake.notify();
        wake.woken().await;
        assert!(wake.take_hint());
        assert!(!wake.take_hint());
        wake.promise().expect("there is room").keep(row(1));
        wake.woken().await;
    }
}
