//! The port to one-time WebSocket tickets.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::Caller;

/// Tickets that stand for a caller once, for seconds: browsers cannot send a header
/// with a WebSocket, and a key in a URL would end up in logs.
#[async_trait]
pub trait Tickets: Send + Sync + std::fmt::Debug {
    /// Keeps a ticket for `ttl`. The ticket's text comes from the caller's entropy.
    async fn keep(&self, ticket: &str, caller: Caller, ttl: Duration);

    /// The caller behind a ticket, once: the ticket is gone after this. None for a
    /// ticket that is unknown, used or too old.
    async fn redeem(&self, ticket: &str) -> Option<Caller>;
}
