//! Holding a database alone, while an installation is moved out of it or into it.
//!
//! An advisory lock keeps those out that start meanwhile, and a look at who is connected
//! finds those that run. The lock is the server's: it goes with the connection, however
//! the process ends.

use std::time::Duration;

use quaestor_core::clock::Clock;
use quaestor_core::ports::store::StoreError;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::opening::{self, asked, failed, refuse};

/// What connections call themselves.
pub(super) const NAME: &str = "quaestor";
/// And those of whoever is alone.
pub(super) const NAME_ALONE: &str = "quaestor move";

/// How often, and after how long, is looked again whether those have gone who were just
/// stopped: the server notices it a little later.
const LOOKS: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The lock; any number that nobody else uses.
const TURN: i64 = 0x7175_6165_6d6f_7665;

/// A database that this process holds alone.
#[derive(Debug)]
pub struct Alone {
    connection: PgConnection,
    place: String,
}

impl Alone {
    /// Takes the database, if nobody uses it.
    ///
    /// # Errors
    /// One sentence: no such server or database, or somebody uses it.
    pub async fn take(url: &SecretString, clock: &dyn Clock) -> Result<Self, StoreError> {
        let (mut connection, place) = opening::enter(url).await?;
        let taken = ask(&mut connection, &place, "SELECT pg_try_advisory_lock($1)").await?;
        if !taken {
            return Err(refuse(format!(
                "another quaestor move works on PostgreSQL at {place}: let it end first"
            )));
        }
        opening::check_vector(&mut connection, &place, true).await?;
        let mut alone = Self { connection, place };
        for _ in 1..LOOKS {
            if alone.others().await? == 0 {
                return Ok(alone);
            }
            clock.sleep(LOOK_AGAIN).await;
        }
        alone.check().await?;
        Ok(alone)
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Makes sure that it is still so.
    ///
    /// # Errors
    /// Where somebody else is connected, or the server has gone and with it the lock.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        match self.others().await? {
            0 => Ok(()),
            _ => Err(refuse(format!(
                "a front or a worker is connected to PostgreSQL at {}: stop all of them first",
                self.place
            ))),
        }
    }

    async fn others(&mut self) -> Result<i64, StoreError> {
        let others = sqlx::query(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = $1",
        )
        .bind(NAME)
        .fetch_one(&mut self.connection)
        .await
        .and_then(|row| row.try_get::<i64, _>(0));
        asked(&self.place, others)
    }

    /// Whether tables were made in it.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn has_schema(&mut self) -> Result<bool, StoreError> {
        let there = sqlx::query("SELECT to_regclass('schema_migrations') IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await
            .and_then(|row| row.try_get::<bool, _>(0));
        asked(&self.place, there)
    }

    /// Makes sure that the schema is there and this program's.
    ///
    /// # Errors
    /// The sentence that a server would refuse to start with.
    pub async fn is_migrated(url: &SecretString) -> Result<(), StoreError> {
        opening::check(url, true).await.map(drop)
    }

    /// Lets others in again.
    pub async fn release(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "could not close a connection cleanly");
        }
    }
}

/// Makes sure that nobody holds the database alone. The connection is closed soon after,
/// and with it goes the lock.
pub(super) async fn check_open(
    connection: &mut PgConnection,
    place: &str,
) -> Result<(), StoreError> {
    if ask(connection, place, "SELECT pg_try_advisory_lock_shared($1)").await? {
        return Ok(());
    }
    Err(refuse(format!(
        "quaestor move works on PostgreSQL at {place}: start again when it has ended"
    )))
}

async fn ask(
    connection: &mut PgConnection,
    place: &str,
    sql: &'static str,
) -> Result<bool, StoreError> {
    let row = asked(place, sqlx::query(sql).bind(TURN).fetch_one(connection).await)?;
    row.try_get(0).map_err(|error| failed(place, &error))
}
