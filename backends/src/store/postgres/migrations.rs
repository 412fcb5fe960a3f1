//! Brings the schema of a database up to date, and says where it is not.

use quaestor_core::clock::{Clock, Time};
use quaestor_core::ports::store::StoreError;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::connections::{Commit, Connections};
use super::dialect::INSTALLATION;
use super::fault::during;
use super::history::{self, Applied, Migration};
use super::opening::{self, asked, failed, refuse};

/// Every migration, in order. One that was released is never changed. A release that is rolled
/// out runs beside the one before it, and may be taken back: so a migration that changes what
/// was there comes a release after the one that no longer looks at it.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "first",
        sql: include_str!("../../../../migrations/postgres/0001_first.sql"),
        needs: 1,
    },
    Migration {
        version: 2,
        name: "search",
        sql: include_str!("../../../../migrations/postgres/0002_search.sql"),
        needs: 2,
    },
    Migration {
        version: 3,
        name: "standing",
        sql: include_str!("../../../../migrations/postgres/0003_standing.sql"),
        needs: 3,
    },
    Migration {
        version: 4,
        name: "hot paths",
        sql: include_str!("../../../../migrations/postgres/0004_hot_paths.sql"),
        needs: 4,
    },
    Migration {
        version: 5,
        name: "money",
        sql: include_str!("../../../../migrations/postgres/0005_money.sql"),
        needs: 5,
    },
    Migration {
        version: 6,
        name: "dead letters",
        sql: include_str!("../../../../migrations/postgres/0006_dead_letters.sql"),
        needs: 6,
    },
    Migration {
        version: 7,
        name: "audit chain",
        sql: include_str!("../../../../migrations/postgres/0007_audit_chain.sql"),
        needs: 7,
    },
    Migration {
        version: 8,
        name: "backups",
        sql: include_str!("../../../../migrations/postgres/0008_backups.sql"),
        needs: 8,
    },
    Migration {
        version: 9,
        name: "open calls",
        sql: include_str!("../../../../migrations/postgres/0009_open_calls.sql"),
        needs: 9,
    },
    Migration {
        version: 10,
        name: "kept on disk",
        sql: include_str!("../../../../migrations/postgres/0010_kept_on_disk.sql"),
        needs: 9,
    },
    Migration {
        version: 11,
        name: "generations",
        sql: include_str!("../../../../migrations/postgres/0011_generations.sql"),
        needs: 10,
    },
    Migration {
        version: 12,
        name: "batches",
        sql: include_str!("../../../../migrations/postgres/0012_batches.sql"),
        needs: 10,
    },
    Migration {
        version: 13,
        name: "exports",
        sql: include_str!("../../../../migrations/postgres/0013_exports.sql"),
        needs: 12,
    },
    Migration {
        version: 14,
        name: "schedules",
        sql: include_str!("../../../../migrations/postgres/0014_schedules.sql"),
        needs: 12,
    },
    Migration {
        version: 15,
        name: "readings",
        sql: include_str!("../../../../migrations/postgres/0015_readings.sql"),
        needs: 12,
    },
];

/// How many months after this one have their partitions ahead of time.
const MONTHS_AHEAD: i32 = 3;

/// What processes that migrate at once take turns by; any number that nobody else uses.
const TURN: i64 = 0x7175_6165_7374_6f72;

