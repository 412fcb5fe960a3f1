//! An installation goes from SQLite to PostgreSQL and back, and what is not the same on
//! both sides is found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::store::postgres::PgStore;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_contracts::store::furnished::{Furnished, furnish};
use quaestor_contracts::store::portable::everything;
use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::ids::{ChunkId, WorkspaceId};
use quaestor_core::ports::objects::{ObjectKey, Objects};
use quaestor_core::ports::store::{Most, Record, Store, Table, Value};
use quaestor_core::transfer::{
    Damage, Difference, Told, check_objects, check_rows, copy_objects, copy_rows, remove_objects,
};
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
    let empty = EmptyStore { store, keep: Box::new(()), leftovers: None };
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

/// A file for every version, as an upload would have left it.
async fn files(store: &dyn Store, folder: &Path) -> LocalObjects {
    let objects = LocalObjects::open(folder).await.unwrap();
    for workspace in store.workspaces_after(None, 10).await.unwrap() {
        for version in versions(store, workspace).await {
            // The fixture's files are their texts; only the size and the sum count here.
            let size = usize::try_from(version.integer("size_bytes").unwrap()).unwrap();
            let key = ObjectKey::parse(version.text("object_key").unwrap()).unwrap();
            let stream = futures::stream::iter([Ok(vec![b'x'; size].into())]).boxed();
            objects.put(&key, stream, 1 << 20).await.unwrap();
        }
    }
    objects
}

async fn versions(store: &dyn Store, workspace: WorkspaceId) -> Vec<Record> {
    let most = Most { records: 400, bytes: 1 << 20 };
    store.read_records(workspace, Table::Versions, None, most).await.unwrap().records
}

/// Makes the rows say of each file what `files` has stored.
async fn as_stored(file: &Path) {
    use sha2::{Digest, Sha256};
    let url = format!("sqlite:{}", file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query("SELECT key, size_bytes FROM versions").fetch_all(&mut database).await;
    for row in rows.unwrap() {
        let size = usize::try_from(row.get::<i64, _>(1)).unwrap();
        let sha256: String =
            Sha256::digest(vec![b'x'; size]).iter().map(|byte| format!("{byte:02x}")).collect();
        sqlx::query("UPDATE versions SET sha256 = $2 WHERE key = $1")
            .bind(row.get::<i64, _>(0))
            .bind(sha256)
            .execute(&mut database)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn every_file_arrives_and_one_that_is_damaged_is_named() {
    let first = sqlite().await;
    furnished(first.store.clone()).await;
    as_stored(&first.file).await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(&*first.store, here.path()).await;
    let target = LocalObjects::open(there.path()).await.unwrap();
    let store: &dyn Store = &*first.store;
    let (copied, damaged) = copy_objects(store, &source, &target, &silent).await.unwrap();
    assert!(copied.files >= 16 && damaged.is_empty(), "{copied:?} {damaged:?}");
    let (checked, damaged) = check_objects(store, &target, &silent).await.unwrap();
    assert_eq!((checked, damaged.len()), (copied, 0));

    // A byte, a file and the end of a file.
    let workspace = store.workspaces_after(None, 1).await.unwrap()[0];
    let all = versions(store, workspace).await;
    let path = |folder: &Path, record: &Record| {
        folder.join("objects").join(record.text("object_key").unwrap())
    };
    let long = all.iter().find(|one| one.text("filename").unwrap().starts_with("canary")).unwrap();
    let mut bytes = std::fs::read(path(there.path(), long)).unwrap();
    bytes[17] ^= 1;
    std::fs::write(path(there.path(), long), bytes).unwrap();
    let failed = all.iter().find(|one| one.text("status") == Some("failed")).unwrap();
    std::fs::remove_file(path(there.path(), failed)).unwrap();
    let (_, damaged) = check_objects(store, &target, &silent).await.unwrap();
    let mut damages: Vec<_> = damaged.iter().map(|one| (one.damage.clone(), one.failed)).collect();
    damages.sort_by_key(|(damage, _)| format!("{damage:?}"));
    assert_eq!(damages, [(Damage::Changed, false), (Damage::Missing, true)]);
    assert!(damaged.iter().any(|one| one.to_string().contains("canary-of-the-first.txt")));

    // At the source such a file is not copied.
    let mut bytes = std::fs::read(path(here.path(), long)).unwrap();
    bytes[17] ^= 1;
    std::fs::write(path(here.path(), long), bytes).unwrap();
    std::fs::remove_file(path(there.path(), long)).unwrap();
    let (_, damaged) = copy_objects(store, &source, &target, &silent).await.unwrap();
    assert_eq!(damaged.len(), 1);
    assert!(!path(there.path(), long).exists());

    remove_objects(store, &target).await.unwrap();
    let (left, damaged) = check_objects(store, &target, &silent).await.unwrap();
    assert_eq!((left.files, damaged.len() as u64), (0, copied.files));
}

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
    // Whole tables: derived, or of the database and not of the installation.
    ("vector_blocks", "*"),
    ("chunk_terms", "*"),
    ("search_stamps", "*"),
    ("schema_migrations", "*"),
    ("standing", "*"),
];

/// Columns of records that stand elsewhere or under another name in a database.
const NAMED_OTHERWISE: &[(&str, &str)] = &[
    ("versions", "current"),
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
