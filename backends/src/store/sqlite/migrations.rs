//! Brings the schema of a file up to date, once per migration, and refuses a file that
//! another history made.

use quaestor_core::ports::store::StoreError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::fault::Fault;
use super::history::{self, Applied, Migration};

/// Every migration, in order. One that was released is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "first",
        sql: include_str!("../../../../migrations/sqlite/0001_first.sql"),
        needs: 1,
    },
    Migration {
        version: 2,
        name: "pending_answers",
        sql: include_str!("../../../../migrations/sqlite/0002_pending_answers.sql"),
        needs: 2,
    },
    Migration {
        version: 3,
        name: "standing",
        sql: include_str!("../../../../migrations/sqlite/0003_standing.sql"),
        needs: 3,
    },
    Migration {
        version: 4,
        name: "money",
        sql: include_str!("../../../../migrations/sqlite/0004_money.sql"),
        needs: 4,
    },
    Migration {
        version: 5,
        name: "dead letters",
        sql: include_str!("../../../../migrations/sqlite/0005_dead_letters.sql"),
        needs: 5,
    },
    Migration {
        version: 6,
        name: "audit chain",
        sql: include_str!("../../../../migrations/sqlite/0006_audit_chain.sql"),
        needs: 6,
    },
    Migration {
        version: 7,
        name: "backups",
        sql: include_str!("../../../../migrations/sqlite/0007_backups.sql"),
        needs: 7,
    },
    Migration {
        version: 8,
        name: "open calls",
        sql: include_str!("../../../../migrations/sqlite/0008_open_calls.sql"),
        needs: 8,
    },
    Migration {
        version: 9,
        name: "generations",
        sql: include_str!("../../../../migrations/sqlite/0009_generations.sql"),
        needs: 8,
    },
    Migration {
        version: 10,
        name: "batches",
        sql: include_str!("../../../../migrations/sqlite/0010_batches.sql"),
        needs: 8,
    },
    Migration {
        version: 11,
        name: "exports",
        sql: include_str!("../../../../migrations/sqlite/0011_exports.sql"),
        needs: 10,
    },
    Migration {
        version: 12,
        name: "schedules",
        sql: include_str!("../../../../migrations/sqlite/0012_schedules.sql"),
        needs: 10,
    },
    Migration {
        version: 13,
        name: "readings",
        sql: include_str!("../../../../migrations/sqlite/0013_readings.sql"),
        needs: 10,
    },
    Migration {
        version: 14,
        name: "searched",
        sql: include_str!("../../../../migrations/sqlite/0014_searched.sql"),
        needs: 10,
    },
];

/// Runs what the file lacks, all in one transaction.
pub(super) async fn run(connection: &mut SqliteConnection) -> Result<(), Fault> {
    run_all(connection, MIGRATIONS).await
}

/// Makes sure that the file has all of it.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let applied = applied(connection).await?;
    match history::missing(MIGRATIONS, &applied).map_err(refusal)?.first() {
        None => Ok(()),
        Some(migration) => Err(refusal(format!(
            "the database was made by an older program: it lacks migration {} ({}); start this \
             program's server once, or use the program of the server that runs",
            migration.version, migration.name
        ))),
    }
}

async fn applied(connection: &mut SqliteConnection) -> Result<Vec<Applied>, Fault> {
    // Early programs made the table without `needs`.
    let needs = if has_needs(connection).await? { "needs" } else { "NULL" };
    let sql = format!("SELECT version, name, sha256, {needs} FROM schema_migrations");
    let applied = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let applied = applied.iter().map(|row| {
        Ok(Applied {
            version: row.try_get(0)?,
            name: row.try_get(1)?,
            sha256: row.try_get(2)?,
            needs: row.try_get(3)?,
        })
    });
    Ok(applied.collect::<Result<Vec<_>, sqlx::Error>>()?)
}

async fn has_needs(connection: &mut SqliteConnection) -> Result<bool, Fault> {
    let column = "SELECT 1 FROM pragma_table_info('schema_migrations') WHERE name = 'needs'";
    Ok(sqlx::query(column).fetch_optional(connection).await?.is_some())
}

async fn run_all(connection: &mut SqliteConnection, migrations: &[Migration]) -> Result<(), Fault> {
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL)",
    )
    .execute(&mut *connection)
    .await?;
    // The lock is taken before the history is read: two programs that start at once
    // would else both run the same migration.
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    if !has_needs(&mut tx).await? {
        sqlx::query("ALTER TABLE schema_migrations ADD COLUMN needs INTEGER")
            .execute(&mut *tx)
            .await?;
    }
    let applied = applied(&mut tx).await?;
    for migration in history::missing(migrations, &applied).map_err(refusal)? {
        sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO schema_migrations (version, name, sha256, needs) VALUES ($1, $2, $3, $4)",
        )
        .bind(migration.version)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(migration.needs)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

