//! An installation goes from SQLite to PostgreSQL and back, and what is not the same on
//! both sides is found.

mod bundles;
mod catalogue;
mod files;

use std::path::PathBuf;
use std::sync::Arc;

use quaestor_backends::store::postgres::PgStore;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_contracts::store::furnished::{Furnished, furnish};
use quaestor_contracts::store::portable::everything;
use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::ids::{ChunkId, WorkspaceId};
use quaestor_core::ports::store::{Record, Store, Table, Value};
use quaestor_core::transfer::{Difference, Told, check_rows, copy_rows};
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use crate::postgres::databases::{Database, open};

fn silent(_: Told) {}

struct Sqlite {
    store: Arc<SqliteStore>,
    file: PathBuf,
    _folder: TempDir,
}

async fn sqlite() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quaestor.db");
    let url = format!("sqlite:{}", file.display());
    let store = SqliteStore::open(&url, SqliteOptions::default()).await.unwrap();
    Sqlite { store: Arc::new(store), file, _folder: folder }
}

struct Postgres {
    store: Arc<PgStore>,
    database: Database,
}

async fn postgres() -> Postgres {
    let database = Database::with_schema().await;
    Postgres { store: Arc::new(open(&database).await), database }
}

async fn furnished(store: Arc<dyn Store>) -> (Fixture, [Furnished; 2]) {
    let empty = EmptyStore { store, keep: Box::new(()), leftovers: None, harm: None };
    let mut fixture = Fixture::over(empty).await;
    let furnished = furnish(&mut fixture).await;
    (fixture, furnished)
}

async fn moved(from: &dyn Store, to: &dyn Store) -> u64 {
    copy_rows(from, to, &silent).await.unwrap();
    let (rows, differences) = check_rows(from, to, &silent).await.unwrap();
    assert_eq!(differences, []);
    rows
}

