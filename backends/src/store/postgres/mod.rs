//! The store in PostgreSQL 15 or later with pgvector 0.7 or later: how it is opened and
//! what it is made of.
//!
//! Many processes write at once here. Where SQLite's one writer makes a read before a
//! write safe, the job's row is locked, or a constraint decides. What the figures of the
//! system hang on is written for PostgreSQL alone and in groups: see `groups`.

mod alone;
mod checking;
mod connections;
mod dialect;
mod groups;
mod hot;
mod lane;
mod migrations;
mod opening;
mod partitions;
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
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quaestor_core::clock::{Clock, Time};
use quaestor_core::ports::store::StoreError;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

pub use alone::Alone;

use connections::Connections;
use hot::Groups;
use search::TermCounts;

/// How the store uses its server.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// A replica that answers searches; the primary does while it is away.
    pub replica_url: Option<SecretString>,
    /// Connections of this process to the server, at most.
    pub max_connections: u32,
    /// How long a call waits for a connection before it is `Unavailable`.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long a transaction may stand idle before the server ends it.
    pub idle_in_transaction_timeout: Duration,
    /// Whether this process holds the database alone, by [`Alone`]: others are not let in.
    pub alone: bool,
}

impl PgOptions {
    /// The defaults, for the server at `url`.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            replica_url: None,
            max_connections: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(30),
            alone: false,
        }
    }
}

/// The store in PostgreSQL.
pub struct PgStore {
    place: String,
    connections: Arc<Connections>,
    groups: Groups,
    /// The writers of groups, for whom closing waits.
    tasks: TaskTracker,
    /// The day, counted from 1970, on which the partitions were last seen to.
    partitions_seen_to: AtomicI64,
    term_counts: TermCounts,
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").field("place", &self.place).finish_non_exhaustive()
    }
}

impl PgStore {
    /// Makes the schema, or brings it up to date. Any number of processes may do so at
    /// once: they take turns. Returns how many migrations were run.
    ///
    /// # Errors
    /// One sentence that says what is wrong and how to mend it, as for
    /// [`PgStore::connect`].
    pub async fn migrate(url: &SecretString, clock: &dyn Clock) -> Result<usize, StoreError> {
        migrations::run(url, clock).await
    }

    /// Connects to a server whose schema is there and up to date.
    ///
    /// # Errors
    /// One sentence that says what is wrong and how to mend it: no server, a refused
    /// password, no such database, a server or an extension that is too old or missing, a
    /// schema that is missing, older or newer. It names host, port, database and user,
    /// never a secret.
    pub async fn connect(options: PgOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let place = opening::check(&options.url, options.alone).await?;
        let connections = Arc::new(Connections::open(&options, clock)?);
        let tasks = TaskTracker::new();
        let groups = Groups::new(&connections, &tasks);
        Ok(Self {
            place,
            connections,
            groups,
            tasks,
            partitions_seen_to: AtomicI64::new(0),
            term_counts: TermCounts::default(),
        })
    }

    /// Looks at a server as [`PgStore::connect`] does. Returns what it is and where, for
    /// people.
    ///
    /// # Errors
    /// As for [`PgStore::connect`].
    pub async fn examine(url: &SecretString) -> Result<String, StoreError> {
        opening::examine(url).await
    }

    /// Where the store is, for people: host, port, database and user.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How many connections to the server are open, and how many of them are in use.
    #[must_use]
    pub fn open_and_used(&self) -> (u32, u32) {
        self.connections.open_and_used()
    }

    /// Makes the partitions of the month of `now` and of the next ones, where they are
    /// missing. Returns how many were made. The sweeps of the store do so once a day.
    ///
    /// # Errors
    /// `Unavailable` where the server is away or busy.
    pub async fn ensure_partitions(&self, now: Time) -> Result<u32, StoreError> {
        migrations::ensure_partitions(&self.connections, now).await
    }

    /// What the store does for itself beside a sweep: partitions ahead of time, once a
    /// day. Where it fails, rows go to the default partition, and the next sweep tries.
    async fn keep_up(&self, now: Time) {
        let today = now.timestamp().div_euclid(24 * 60 * 60);
        if self.partitions_seen_to.load(Ordering::Relaxed) >= today {
            return;
        }
        match self.ensure_partitions(now).await {
            Ok(_) => self.partitions_seen_to.store(today, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "could not make partitions ahead of time"),
        }
    }

    /// Tells how many connections there are, as metrics.
    pub fn tell(&self) {
        self.connections.tell();
    }

    /// Waits for what is under way and closes all connections.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.groups.let_go();
        self.connections.close().await;
    }
}
