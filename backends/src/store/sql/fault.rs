//! What goes wrong inside the store, and which error of the port it becomes.

use quaestor_core::ports::store::StoreError;
use sqlx::error::ErrorKind;

use super::dialect;

/// A failure on its way out of a method, which then says what was attempted.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database refused or failed.
    Sql(sqlx::Error),
    /// The store knows what to say.
    Store(StoreError),
    /// The writer's turn did not come in time.
    Busy,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Turns a fault into the port's error, given what was attempted: `accept a question`.
pub(super) fn during(action: &'static str) -> impl Fn(Fault) -> StoreError {
    move |fault| match fault {
        Fault::Store(error) => error,
        Fault::Busy => {
            StoreError::Unavailable { action, source: "another write did not end in time".into() }
        }
        Fault::Sql(error) if is_passing(&error) => {
            StoreError::Unavailable { action, source: Box::new(error) }
        }
        Fault::Sql(error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))) => {
            StoreError::Corrupt { what: "row", source: Box::new(error) }
        }
        Fault::Sql(error) => StoreError::Failed { action, source: Box::new(error) },
    }
}

/// A row that cannot be read.
pub(super) fn corrupt(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Fault {
    Fault::Store(StoreError::Corrupt { what, source: source.into() })
}

/// Names a violated uniqueness: `a collection of this name`.
pub(super) fn unique(what: &'static str) -> impl Fn(sqlx::Error) -> Fault {
    move |error| match &error {
        sqlx::Error::Database(cause) if cause.kind() == ErrorKind::UniqueViolation => {
            Fault::Store(StoreError::Conflict { what })
        }
        _ => Fault::Sql(error),
    }
}

/// Whether the same call may succeed later.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| dialect::is_passing(&code)),
        _ => false,
    }
}
