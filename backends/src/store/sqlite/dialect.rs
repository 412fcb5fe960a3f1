//! What SQLite calls things, for the statements that both databases share (`store/sql`).

use std::path::PathBuf;

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::ports::store::{Record, StoreError, Table};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

use super::SqliteStore;
use super::fault::Fault;

pub(super) type DbStore = SqliteStore;
pub(super) type DbConnection = SqliteConnection;
pub(super) type DbRow = SqliteRow;
pub(super) type DbQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) type DbTransaction = Transaction<'static, Sqlite>;

/// How large the write-ahead log may grow while a snapshot is held: what is written
/// meanwhile cannot be folded into the file.
const LOG_AT_MOST: u64 = 8 << 30;

/// What is looked at while a snapshot is held: the size of the write-ahead log.
pub(super) struct WhileHeld {
    log: PathBuf,
}

impl WhileHeld {
    pub(super) fn of(store: &DbStore) -> Self {
        let mut log = store.path().as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into() }
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        // There is none where nothing was written since the file was opened.
        let size = tokio::fs::metadata(&self.log).await.map_or(0, |log| log.len());
        quaestor_core::metrics::SNAPSHOT_LOG_BYTES.of([]).set(size as f64);
        if size <= LOG_AT_MOST {
            return Ok(());
        }
        let source = format!(
            "the write-ahead log {} has grown to {size} bytes while a snapshot was read: back up \
             when less is written",
            self.log.display()
        );
        Err(StoreError::Failed { action: "read records", source: source.into() })
    }
}

/// Whose rows a transaction works on. SQLite has no row-level security to be told: every
/// statement names the workspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach;

impl From<WorkspaceId> for Reach {
    fn from(_: WorkspaceId) -> Self {
        Self
    }
}

/// The reach of what concerns no single workspace.
pub(super) const INSTALLATION: Reach = Reach;

/// In a condition on a job: its message is still this one.
macro_rules! of_message {
    ($message:literal) => {
        concat!(
            " AND EXISTS (SELECT 1 FROM outbox o WHERE o.job_id = jobs.id AND o.id = ",
            $message,
            ")"
        )
    };
}
pub(super) use of_message;

/// At the end of a query: its rows are locked. There is one writer, so they are.
macro_rules! for_update {
    () => {
        ""
    };
}
pub(super) use for_update;

/// At the end of a query: its rows stay as they are until the transaction ends,
/// which they do: there is one writer.
macro_rules! for_share {
    () => {
        ""
    };
}
pub(super) use for_share;

/// At the end of a query: its rows are locked, and those are left out that are.
macro_rules! skip_locked {
    () => {
        ""
    };
}
pub(super) use skip_locked;

/// Text as the database takes it: SQLite takes all.
pub(super) fn text(text: String) -> String {
    text
}

/// Locks a job until the transaction ends. There is one writer, so it is.
#[expect(clippy::unused_async, reason = "the other database has to ask for it")]
pub(super) async fn lock_job(
    _tx: &mut DbConnection,
    _workspace: WorkspaceId,
    _job: JobId,
) -> Result<(), Fault> {
    Ok(())
}

/// Lets an installation's transaction write for a workspace: it may.
#[expect(clippy::unused_async, reason = "the other database has to be told")]
pub(super) async fn see(_tx: &mut DbConnection, _workspace: WorkspaceId) -> Result<(), Fault> {
    Ok(())
}

/// Takes the turn to seal a workspace's audit log: who writes has it.
#[expect(clippy::unused_async, reason = "the other database has to ask for it")]
pub(super) async fn take_turn_to_seal(
    _tx: &mut DbConnection,
    _workspace: WorkspaceId,
) -> Result<bool, Fault> {
    Ok(true)
}

/// Has those who begin an installation at once do it one after another: there is one
/// writer, so they do.
#[expect(clippy::unused_async, reason = "the other database has to ask for it")]
pub(super) async fn take_turn_to_begin(_tx: &mut DbConnection) -> Result<(), Fault> {
    Ok(())
}

/// The column of a job that names its message: the outbox alone keeps it.
pub(super) const MESSAGE_OF_JOB: Option<&str> = None;

/// Tells the job which message is its own now: the outbox alone keeps it.
#[expect(clippy::unused_async, reason = "the other database has to be told")]
pub(super) async fn message_changed(
    _tx: &mut DbConnection,
    _workspace: WorkspaceId,
    _job: JobId,
    _message: OutboxId,
) -> Result<(), Fault> {
    Ok(())
}

/// What the store does for itself beside a sweep: nothing has to be made ahead of time.
#[expect(clippy::unused_async, reason = "the other database is asked")]
pub(super) async fn keep_up(_store: &DbStore, _now: Time) {}

/// Whether the call that met this error may succeed later. The low byte of SQLite's
/// extended codes is the primary one: 5 busy, 6 locked, 10 input/output, 13 disk full,
/// 14 cannot open, 15 locking protocol.
pub(super) fn is_passing(code: &str) -> bool {
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14 | 15))
}

/// What nobody wants any more goes in small pieces.
pub(super) async fn upkeep(store: &DbStore) -> Result<(), StoreError> {
    super::readings::clear_dropped(store).await?;
    super::search::remove_dropped(store).await
}

/// Makes room for records that are to be written: there is.
#[expect(clippy::unused_async, reason = "the other database parts its tables by time")]
pub(super) async fn make_room(
    _tx: &mut DbConnection,
    _table: Table,
    _records: &[Record],
) -> Result<(), Fault> {
    Ok(())
}

/// Removes what a workspace has beside its rows: its full-text table.
pub(super) async fn workspace_gone(
    tx: &mut DbConnection,
    _workspace: WorkspaceId,
    key: i64,
) -> Result<(), Fault> {
    for sql in super::search::drop_terms_table(key) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    Ok(())
}
