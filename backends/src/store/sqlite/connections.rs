//! The connections: two that write, one at a time, and a few that read.

use std::ops::DerefMut;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use quaestor_core::ports::store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use super::dialect::Reach;
use super::fault::{Fault, during};
use super::{SqliteOptions, migrations};
use crate::store::tell_pool;

/// Rows that a reader may run ahead of whoever takes them: a search takes some hundreds,
/// and every pause is a change of threads.
const ROW_BUFFER: usize = 512;

/// Page cache of a connection, in KiB. The operating system caches the file once more,
/// so a small one costs little, and the idle server stays small.
const CACHE_KIB: i32 = 8_192;
/// The write-ahead log is cut back to this size when it was folded into the file.
const JOURNAL_LIMIT_BYTES: i64 = 16 * 1024 * 1024;

/// A step waits so many times as long for its turn as a request: a hundred may stand before it, and
/// one that gave up would have to do anew what it wants to write.
const BULK_PATIENCE: u32 = 12;

/// What a commit promises when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// It is on disk: for acceptances and results.
    OnDisk,
    /// It survives the process, but maybe not the machine: for what can be redone. Whoever
    /// builds on it dies with the machine too.
    Kept,
    /// As much is enough here.
    Soon,
}

/// What is done about the schema when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// It is made, or brought up to date.
    Made,
    /// It is there, and is this program's.
    Expected,
}

struct Writers {
    on_disk: SqliteConnection,
    soon: SqliteConnection,
}

/// All connections to the file.
pub(super) struct Connections {
    // SQLite has one writer at a time. A queue in front of it is fair and quick, where
    // SQLite's own waiting is neither: it polls. None once the store was closed.
    writers: Mutex<Option<Writers>>,
    // Before that queue: of all that writes for work that nobody waits for, one stands in it, and
    // one of the requests for such work. So a question waits behind two of them at each of its
    // writes, however many there are, and a request for work not behind all that is done.
    bulk: Mutex<()>,
    requests: Mutex<()>,
    readers: SqlitePool,
    patience: Duration,
}

/// The turn to write.
pub(super) struct Writer<'a> {
    writers: MutexGuard<'a, Option<Writers>>,
    // Given back after the turn itself: fields are dropped in their order.
    _lane: Option<MutexGuard<'a, ()>>,
    commit: Commit,
}

impl Writer<'_> {
    /// Begins the transaction. Dropped without a commit, it leaves nothing behind.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, Fault> {
        let writers = self.writers.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let connection = match self.commit {
            Commit::OnDisk => &mut writers.on_disk,
            Commit::Kept | Commit::Soon => &mut writers.soon,
        };
        Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
    }
}

impl Connections {
    pub(super) async fn open(
        path: &Path,
        options: SqliteOptions,
        schema: Schema,
    ) -> Result<Self, StoreError> {
        register_vector_functions();
        let opened = async {
            let made = schema == Schema::Made;
            let folder = path.parent().filter(|folder| made && !folder.as_os_str().is_empty());
            if let Some(folder) = folder {
                tokio::fs::create_dir_all(folder).await.map_err(sqlx::Error::Io)?;
            }
            let shared = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(made)
                .journal_mode(SqliteJournalMode::Wal)
                .foreign_keys(true)
                .busy_timeout(options.busy_timeout)
                .statement_cache_capacity(128)
                .row_buffer_size(ROW_BUFFER)
                .pragma("cache_size", (-CACHE_KIB).to_string())
                .pragma("temp_store", "MEMORY")
                .pragma("journal_size_limit", JOURNAL_LIMIT_BYTES.to_string());
            let mut on_disk = SqliteConnection::connect_with(
                &shared.clone().synchronous(SqliteSynchronous::Full),
            )
            .await?;
            match schema {
                Schema::Made => migrations::run(&mut on_disk).await?,
                Schema::Expected => migrations::check(&mut on_disk).await?,
            }
            let soon = SqliteConnection::connect_with(
                &shared.clone().synchronous(SqliteSynchronous::Normal),
            )
            .await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(options.readers.max(1))
                .acquire_timeout(options.busy_timeout)
                .idle_timeout(Duration::from_secs(60))
                .test_before_acquire(false)
                .connect_lazy_with(shared.pragma("query_only", "ON"));
            Ok(Self {
                writers: Mutex::new(Some(Writers { on_disk, soon })),
                bulk: Mutex::new(()),
                requests: Mutex::new(()),
                readers,
                patience: options.busy_timeout,
            })
        };
        opened.await.map_err(during("open the database"))
    }

