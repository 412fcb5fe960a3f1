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

/// A connection goes back to the pool after this long, which may then open another, to
/// where the server is by then.
const OLDEST: TimeDelta = TimeDelta::minutes(10);

/// A connection, since when it is kept, and when it was used last.
pub(super) struct Kept {
    connection: PoolConnection<Postgres>,
    opened_at: Time,
    used_at: Time,
}

/// Whether a connection is good for the next group after this error: the server has said
/// what is wrong with this one, and not that it is the wrong server (25006, one that only
/// reads).
fn is_sound(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => {
            !has_died(error) && cause.code().is_none_or(|code| code != "25006")
        }
        _ => false,
    }
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
                // Dropped, it goes back to the pool, which looks whether it lives.
                Err(Fault::Sql(error)) if !is_sound(&error) => {
                    left = left.saturating_sub(1);
                    let undone = has_died(&error) && !matches!(error, sqlx::Error::Io(_));
                    if left == 0 || !undone {
                        return Err(error.into());
                    }
                }
                written => {
                    if now - kept.opened_at < OLDEST {
                        *used = Some(kept);
                    }
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
                Ok(()) => {
                    let now = self.connections.now();
                    return Ok(Kept { connection, opened_at: now, used_at: now });
                }
                Err(error) if left == 0 => return Err(error.into()),
                Err(_) => left -= 1,
            }
        }
    }
}
