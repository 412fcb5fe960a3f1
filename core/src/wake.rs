//! A hint from one part of a process to another that there is something to do.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the outbox relay after a commit. A hint may be lost (another process made
/// the commit), so whoever waits also polls.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Says that there may be something to do. Hints that come together count as one.
    pub fn notify(&self) {
        self.0.notify_one();
    }

    /// Waits for a hint; one that came before the wait counts.
    pub async fn notified(&self) {
        self.0.notified().await;
    }
}
