//! Databases for tests: each its own, copied from one that was migrated once, and dropped.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_core::clock::SystemClock;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::places::setting;

/// A database of its own, dropped with this.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// An empty one with the whole schema: a copy of one that was migrated once.
    pub(crate) async fn with_schema() -> Self {
        let template = template().await;
        Self::copy_of(&template).await
    }

    /// One without any schema.
    pub(crate) async fn bare() -> Self {
        Self::copy_of("template0").await
    }

    async fn copy_of(template: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("qs_test_{}_{place}", std::process::id());
        let mut server = connect_to(&base_url()).await;
        // A run that was killed may have left one of this name.
        run(&mut server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        run(&mut server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self { name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> SecretString {
        url_of(&self.name).into()
    }

    /// A connection of the test's own, as the user of the settings.
    pub(crate) async fn connect(&self) -> PgConnection {
        connect_to(&url_of(&self.name)).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread with a runtime of its own: the test's is not to be waited on here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut server = connect_to(&base_url()).await;
                run(&mut server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        // One that stays harms nobody: the next test of this name begins by dropping it.
        let _ = dropped.join();
    }
}

pub(crate) fn base_url() -> String {
    setting("QUAESTOR_DATABASE_URL")
}

/// The settings' server with another database.
pub(crate) fn url_of(database: &str) -> String {
    let base = base_url();
    let (start, rest) = base.rsplit_once('/').unwrap();
    match rest.split_once('?') {
        None => format!("{start}/{database}"),
        Some((_, query)) => format!("{start}/{database}?{query}"),
    }
}

pub(crate) async fn connect_to(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// The name of a migrated database that the tests copy; made by whoever comes first.
async fn template() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(file).unwrap());
    }
    let mut name = String::from("qs_template_");
    for byte in &digest.finalize()[..6] {
        write!(name, "{byte:02x}").unwrap();
    }

    let mut server = connect_to(&base_url()).await;
    // Held until this connection ends: others wait here until the template is whole.
    run(&mut server, "SELECT pg_advisory_lock(hashtext('quaestor.test.template'))".to_owned())
        .await;
    let made = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(name.clone())
        .fetch_optional(&mut server)
        .await
        .unwrap();
    if made.is_none() {
        let draft = format!("{name}_draft");
        run(&mut server, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await;
        run(&mut server, format!("CREATE DATABASE {draft} TEMPLATE template0")).await;
        PgStore::migrate(&url_of(&draft).into(), &SystemClock).await.unwrap();
        run(&mut server, format!("ALTER DATABASE {draft} RENAME TO {name}")).await;
    }
    server.close().await.unwrap();
    name
}

pub(crate) async fn open(database: &Database) -> PgStore {
    let options = PgOptions::new(database.url());
    PgStore::connect(options, Arc::new(SystemClock)).await.unwrap()
}
