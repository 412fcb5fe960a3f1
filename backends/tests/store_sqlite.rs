//! Does the SQLite store keep the store's contract, and nothing behind its back?

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

use std::path::PathBuf;
use std::sync::Arc;

use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_contracts::store::{Damage, EmptyStore};
use sqlx::{AssertSqlSafe, Connection, Row};

async fn empty_store() -> EmptyStore {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("quaestor.db");
    let url = format!("sqlite:{}", path.display());
    let store = SqliteStore::open(&url, SqliteOptions::default()).await.unwrap();
    EmptyStore {
        store: Arc::new(store),
        keep: Box::new(folder),
        leftovers: Some(Box::new({
            let path = path.clone();
            move || Box::pin(leftovers(path.clone()))
        })),
        harm: Some(Box::new(move |damage| Box::pin(harm(path.clone(), damage)))),
    }
}

/// Does damage to the file, behind the store's back.
async fn harm(path: PathBuf, damage: Damage) -> bool {
    let mut file =
        sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let last = "(SELECT max(key) FROM chunks)";
    let sql = match damage {
        Damage::PostingsGone => "DELETE FROM chunk_terms_1 WHERE rowid > 0".to_owned(),
        Damage::VectorGone => format!("DELETE FROM vectors WHERE chunk_key = {last}"),
        Damage::VectorIndexGone => "DELETE FROM vector_blocks".to_owned(),
        Damage::OtherLength => "UPDATE generations SET dimensions = dimensions + 1".to_owned(),
        Damage::PassageGone => format!("DELETE FROM chunks WHERE key = {last}"),
        Damage::PassageOfNoVersion => {
            format!("UPDATE chunks SET version_key = 999999 WHERE key = {last}")
        }
    };
    let sql = format!("PRAGMA foreign_keys = OFF; {sql}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut file).await.unwrap();
    true
}

/// Which tables still hold something of a document.
async fn leftovers(path: PathBuf) -> Vec<String> {
    let url = format!("sqlite:{}", path.display());
    let mut file = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut found = Vec::new();
    for table in [
        "documents",
        "versions",
        "pages",
        "chunks",
        "vectors",
        "vector_blocks",
        "kept_vectors",
        "outbox",
    ] {
        let sql = format!("SELECT count(*) FROM {table}");
        note(&mut file, table, sql, &mut found).await;
    }
    let sql = "SELECT name FROM sqlite_schema WHERE name GLOB 'chunk_terms_[0-9]*_docsize'";
    for row in sqlx::query(sql).fetch_all(&mut file).await.unwrap() {
        let table: String = row.get(0);
        let sql = format!("SELECT count(*) FROM {table}");
        note(&mut file, &table, sql, &mut found).await;
    }
    found
}

async fn note(
    file: &mut sqlx::SqliteConnection,
    table: &str,
    sql: String,
    found: &mut Vec<String>,
) {
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(file).await.unwrap();
    let rows: i64 = row.get(0);
    if rows > 0 {
        found.push(format!("{table}: {rows}"));
    }
}

quaestor_contracts::store_contract!(empty_store);

#[tokio::test]
async fn a_store_that_is_opened_again_has_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quaestor.db");
    let path = path.to_str().unwrap();
    let workspace = quaestor_core::ports::store::NewWorkspace {
        id: uuid::Uuid::from_u128(7).into(),
        name: "acme".to_owned(),
        created_at: chrono::DateTime::from_timestamp_micros(1).unwrap(),
    };
    let store = SqliteStore::open(path, SqliteOptions::default()).await.unwrap();
    quaestor_core::ports::store::Installation::create_workspace(&store, workspace).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(path, SqliteOptions::default()).await.unwrap();
    let first = quaestor_core::ports::store::Installation::first_workspace(&store).await.unwrap();
    assert_eq!(first, Some(uuid::Uuid::from_u128(7).into()));
}

#[tokio::test]
async fn a_path_that_is_none_is_refused_with_what_to_write() {
    for url in ["", "sqlite:", "sqlite::memory:"] {
        let error = SqliteStore::open(url, SqliteOptions::default()).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("sqlite:path/to/file.db"), "{cause}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are notes, not a database, and they shall stay").unwrap();
    let opened = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await;
    assert!(opened.is_err());
}

/// More chunks than are scored one and all.
#[tokio::test]
async fn in_a_wide_scope_rare_words_lead_and_common_ones_fill_up() {
    let f = quaestor_contracts::store::Fixture::over(empty_store().await).await;
    let collection = f.collection("wide").await;
    let texts: Vec<String> = (0..12_000)
        .map(|place| {
            let half = if place % 2 == 0 { "half" } else { "other" };
            let rare = if place % 4_000 == 0 { "rare" } else { "usual" };
            format!("common {half} {rare}")
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let document = f.ingest(collection, "wide.txt", &texts).await;
    let scope = f.scope(&[collection]);
    let chunk = |place| quaestor_core::ids::ChunkId::derive(document, 1, place);
    let mut hits = f.found(&scope, &["common", "half", "rare"]).await;
    assert_eq!(hits.len(), 50);
    hits[..3].sort();
    let mut rare = [chunk(0), chunk(4_000), chunk(8_000)];
    rare.sort();
    assert_eq!(hits[..3], rare);
    let hits = f.found(&scope, &["common", "half"]).await;
    let passages = f.store.passages(f.workspace, &hits).await.unwrap();
    assert_eq!(passages.len(), 50);
    assert!(passages.iter().all(|passage| passage.text.contains("half")));
    assert_eq!(f.found(&scope, &["common"]).await.len(), 50);
}
