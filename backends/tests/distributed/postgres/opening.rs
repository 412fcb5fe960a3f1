//! Each thing that is wrong with a server is told in one sentence, with what mends it.

use std::error::Error;
use std::sync::Arc;

use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::ports::store::Installation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::databases::{Database, base_url, open, run, url_of};

/// What the refusal says.
async fn refusal(url: &str) -> String {
    let opened = PgStore::connect(PgOptions::new(url), Arc::new(SystemClock)).await;
    let error = opened.err().unwrap();
    let sentence = error.source().unwrap().to_string();
    let password = base_url().split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    for shown in [sentence.clone(), format!("{error:?}")] {
        assert!(!shown.contains(&password) && !shown.contains("wrong-one"), "{shown}");
    }
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence
}

/// The settings' URL with another host and port, or another password.
fn with(replace: &str, by: &str) -> String {
    base_url().replacen(replace, by, 1)
}

fn authority() -> String {
    let base = base_url();
    base.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[tokio::test]
async fn no_server_is_told() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let sentence = refusal(&with(&authority(), &address)).await;
    assert!(sentence.contains(&format!("no PostgreSQL answers at {address}")), "{sentence}");
    assert!(sentence.contains("start the server"), "{sentence}");
}

#[tokio::test]
async fn a_url_that_is_none_is_told_without_showing_it() {
    let sentence = refusal("postgres//quaestor:wrong-one@nowhere").await;
    assert!(sentence.contains("write postgres://"), "{sentence}");
}

#[tokio::test]
async fn a_refused_password_is_told() {
    let base = base_url();
    let password = base.split(':').nth(2).unwrap().split('@').next().unwrap();
    let sentence = refusal(&with(&format!(":{password}@"), ":wrong-one@")).await;
    assert!(sentence.contains("refuses the password"), "{sentence}");
    assert!(sentence.contains("user "), "{sentence}");
}

#[tokio::test]
async fn a_missing_database_is_told() {
    let sentence = refusal(&url_of("qs_test_nowhere")).await;
    assert!(sentence.contains("there is no database qs_test_nowhere"), "{sentence}");
}

#[tokio::test]
async fn a_database_without_schema_is_told() {
    let database = Database::bare().await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("run quaestor migrate"), "{sentence}");
    run(&mut database.connect().await, "CREATE EXTENSION vector".to_owned()).await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("has no schema yet: run quaestor migrate"), "{sentence}");
}

#[tokio::test]
async fn an_older_a_newer_and_another_schema_are_told() {
    let database = Database::with_schema().await;
    let mut owner = database.connect().await;
    run(&mut owner, "INSERT INTO schema_migrations VALUES (999, 'later', '')".to_owned()).await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("made by a newer program"), "{sentence}");
    let newer = PgStore::migrate(&database.url(), &SystemClock).await;
    assert!(newer.is_err(), "a newer schema is left alone");
    run(&mut owner, "DELETE FROM schema_migrations WHERE version = 999".to_owned()).await;
    open(&database).await.close().await;

    // One that only adds lets the program before it run: a release can be taken back.
    let adds = "INSERT INTO schema_migrations SELECT 999, 'later', '', max(version)
         FROM schema_migrations";
    run(&mut owner, adds.to_owned()).await;
    open(&database).await.close().await;
    assert_eq!(PgStore::migrate(&database.url(), &SystemClock).await.unwrap(), 0);
    run(&mut owner, "DELETE FROM schema_migrations WHERE version = 999".to_owned()).await;

    run(&mut owner, "UPDATE schema_migrations SET sha256 = 'x' WHERE version = 1".to_owned()).await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("another one in the database"), "{sentence}");

    run(&mut owner, "DELETE FROM schema_migrations".to_owned()).await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("older than this program"), "{sentence}");
    assert!(sentence.contains("run quaestor migrate"), "{sentence}");
}

#[tokio::test]
async fn an_extension_that_is_too_old_is_told() {
    let database = Database::with_schema().await;
    let mut owner = database.connect().await;
    let sql = "SET allow_system_table_mods = on;
               UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'";
    run(&mut owner, sql.to_owned()).await;
    let sentence = refusal(&url_of(database.name())).await;
    assert!(sentence.contains("is version 0.6.2, and 0.7 is the oldest"), "{sentence}");
}

/// A server that lets everybody in and calls itself version 14.
async fn old_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0_u8; 1_024];
            // First the question for TLS, which is declined, then the start.
            let length = socket.read(&mut asked).await.unwrap_or(0);
            if length == 8 {
                socket.write_all(b"N").await.unwrap_or_default();
                let _start = socket.read(&mut asked).await;
            }
            let mut welcome = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
            let parameter = b"server_version\x0014.9\0";
            welcome.push(b'S');
            welcome.extend(u32::try_from(parameter.len() + 4).unwrap().to_be_bytes());
            welcome.extend(parameter);
            welcome.extend([b'Z', 0, 0, 0, 5, b'I']);
            socket.write_all(&welcome).await.unwrap_or_default();
            let _bye = socket.read(&mut asked).await;
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_is_too_old_is_told() {
    let sentence = refusal(&with(&authority(), &old_server().await)).await;
    assert!(sentence.contains("is version 14, and 15 is the oldest"), "{sentence}");
}

#[tokio::test]
async fn many_processes_migrate_at_once_and_each_migration_runs_once() {
    let database = Database::bare().await;
    let url = database.url();
    let turns = (0..4).map(|_| PgStore::migrate(&url, &SystemClock));
    let ran: usize = futures::future::join_all(turns).await.into_iter().map(Result::unwrap).sum();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/postgres");
    assert_eq!(ran, std::fs::read_dir(folder).unwrap().count());
    let store = open(&database).await;
    store.ping().await.unwrap();
    assert!(store.place().contains(database.name()), "{}", store.place());
    let now = SystemClock.now();
    assert_eq!(store.ensure_partitions(now).await.unwrap(), 0, "made by the migration");
    let later = now + chrono::TimeDelta::days(62);
    assert!(store.ensure_partitions(later).await.unwrap() >= 3, "made as time goes on");
    assert_eq!(store.ensure_partitions(later).await.unwrap(), 0, "each is made once");
}

#[tokio::test]
async fn a_login_without_rights_of_its_own_will_do() {
    let database = Database::with_schema().await;
    let mut owner = database.connect().await;
    let login = format!("{}_login", database.name());
    run(&mut owner, format!("CREATE ROLE {login} LOGIN PASSWORD 'plain-one'")).await;
    let (_, rest) =
        url_of(database.name()).split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let url = format!("postgres://{login}:plain-one@{rest}");
    let sentence = refusal(&url).await;
    assert!(sentence.contains("may not act as quaestor_app"), "{sentence}");
    run(&mut owner, format!("GRANT quaestor_app TO {login}")).await;
    let store = PgStore::connect(PgOptions::new(url), Arc::new(SystemClock)).await.unwrap();
    store.ping().await.unwrap();
    store.close().await;
    run(&mut owner, format!("DROP ROLE {login}")).await;
}