    /// Waits for the turn to write; turns come in the order they were asked for.
    pub(super) async fn writer(
        &self,
        _reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        self.in_lane(None, commit).await
    }

    /// As [`writer`](Self::writer), for the steps of files, reindexing and exports: these wait for
    /// one another before they wait for the turn, and longer than a request would.
    pub(super) async fn bulk_writer(
        &self,
        _reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        let lane = tokio::time::timeout(self.patience * BULK_PATIENCE, self.bulk.lock());
        let lane = lane.await.map_err(|_elapsed| Fault::Busy)?;
        self.in_lane(Some(lane), commit).await
    }

    /// As [`writer`](Self::writer), for requests of such work: uploads, batches, reindexing and
    /// exports. These wait for one another.
    pub(super) async fn request_writer(
        &self,
        _reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        let lane = tokio::time::timeout(self.patience, self.requests.lock());
        let lane = lane.await.map_err(|_elapsed| Fault::Busy)?;
        self.in_lane(Some(lane), commit).await
    }

    async fn in_lane<'a>(
        &'a self,
        lane: Option<MutexGuard<'a, ()>>,
        commit: Commit,
    ) -> Result<Writer<'a>, Fault> {
        let writers = tokio::time::timeout(self.patience, self.writers.lock())
            .await
            .map_err(|_elapsed| Fault::Busy)?;
        Ok(Writer { writers, _lane: lane, commit })
    }

    /// A connection that can only read.
    pub(super) async fn reader(
        &self,
        _reach: impl Into<Reach>,
    ) -> Result<PoolConnection<Sqlite>, Fault> {
        Ok(self.readers.acquire().await?)
    }

    /// Tells how the readers stand, as metrics.
    pub(super) fn tell(&self) {
        let pool = &self.readers;
        tell_pool("readers", pool.size(), pool.num_idle(), pool.options().get_max_connections());
    }

    /// A transaction that reads one state of the file, for as long as it is held.
    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.readers.begin().await?)
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        let mut slot = self.writers.lock().await;
        if let Some(writers) = slot.deref_mut().take() {
            // The last connection to close folds the log into the file. An error here
            // loses nothing: the next program to open the file does it.
            for connection in [writers.soon, writers.on_disk] {
                if let Err(error) = connection.close().await {
                    tracing::warn!(%error, "could not close the database cleanly");
                }
            }
        }
    }
}

/// Makes the functions of sqlite-vec known to every connection opened from now on.
fn register_vector_functions() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        type Entry = unsafe extern "C" fn(
            *mut libsqlite3_sys::sqlite3,
            *mut *mut std::ffi::c_char,
            *const libsqlite3_sys::sqlite3_api_routines,
        ) -> std::ffi::c_int;
        #[expect(
            unsafe_code,
            reason = "SQLite takes extensions as C functions only; the crate declares this one \
                      without the arguments that it has"
        )]
        let code = unsafe {
            let entry =
                std::mem::transmute::<unsafe extern "C" fn(), Entry>(sqlite_vec::sqlite3_vec_init);
            libsqlite3_sys::sqlite3_auto_extension(Some(entry))
        };
        if code != 0 {
            tracing::error!(code, "SQLite refused the vector functions");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::dialect::INSTALLATION;
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_one_step_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("quaestor.db");
        let connections =
            Connections::open(&file, SqliteOptions::default(), Schema::Made).await.unwrap();
        let order = std::sync::Mutex::new(Vec::new());
        let first = connections.bulk_writer(INSTALLATION, Commit::Soon).await.unwrap();
        let step = async || {
            let writer = connections.bulk_writer(INSTALLATION, Commit::Soon).await.unwrap();
            order.lock().unwrap().push("step");
            drop(writer);
        };
        let request = async || {
            let writer = connections.request_writer(INSTALLATION, Commit::OnDisk).await.unwrap();
            order.lock().unwrap().push("request");
            drop(writer);
        };
        let end_first = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        tokio::join!(step(), step(), request(), end_first);
        assert_eq!(*order.lock().unwrap(), ["request", "step", "step"]);
        connections.close().await;
    }
}
