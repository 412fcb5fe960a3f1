//! Does the PostgreSQL store keep the store's contract, and nothing behind its back?

pub(crate) mod databases;
mod groups;
mod migrating;
mod opening;
mod outage;
mod security;

use std::sync::Arc;

use quaestor_contracts::store::{Damage, EmptyStore};
use sqlx::{AssertSqlSafe, Row};

use databases::{Database, connect_to, open, run, url_of};

async fn empty_store() -> EmptyStore {
    let database = Database::with_schema().await;
    let store = open(&database).await;
    let url = url_of(database.name());
    EmptyStore {
        store: Arc::new(store),
        keep: Box::new(database),
        leftovers: Some(Box::new({
            let url = url.clone();
            move || Box::pin(leftovers(url.clone()))
        })),
        harm: Some(Box::new(move |damage| Box::pin(harm(url.clone(), damage)))),
    }
}

/// Does damage to the database, behind the store's back: neither keys nor triggers hinder it.
async fn harm(url: String, damage: Damage) -> bool {
    let mut database = connect_to(&url).await;
    let last = "(SELECT max(key) FROM chunks)";
    let sql = match damage {
        Damage::PostingsGone => "DELETE FROM chunk_terms".to_owned(),
        Damage::VectorGone => format!("DELETE FROM vectors WHERE chunk_key = {last}"),
        // A search looks through the vectors themselves.
        Damage::VectorIndexGone => return false,
        Damage::OtherLength => "UPDATE generations SET dimensions = dimensions + 1".to_owned(),
        Damage::PassageGone => format!("DELETE FROM chunks WHERE key = {last}"),
        Damage::PassageOfNoVersion => {
            format!("UPDATE chunks SET version_key = 999999 WHERE key = {last}")
        }
    };
    run(&mut database, format!("SET session_replication_role = replica; {sql}")).await;
    true
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