/// The records as PostgreSQL keeps them.
async fn without_nuls(store: &dyn Store) -> Vec<(WorkspaceId, Vec<Record>)> {
    let mut all = everything(store).await;
    for value in all.iter_mut().flat_map(|(_, records)| records).flat_map(|r| &mut r.values) {
        if let Value::Text(text) = value {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    all
}

/// What words and vectors find.
async fn found(f: &Fixture, store: &dyn Store, one: &Furnished) -> (Vec<ChunkId>, Vec<ChunkId>) {
    let collections = store.list_collections(one.workspace, Default::default()).await.unwrap();
    let scope = f.scope(&collections.items.iter().map(|c| c.id).collect::<Vec<_>>());
    let terms = ["word12".to_owned(), "chunk".to_owned()];
    let text = store.search_text(one.workspace, &scope, &terms, 50).await.unwrap();
    let near =
        store.search_vectors(one.workspace, &scope, &[one.generation], &[0.9; 8], 5).await.unwrap();
    (
        text.into_iter().map(|hit| hit.chunk_id).collect(),
        near.into_iter().map(|hit| hit.chunk_id).collect(),
    )
}

#[tokio::test]
async fn from_sqlite_to_postgres_and_back_everything_is_the_same() {
    let (first, second, third) = (sqlite().await, postgres().await, sqlite().await);
    let (f, workspaces) = furnished(first.store.clone()).await;
    let rows = moved(&*first.store, &*second.store).await;
    assert!(rows > 2_300, "{rows}");
    assert_eq!(moved(&*second.store, &*third.store).await, rows);
    let there = everything(&*second.store).await;
    assert_eq!(without_nuls(&*first.store).await, there);
    assert_eq!(everything(&*third.store).await, there);
    for one in &workspaces {
        let (text, near) = found(&f, &*second.store, one).await;
        assert!(text.len() > 3 && near.len() == 3, "{text:?} {near:?}");
        assert_eq!(found(&f, &*third.store, one).await, (text, near));
    }
}

#[tokio::test]
async fn from_postgres_to_sqlite_and_back_everything_is_the_same() {
    let (first, second, third) = (postgres().await, sqlite().await, postgres().await);
    let (f, workspaces) = furnished(first.store.clone()).await;
    let rows = moved(&*first.store, &*second.store).await;
    assert_eq!(moved(&*second.store, &*third.store).await, rows);
    let there = everything(&*first.store).await;
    assert_eq!(everything(&*second.store).await, there);
    assert_eq!(everything(&*third.store).await, there);
    for one in &workspaces {
        let (text, near) = found(&f, &*second.store, one).await;
        assert!(text.len() > 3 && near.len() == 3, "{text:?} {near:?}");
        assert_eq!(found(&f, &*third.store, one).await, (text, near));
    }
}

/// What is no longer searched takes no room in search either, on the new side.
#[tokio::test]
async fn what_search_counts_is_that_of_current_versions() {
    let (first, second) = (sqlite().await, postgres().await);
    furnished(first.store.clone()).await;
    moved(&*first.store, &*second.store).await;
    let mut owner = second.database.connect().await;
    let wrong = sqlx::query(
        "SELECT count(*) FROM versions v JOIN documents d ON d.id = v.document_id
         WHERE v.indexed_chunks <> CASE WHEN d.current_key = v.key
             THEN (SELECT count(*) FROM chunks c WHERE c.version_key = v.key) ELSE 0 END",
    );
    assert_eq!(wrong.fetch_one(&mut owner).await.unwrap().get::<i64, _>(0), 0);
    let stray = sqlx::query("SELECT count(*) FROM messages_default");
    assert_eq!(stray.fetch_one(&mut owner).await.unwrap().get::<i64, _>(0), 0);
}

/// Each of these at the target, and whether the check then says so.
#[tokio::test]
async fn a_planted_difference_is_found() {
    let (first, second) = (sqlite().await, postgres().await);
    let (_, [one, _]) = furnished(first.store.clone()).await;
    copy_rows(&*first.store, &*second.store, &silent).await.unwrap();
    let mut owner = second.database.connect().await;
    let generation: i64 = sqlx::query("SELECT key FROM generations WHERE id = $1")
        .bind(one.generation.uuid())
        .fetch_one(&mut owner)
        .await
        .unwrap()
        .get(0);
    let vectors = format!("vectors_{generation}");
    let planted = [
        ("chunks", "UPDATE chunks SET text = text || ' ' WHERE ordinal = 700".to_owned()),
        (
            "vectors",
            format!(
                "DELETE FROM {vectors} WHERE chunk_key =
                                 (SELECT max(chunk_key) FROM {vectors})"
            ),
        ),
        (
            // The last bit of one number.
            "vectors",
            format!(
                "UPDATE {vectors} SET exact = '[1,1,1,1,1,1,1,0.99999994]'
                 WHERE exact = '[1,1,1,1,1,1,1,1]'"
            ),
        ),
        ("pages", "UPDATE pages SET boxes = '\\x00' WHERE ordinal = 0".to_owned()),
        ("jobs", "UPDATE jobs SET attempt = attempt + 1 WHERE state = 'waiting'".to_owned()),
        ("outbox", "DELETE FROM outbox WHERE due_at = (SELECT max(due_at) FROM outbox)".to_owned()),
        (
            "model_usage",
            "INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt,
              model, input_tokens, output_tokens, cost_micros, created_at)
              SELECT workspace_id, principal_id, job_id, attempt, model, input_tokens,
              output_tokens, cost_micros, created_at FROM model_usage"
                .to_owned(),
        ),
        ("versions", "UPDATE documents SET current_key = NULL".to_owned()),
        ("idempotency_keys", "UPDATE idempotency_keys SET response = response || ' '".to_owned()),
        ("api_keys", "UPDATE api_keys SET revoked_at = NULL".to_owned()),
    ];
    for (table, sql) in planted {
        let mut tx = owner.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let (_, differences) = check_rows(&*first.store, &*second.store, &silent).await.unwrap();
        let tables: Vec<&str> = differences.iter().map(|one| one.table.name()).collect();
        assert!(tables.contains(&table), "{sql}: {tables:?}");
    }
    let whole = Difference::to_string;
    let (_, differences) = check_rows(&*first.store, &*second.store, &silent).await.unwrap();
    let chunks = differences.iter().find(|one| one.table == Table::Chunks).unwrap();
    assert!(whole(chunks).contains("ordinal 700"), "{chunks}");
}

#[tokio::test]
async fn a_whole_workspace_that_is_missing_or_too_many_is_found() {
    let (first, second) = (sqlite().await, postgres().await);
    let (f, _) = furnished(first.store.clone()).await;
    copy_rows(&*first.store, &*second.store, &silent).await.unwrap();
    let id = f.id();
    let more = quaestor_core::ports::store::NewWorkspace {
        id,
        name: "more".to_owned(),
        created_at: f.now(),
    };
    let installation: &dyn Store = &*second.store;
    installation.create_workspace(more).await.unwrap();
    let (_, differences) = check_rows(&*first.store, &*second.store, &silent).await.unwrap();
    assert_eq!(differences.len(), 1);
    assert!(
        differences[0].to_string().contains("2 rows at the source and 3"),
        "{}",
        differences[0]
    );
}

#[tokio::test]
async fn whoever_holds_the_database_alone_lets_nobody_in() {
    use quaestor_backends::store::postgres::{Alone, PgOptions};
    use quaestor_core::clock::SystemClock;

    let database = Database::with_schema().await;
    let url = database.url();
    let other = open(&database).await;
    let first = quaestor_core::ports::store::Installation::ping(&other).await;
    first.unwrap();
    let sentence = |error: quaestor_core::ports::store::StoreError| {
        std::error::Error::source(&error).unwrap().to_string()
    };
    let told = sentence(Alone::take(&url, &SystemClock).await.unwrap_err());
    assert!(told.contains("stop all of them first"), "{told}");
    other.close().await;
    let mut alone = Alone::take(&url, &SystemClock).await.unwrap();
    let told = sentence(Alone::take(&url, &SystemClock).await.unwrap_err());
    assert!(told.contains("another quaestor move"), "{told}");
    let refused = PgStore::connect(PgOptions::new(url.clone()), Arc::new(SystemClock)).await;
    let told = sentence(refused.unwrap_err());
    assert!(told.contains("quaestor move works on PostgreSQL"), "{told}");
    let options = PgOptions { alone: true, ..PgOptions::new(url.clone()) };
    let own = PgStore::connect(options, Arc::new(SystemClock)).await.unwrap();
    quaestor_core::ports::store::Installation::ping(&own).await.unwrap();
    alone.check().await.unwrap();
    own.close().await;
    alone.release().await;
    open(&database).await.close().await;
}
