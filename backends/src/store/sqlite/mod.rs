//! The store in one SQLite file: how it is opened and what it is made of.
//!
//! Rows live in ordinary tables, full text in an FTS5 table per workspace, vectors in
//! plain tables (see `search::vectors` for why). The statements that PostgreSQL takes
//! just so stand in `store/sql`, and are compiled here once more, for SQLite.

mod checking;
mod connections;
mod dialect;
mod hot;
mod migrations;
mod relay;
mod search;

// What both databases share, compiled for this one.
#[path = "../sql/audit.rs"]
mod audit;
#[path = "../sql/backups.rs"]
mod backups;
#[path = "../sql/batches/mod.rs"]
mod batches;
#[path = "../sql/chain.rs"]
mod chain;
#[path = "../sql/chat.rs"]
mod chat;
#[path = "../sql/checkpoints.rs"]
mod checkpoints;
#[path = "../sql/checks.rs"]
mod checks;
#[path = "../sql/claims.rs"]
mod claims;
#[path = "../sql/collections.rs"]
mod collections;
#[path = "../sql/conversations.rs"]
mod conversations;
#[path = "../sql/dead.rs"]
mod dead;
#[path = "../sql/documents.rs"]
mod documents;
#[path = "../sql/embed.rs"]
mod embed;
#[path = "../sql/ending.rs"]
mod ending;
#[path = "../sql/erase.rs"]
mod erase;
#[path = "../sql/exports.rs"]
mod exports;
#[path = "../sql/fault.rs"]
mod fault;
#[path = "../sql/generations/mod.rs"]
mod generations;
#[path = "../sql/history.rs"]
mod history;
#[path = "../sql/idempotency.rs"]
mod idempotency;
#[path = "../sql/ingest.rs"]
mod ingest;
#[path = "../sql/installation.rs"]
mod installation;
#[path = "../sql/jobs.rs"]
mod jobs;
#[path = "../sql/keys.rs"]
mod keys;
#[path = "../sql/load.rs"]
mod load;
#[path = "../sql/money.rs"]
mod money;
#[path = "../sql/outbox.rs"]
mod outbox;
#[path = "../sql/portable/mod.rs"]
mod portable;
#[path = "../sql/readings/mod.rs"]
mod readings;
#[path = "../sql/replay.rs"]
mod replay;
#[path = "../sql/rows.rs"]
mod rows;
#[path = "../sql/schedules.rs"]
mod schedules;
#[path = "../sql/settle.rs"]
mod settle;
#[path = "../sql/standing.rs"]
mod standing;
#[path = "../sql/stuck.rs"]
mod stuck;
#[path = "../sql/templates.rs"]
mod templates;
#[path = "../sql/uploads.rs"]
mod uploads;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quaestor_core::ports::store::StoreError;

use connections::{Connections, Schema};
use search::TermCounts;

/// How the store uses its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read at the same time.
    pub readers: u32,
    /// How long a call waits for its turn before it is `Unavailable`.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 4, busy_timeout: Duration::from_secs(10) }
    }
}

/// The store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    connections: Connections,
    term_counts: TermCounts,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file, makes it and its folder where they are missing, and brings its
    /// schema up to date. `url` is a path, or `sqlite:` and a path.
    ///
    /// # Errors
    /// `Failed` where the path is none, the file is no database, or its schema was made
    /// by a newer program; `Unavailable` where another program holds it.
    pub async fn open(url: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        Self::open_as(url, options, Schema::Made).await
    }

    /// Opens the file beside another process that may have it open, whose schema it leaves as
    /// it is.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; and where there is no file, or its schema is not that of
    /// this program.
    pub async fn open_beside(url: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        Self::open_as(url, options, Schema::Expected).await
    }

    async fn open_as(
        url: &str,
        options: SqliteOptions,
        schema: Schema,
    ) -> Result<Self, StoreError> {
        let path = file_of(url)?;
        let connections = Connections::open(&path, options, schema).await?;
        Ok(Self { path, connections, term_counts: TermCounts::default() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells how many connections there are, as metrics.
    pub fn tell(&self) {
        self.connections.tell();
    }

    /// Waits for what is being written, folds the write-ahead log into the file and
    /// closes all connections. A store that is dropped without it loses nothing.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(StoreError::Failed {
            action: "open the database",
            source: format!("{url:?} names no file: write sqlite:path/to/file.db").into(),
        });
    }
    Ok(PathBuf::from(path))
}