fn refusal(detail: String) -> Fault {
    Fault::Store(StoreError::Failed { action: "open the database", source: detail.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn memory() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    const A: Migration = Migration { version: 1, name: "a", sql: "CREATE TABLE a (x)", needs: 1 };

    #[tokio::test]
    async fn a_migration_runs_once() {
        let mut file = memory().await;
        run_all(&mut file, &[A]).await.unwrap();
        run_all(&mut file, &[A]).await.unwrap();
    }

    #[tokio::test]
    async fn a_changed_migration_is_refused() {
        let mut file = memory().await;
        run_all(&mut file, &[A]).await.unwrap();
        let changed = Migration { sql: "CREATE TABLE a (y)", ..A };
        assert!(run_all(&mut file, &[changed]).await.is_err());
    }

    #[tokio::test]
    async fn a_newer_file_is_refused_and_a_failed_migration_leaves_nothing() {
        let mut file = memory().await;
        let bad =
            Migration { version: 2, name: "b", sql: "CREATE TABLE b (x); NONSENSE", needs: 2 };
        assert!(run_all(&mut file, &[A, bad]).await.is_err());
        let good = Migration { version: 2, name: "b", sql: "CREATE TABLE b (x)", needs: 2 };
        run_all(&mut file, &[A, good]).await.unwrap();
        assert!(run_all(&mut file, &[A]).await.is_err());
    }

    #[tokio::test]
    async fn a_newer_file_that_only_has_more_is_opened() {
        let mut file = memory().await;
        let more = Migration { version: 2, name: "b", sql: "CREATE TABLE b (x)", needs: 1 };
        run_all(&mut file, &[A, more]).await.unwrap();
        run_all(&mut file, &[A]).await.unwrap();
        let other = Migration { version: 3, name: "c", sql: "CREATE TABLE c (x)", needs: 3 };
        run_all(&mut file, &[A, more, other]).await.unwrap();
        assert!(run_all(&mut file, &[A, more]).await.is_err());
    }

    /// A file of before there was `needs`.
    #[tokio::test]
    async fn an_early_history_is_read_and_goes_on() {
        let mut file = memory().await;
        let early = "CREATE TABLE schema_migrations (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL)";
        sqlx::query(early).execute(&mut file).await.unwrap();
        let noted = "INSERT INTO schema_migrations VALUES (1, 'a', $1)";
        sqlx::query(noted).bind(A.checksum()).execute(&mut file).await.unwrap();
        assert_eq!(applied(&mut file).await.unwrap()[0].needs, None);
        let more = Migration { version: 2, name: "b", sql: "CREATE TABLE b (x)", needs: 1 };
        run_all(&mut file, &[A, more]).await.unwrap();
        assert_eq!(applied(&mut file).await.unwrap()[1].needs, Some(1));
    }

    /// A job that was dead before there were letters is listed as well.
    #[tokio::test]
    async fn jobs_that_are_dead_already_get_a_letter() {
        let mut file = memory().await;
        let before = MIGRATIONS.iter().position(|migration| migration.version == 5).unwrap();
        run_all(&mut file, &MIGRATIONS[..before]).await.unwrap();
        sqlx::raw_sql(
            r#"INSERT INTO workspaces (id, name, created_at) VALUES (x'01', 'a', 1);
            INSERT INTO jobs (id, workspace_id, principal_id, kind, step, state, payload,
                subject_id, attempt, problem, created_at, updated_at, finished_at)
            VALUES (x'02', x'01', x'03', 'chat', 'chat.generate', 'dead', '{"a":1}', x'04', 6,
                '{"code":"too_many_attempts","title":"T","detail":"it \u0000 was"}', 1, 2, 3),
                (x'05', x'01', x'03', 'chat', 'chat.generate', 'failed', '{}', x'06', 1,
                '{"code":"x","title":"T","detail":"d"}', 1, 2, 3)"#,
        )
        .execute(&mut file)
        .await
        .unwrap();
        run_all(&mut file, MIGRATIONS).await.unwrap();
        let letters = sqlx::query("SELECT code, attempts, died_at FROM dead_letters")
            .fetch_all(&mut file)
            .await
            .unwrap();
        let [letter] = letters.as_slice() else { panic!("{} letters", letters.len()) };
        assert_eq!(letter.get::<String, _>(0), "too_many_attempts");
        assert_eq!((letter.get::<i64, _>(1), letter.get::<i64, _>(2)), (6, 3));
    }
}