/// Runs what the database lacks, all in one transaction. Returns how many.
pub(super) async fn run(url: &SecretString, clock: &dyn Clock) -> Result<usize, StoreError> {
    let (mut connection, place) = opening::enter(url).await?;
    opening::check_vector(&mut connection, &place, true).await?;
    let mut tx = asked(&place, connection.begin().await)?;
    let turn = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *tx).await;
    asked(&place, turn)?;
    let history = sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 BYTEA NOT NULL);
         ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS needs BIGINT",
    );
    asked(&place, history.execute(&mut *tx).await)?;
    let applied = applied(&mut tx).await.map_err(|error| failed(&place, &error))?;
    let missing = history::missing(MIGRATIONS, &applied).map_err(refuse)?;
    for migration in &missing {
        if let Err(error) = sqlx::raw_sql(migration.sql).execute(&mut *tx).await {
            return Err(not_run(&place, migration, &error));
        }
        let noted = sqlx::query(
            "INSERT INTO schema_migrations (version, name, sha256, needs) VALUES ($1, $2, $3, $4)",
        )
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(migration.needs)
        .execute(&mut *tx)
        .await;
        asked(&place, noted)?;
    }
    if !missing.is_empty() {
        let shown = sqlx::raw_sql("GRANT SELECT ON schema_migrations TO quaestor_app");
        asked(&place, shown.execute(&mut *tx).await)?;
    }
    let ahead = sqlx::query("SELECT ensure_partitions($1, $2)")
        .bind(clock.now().timestamp_micros())
        .bind(MONTHS_AHEAD)
        .execute(&mut *tx)
        .await;
    asked(&place, ahead)?;
    asked(&place, tx.commit().await)?;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "could not close a connection cleanly");
    }
    Ok(missing.len())
}

fn not_run(place: &str, migration: &Migration, error: &sqlx::Error) -> StoreError {
    let refused =
        matches!(error, sqlx::Error::Database(cause) if cause.code().as_deref() == Some("42501"));
    if refused {
        return refuse(format!(
            "the user of PostgreSQL at {place} may not make the schema ({error}): run quaestor \
             migrate once as a superuser, or let one run CREATE EXTENSION vector, CREATE ROLE \
             quaestor_app NOLOGIN and GRANT quaestor_app to this user"
        ));
    }
    refuse(format!(
        "migration {} ({}) failed in PostgreSQL at {place}, and nothing of it was kept: {error}",
        migration.version, migration.name
    ))
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, sqlx::Error> {
    // Early programs made the table without `needs`.
    sqlx::query(
        "SELECT version, name, sha256, (to_jsonb(m) ->> 'needs')::bigint
         FROM schema_migrations m ORDER BY version",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Applied {
            version: row.try_get(0)?,
            name: row.try_get(1)?,
            sha256: row.try_get(2)?,
            needs: row.try_get(3)?,
        })
    })
    .collect()
}

/// Makes sure that there is a schema.
pub(super) async fn check_there(
    connection: &mut PgConnection,
    place: &str,
) -> Result<(), StoreError> {
    let there = sqlx::query("SELECT to_regclass('schema_migrations') IS NOT NULL")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get::<bool, _>(0));
    match asked(place, there)? {
        true => Ok(()),
        false => {
            Err(refuse(format!("PostgreSQL at {place} has no schema yet: run quaestor migrate")))
        }
    }
}

/// Makes sure that the schema is this program's.
pub(super) async fn check_current(
    connection: &mut PgConnection,
    place: &str,
) -> Result<(), StoreError> {
    let applied = asked(place, applied(connection).await)?;
    let missing = history::missing(MIGRATIONS, &applied).map_err(refuse)?;
    match missing.first() {
        None => Ok(()),
        Some(next) => Err(refuse(format!(
            "the schema in PostgreSQL at {place} is older than this program, migration {} ({}) \
             is the next: run quaestor migrate",
            next.version, next.name
        ))),
    }
}

/// Makes the partitions that are missing. Returns how many.
pub(super) async fn ensure_partitions(
    connections: &Connections,
    now: Time,
) -> Result<u32, StoreError> {
    let work = async {
        let mut writer = connections.writer(INSTALLATION, Commit::Soon).await?;
        let mut tx = writer.begin().await?;
        let row = sqlx::query("SELECT ensure_partitions($1, $2)")
            .bind(now.timestamp_micros())
            .bind(MONTHS_AHEAD)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        let made: i32 = row.try_get(0)?;
        Ok(made.unsigned_abs())
    };
    work.await.map_err(during("make partitions"))
}
