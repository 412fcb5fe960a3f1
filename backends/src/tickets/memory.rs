//! One-time tickets kept in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::clock::{Clock, Time};
use quaestor_core::model::Caller;
use quaestor_core::ports::tickets::Tickets;

/// Tickets that are kept at most. They live for seconds; at the limit, the one that
/// would end first makes room.
const MAX_TICKETS: usize = 10_000;

/// Tickets in memory, with the time of the given clock.
pub struct MemoryTickets {
    clock: Arc<dyn Clock>,
    max_tickets: usize,
    kept: Mutex<HashMap<String, (Caller, Time)>>,
}

impl std::fmt::Debug for MemoryTickets {
    /// Without the tickets: each is as good as a key while it lives.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryTickets").finish_non_exhaustive()
    }
}

impl MemoryTickets {
    /// No tickets yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_tickets: MAX_TICKETS, kept: Mutex::default() }
    }
}

#[async_trait]
impl Tickets for MemoryTickets {
    async fn keep(&self, ticket: &str, caller: Caller, ttl: Duration) {
        let now = self.clock.now();
        let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
        let ends = now.checked_add_signed(ttl).unwrap_or(Time::MAX_UTC);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.max_tickets {
            kept.retain(|_, (_, ends)| *ends > now);
        }
        if kept.len() >= self.max_tickets {
            let first = kept.iter().min_by_key(|(_, (_, ends))| *ends);
            if let Some(first) = first.map(|(ticket, _)| ticket.clone()) {
                kept.remove(&first);
            }
        }
        kept.insert(ticket.to_owned(), (caller, ends));
    }

    async fn redeem(&self, ticket: &str) -> Option<Caller> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (caller, ends) = kept.remove(ticket)?;
        (ends > now).then_some(caller)
    }
}
