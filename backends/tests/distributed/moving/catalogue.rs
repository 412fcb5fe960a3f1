//! Does the portable form name every column of both databases?

use quaestor_core::ports::store::Table;
use sqlx::{Connection, Row};

use super::sqlite;
use crate::postgres::databases::Database;

/// Columns that do not travel, with the reason.
const LEFT: &[(&str, &str)] = &[
    // Keys that a database counts for itself; records name each other by ids.
    ("*", "key"),
    ("*", "version_key"),
    ("*", "generation_key"),
    ("*", "chunk_key"),
    // Records are read and written for a workspace.
    ("*", "workspace_id"),
    // `versions.current` says it.
    ("documents", "current_key"),
    // `versions.other` says it.
    ("documents", "other_key"),
    // Made anew from chunks and vectors.
    ("versions", "indexed_chunks"),
    ("versions", "indexed_terms"),
    ("generations", "vector_index"),
    ("vectors", "embedding"),
    // Under other names: `vectors.vector`, and the chunk by its id.
    ("vectors", "exact"),
    // The outbox names the job.
    ("jobs", "outbox_id"),
    // Of the processes that run.
    ("jobs", "worker_id"),
    ("jobs", "lease_until"),
    ("outbox", "sent_at"),
    // The file of an export stays behind: it can be made again.
    ("exports", "object_key"),
    ("exports", "size_bytes"),
    ("exports", "sha256"),
    ("exports", "kept_until"),
    ("exports", "link_key"),
    // Follows from the step; what was moved comes in the order in which it was due.
    ("outbox", "bulk"),
    // Whole tables: derived, or of the database and not of the installation.
    ("vector_blocks", "*"),
    ("chunk_terms", "*"),
    ("search_stamps", "*"),
    ("schema_migrations", "*"),
    ("standing", "*"),
    ("backups", "*"),
    ("schedules", "*"),
    ("schedule_runs", "*"),
    // Of a parse that runs: it is begun anew.
    ("checkpoints", "*"),
    // Added up from the requests in `model_usage`.
    ("spent", "*"),
    // Until a document's next version has its own.
    ("kept_vectors", "*"),
];

/// Columns of records that stand elsewhere or under another name in a database.
const NAMED_OTHERWISE: &[(&str, &str)] = &[
    ("versions", "current"),
    ("versions", "other"),
    ("pages", "document_id"),
    ("pages", "version"),
    ("chunks", "document_id"),
    ("chunks", "version"),
    ("vectors", "generation_id"),
    ("vectors", "chunk_id"),
    ("vectors", "vector"),
];

fn hold_to_the_list(catalogue: &[(String, String)]) {
    assert!(catalogue.len() > 120, "the catalogue was not read: {}", catalogue.len());
    for (table, column) in catalogue {
        let left = LEFT.iter().any(|(of, name)| {
            (*of == "*" || of == table) && (*name == "*" || name == column)
                // A client's key of a request is no key of the database.
                && !(table == "idempotency_keys" && column == "key")
        });
        let known = Table::ALL
            .iter()
            .any(|known| known.name() == table && known.columns().iter().any(|c| c.name == column));
        assert!(
            left != known || (known && NAMED_OTHERWISE.contains(&(&**table, &**column))),
            "{table}.{column} is {}: put it into the portable form, or into the list of what does \
             not travel",
            if left { "in both lists" } else { "in neither list" }
        );
    }
    for table in Table::ALL {
        for column in table.columns() {
            let there =
                catalogue.iter().any(|(of, name)| of == table.name() && name == column.name);
            assert!(
                there || NAMED_OTHERWISE.contains(&(table.name(), column.name)),
                "{}.{} is in no table",
                table.name(),
                column.name
            );
        }
    }
}

#[tokio::test]
async fn every_column_of_postgres_travels_or_is_named_as_one_that_does_not() {
    let database = Database::with_schema().await;
    let mut owner = database.connect().await;
    let found = sqlx::query(
        "SELECT c.relname::text, a.attname::text FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    hold_to_the_list(&found.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_column_of_sqlite_travels_or_is_named_as_one_that_does_not() {
    let first = sqlite().await;
    let url = format!("sqlite:{}", first.file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let found = sqlx::query(
        "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c
         WHERE s.type = 'table' AND s.name NOT GLOB 'chunk_terms_*' AND s.name NOT GLOB 'sqlite_*'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    hold_to_the_list(&found.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<_>>());
}
