//! The connection that a kind of group keeps for itself.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Postgres};

use super::connections::{Connections, has_died};
use super::fault::Fault;
use super::groups::Call;

/// A connection that nobody used for this long is asked whether it lives. What is sent on
/// one that is dead may or may not have been done, and its callers are told so; a server
/// that was restarted was away for longer than this.
const FRESH: TimeDelta = TimeDelta::seconds(1);

/// A connection, and when it was used last.
pub(super) struct Kept {
    connection: PoolConnection<Postgres>,
    used_at: Time,
}

/// Where groups of one kind have their connection.
pub(super) struct Lane {
    connections: Arc<Connections>,
    kept: Mutex<Option<Kept>>,
}

impl Lane {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections, kept: Mutex::new(None) }
    }

    /// The connection that is kept.
    pub(super) fn take(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a connection for the next group, if none is kept: one more goes to the pool.
    pub(super) fn keep(&self, connection: Option<Kept>) {
        if let Some(connection) = connection.filter(|_| self.connections.may_keep()) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.is_none() {
                *kept = Some(connection);
            }
        }
    }

    /// Writes a group on `used`, which is opened where there is none.
    ///
    /// A server that is shut down says so to those who are connected, and has then not done
    /// what they sent: the group is written on another connection.
    pub(super) async fn write<C: Call>(
        &self,
        used: &mut Option<Kept>,
        calls: Vec<C>,
    ) -> Result<Vec<Result<C::Answer, Fault>>, Fault> {
        let mut left = self.connections.most();
        loop {
            let mut kept = match used.take().or_else(|| self.take()) {
                Some(kept) => kept,
                None => self.open().await?,
            };
            let now = self.connections.now();
            if now - kept.used_at > FRESH && kept.connection.ping().await.is_err() {
                continue;
            }
            let written = C::write(&mut kept.connection, calls.clone()).await;
            kept.used_at = now;
            match written {
                // Dropped, it goes back to the pool, which finds it dead.
                Err(Fault::Sql(error)) if has_died(&error) => {
                    left = left.saturating_sub(1);
                    if left == 0 || matches!(error, sqlx::Error::Io(_)) {
                        return Err(error.into());
                    }
                }
                written => {
                    *used = Some(kept);
                    return written;
                }
            }
        }
    }

    /// A connection of the pool that lives.
    async fn open(&self) -> Result<Kept, Fault> {
        let mut left = self.connections.most();
        loop {
            let mut connection = self.connections.acquire().await?;
            match connection.ping().await {
                Ok(()) => return Ok(Kept { connection, used_at: self.connections.now() }),
                Err(error) if left == 0 => return Err(error.into()),
                Err(_) => left -= 1,
            }
        }
    }
}
