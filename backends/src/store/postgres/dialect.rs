//! What PostgreSQL calls things, for the statements that both databases share
//! (`store/sql`).

use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, OutboxId, WorkspaceId};
use quaestor_core::ports::store::{Record, StoreError, Table};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row, Transaction};

use super::PgStore;
use super::fault::Fault;
use super::partitions;

pub(super) type DbStore = PgStore;
pub(super) type DbConnection = PgConnection;
pub(super) type DbRow = PgRow;
pub(super) type DbQuery<'q> = Query<'q, Postgres, PgArguments>;

pub(super) type DbTransaction = Transaction<'static, Postgres>;

/// What is looked at while a snapshot is held. The server sees to it itself: it ends a
/// transaction that stands idle for too long.
pub(super) struct WhileHeld;

impl WhileHeld {
    pub(super) fn of(_store: &DbStore) -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "the other database is asked")]
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whose rows a transaction sees. Row-level security shows it no other.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// One workspace's.
    Workspace(WorkspaceId),
    /// Of the tables that sweeps and relays need, everybody's.
    Installation,
}

impl From<WorkspaceId> for Reach {
    fn from(workspace: WorkspaceId) -> Self {
        Self::Workspace(workspace)
    }
}

/// The reach of what concerns no single workspace.
pub(super) const INSTALLATION: Reach = Reach::Installation;

/// In a condition on a job: its message is still this one. What holds against a claim that a
/// crash of the server has undone, and that somebody has made anew with the same attempt.
macro_rules! of_message {
    ($message:literal) => {
        concat!(" AND outbox_id = ", $message)
    };
}
pub(super) use of_message;

/// At the end of a query: its rows are locked. Not so hard that a row which refers to
/// them has to wait.
macro_rules! for_update {
    () => {
        " FOR NO KEY UPDATE"
    };
}
pub(super) use for_update;

/// At the end of a query: its rows stay as they are until the transaction ends.
macro_rules! for_share {
    () => {
        " FOR SHARE"
    };
}
pub(super) use for_share;

/// At the end of a query: its rows are locked, and those are left out that are.
macro_rules! skip_locked {
    () => {
        " FOR NO KEY UPDATE SKIP LOCKED"
    };
}
pub(super) use skip_locked;

/// Text as the database takes it: PostgreSQL's has no NUL. The replacement character
/// takes its place, and places in the text stay what they were.
pub(super) fn text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Locks a job until the transaction ends. What is read of it afterwards is what the
/// last writer has made of it.
pub(super) async fn lock_job(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
) -> Result<(), Fault> {
    sqlx::query(concat!("SELECT 1 FROM jobs WHERE workspace_id = $1 AND id = $2", for_update!()))
        .bind(workspace.uuid())
        .bind(job.uuid())
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// Lets an installation's transaction write for a workspace, until it names the next.
pub(super) async fn see(tx: &mut DbConnection, workspace: WorkspaceId) -> Result<(), Fault> {
    sqlx::query("SELECT set_config('quaestor.workspaces', $1, TRUE)")
        .bind(format!("{{{}}}", workspace.uuid()))
        .execute(tx)
        .await?;
    Ok(())
}

/// Shows an installation's transaction the rows of these workspaces.
pub(super) async fn see_all(
    tx: &mut DbConnection,
    workspaces: &[WorkspaceId],
) -> Result<(), Fault> {
    let names: Vec<String> = workspaces.iter().map(|one| one.uuid().to_string()).collect();
    sqlx::query("SELECT set_config('quaestor.workspaces', $1, TRUE)")
        .bind(format!("{{{}}}", names.join(",")))
        .execute(tx)
        .await?;
    Ok(())
}

/// Takes the turn to seal a workspace's audit log, until the transaction ends. False where
/// somebody else has it.
pub(super) async fn take_turn_to_seal(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
) -> Result<bool, Fault> {
    /// Any number that nobody else uses: the workspace's part is its own.
    const TURN: u64 = 0x7175_6165_7374_7365;
    let (high, low) = workspace.uuid().as_u64_pair();
    let row = sqlx::query("SELECT pg_try_advisory_xact_lock($1) AS mine")
        .bind((TURN ^ high ^ low).cast_signed())
        .fetch_one(tx)
        .await?;
    Ok(row.try_get("mine")?)
}

/// Has those who begin an installation at once do it one after another, until the
/// transaction ends. What is read afterwards is what the one before has made.
pub(super) async fn take_turn_to_begin(tx: &mut DbConnection) -> Result<(), Fault> {
    /// Any number that nobody else uses.
    const TURN: i64 = 0x7175_6165_7374_6265;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(tx).await?;
    Ok(())
}

/// The column of a job that names its message, where there is one.
pub(super) const MESSAGE_OF_JOB: Option<&str> = Some("outbox_id");

/// Tells the job which message is its own now.
pub(super) async fn message_changed(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    job: JobId,
    message: OutboxId,
) -> Result<(), Fault> {
    sqlx::query("UPDATE jobs SET outbox_id = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(job.uuid())
        .bind(message.uuid())
        .execute(tx)
        .await?;
    Ok(())
}

/// What the store does for itself beside a sweep.
pub(super) async fn keep_up(store: &DbStore, now: Time) {
    store.keep_up(now).await;
}

/// Whether the call that met this error may succeed later.
///
/// By class (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): 08 a lost
/// connection, 40 a serialisation failure or deadlock that ended this transaction for
/// another's sake, 53 no resources, 57 an operator or a timeout, 58 the system. And 25006,
/// a server that only reads, as a replica does until it is promoted; 25P03, a transaction
/// that stood idle too long; 55P03, a lock that did not come in time.
pub(super) fn is_passing(code: &str) -> bool {
    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || ["25006", "25P03", "55P03"].contains(&code)
}

/// Indexes over vectors that have grown many, and room that is no longer needed.
pub(super) async fn upkeep(store: &DbStore) -> Result<(), StoreError> {
    super::readings::clear_dropped(store).await?;
    match store.tend_vectors().await? {
        0 => {}
        built => tracing::info!(built, "built the index of {built} generations of vectors"),
    }
    Ok(())
}

/// Makes room for records that are to be written: the partitions of their months.
pub(super) async fn make_room(
    tx: &mut DbConnection,
    table: Table,
    records: &[Record],
) -> Result<(), Fault> {
    partitions::make_for(tx, table, records).await
}

/// Removes what a workspace has beside its rows.
pub(super) async fn workspace_gone(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    _key: i64,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM search_stamps WHERE workspace_id = $1")
        .bind(workspace.uuid())
        .execute(tx)
        .await?;
    Ok(())
}
