//! Does the PostgreSQL store keep the store's contract, and nothing behind its back?

pub(crate) mod databases;
mod groups;
mod migrating;
mod opening;
mod outage;
mod security;

use std::sync::Arc;

use quaestor_contracts::store::EmptyStore;
use sqlx::{AssertSqlSafe, Row};

use databases::{Database, connect_to, open, url_of};

async fn empty_store() -> EmptyStore {
    let database = Database::with_schema().await;
    let store = open(&database).await;
    let url = url_of(database.name());
    EmptyStore {
        store: Arc::new(store),
        keep: Box::new(database),
        leftovers: Some(Box::new(move || Box::pin(leftovers(url.clone())))),
    }
}

/// Which tables still hold something of a document.
async fn leftovers(url: String) -> Vec<String> {
    let mut database = connect_to(&url).await;
    let tables = sqlx::query(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
           AND (c.relname IN ('documents', 'outbox')
                OR a.attname IN ('version_key', 'chunk_key', 'document_id'))
         GROUP BY c.relname ORDER BY c.relname",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(tables.len() >= 6, "the tables of documents were not found: {}", tables.len());
    let mut found = Vec::new();
    for row in tables {
        let table: String = row.get(0);
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 =
            sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut database).await.unwrap().get(0);
        if rows > 0 {
            found.push(format!("{table}: {rows}"));
        }
    }
    found
}

quaestor_contracts::store_contract!(empty_store);
