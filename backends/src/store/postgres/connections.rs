//! The connections: a bounded pool, and every transaction under row-level security.
//!
//! Nothing is sent to the server outside of a transaction that has named whose rows it
//! works on. The naming stands in the message that begins the transaction, or is done by
//! the function that a group of calls is written with, so it costs no round trip of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quaestor_core::clock::{Clock, Time};
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::StoreError;
use secrecy::SecretString;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio_util::task::TaskTracker;

use super::dialect::Reach;
use super::fault::Fault;
use super::{PgOptions, alone, opening};
use crate::store::tell_pool;

/// Statements find their rows by ids, so one plan is as good as another, and planning one
/// over partitions takes milliseconds: longer than the statement. Left to itself the server
/// would plan them anew each time, since it takes a plan for some partitions to be cheaper
/// than one for all.
const PLANNED_ONCE: (&str, &str) = ("plan_cache_mode", "force_generic_plan");
/// What a search asks for is planned by its size.
const PLANNED_EACH_TIME: &str = "; SET LOCAL plan_cache_mode = auto";
/// A pool of fewer connections than this has none to spare for groups of calls.
const ROOM_FOR_LANES: u32 = 14;
/// How long searches leave a replica alone that did not answer.
const REPLICA_REST: Duration = Duration::from_secs(5);
/// How long a search waits for a connection to the replica before it asks the primary.
const REPLICA_PATIENCE: Duration = Duration::from_millis(500);
/// Connections that nobody used for this long are closed.
const IDLE: Duration = Duration::from_secs(300);

/// How long a snapshot may stand idle: where a bundle goes may be slow, and a process that
/// hangs must not keep the server from tidying up for ever.
const SNAPSHOT_IDLE: Duration = Duration::from_secs(10 * 60);
/// How long reading one page of a snapshot may take.
const SNAPSHOT_STATEMENT: Duration = Duration::from_secs(5 * 60);

/// What a commit promises when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// It is on disk: for acceptances and results.
    OnDisk,
    /// On disk as well: for what a process builds on that lives on when the server dies. A
    /// claim that was forgotten would be given a second time under the same attempt, and
    /// passages that were would be missing between those that are stored after them.
    Kept,
    /// It survives the process, but maybe not the server: for what nobody builds on, as
    /// heartbeats, marks in the outbox and sweeps.
    Soon,
}

/// All connections to the server.
pub(super) struct Connections {
    primary: PgPool,
    replica: Option<Replica>,
    clock: Arc<dyn Clock>,
}

struct Replica {
    pool: PgPool,
    /// Microseconds since 1970 until which it is left alone.
    rests_until: AtomicI64,
    clock: Arc<dyn Clock>,
}

/// A transaction that may be begun.
pub(super) struct Writer<'a> {
    pool: &'a PgPool,
    begin: String,
}

impl Writer<'_> {
    /// Begins the transaction. Dropped without a commit, it leaves nothing behind.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'static, Postgres>, Fault> {
        Ok(begin_on(self.pool, &self.begin).await?)
    }
}

/// Begins a transaction on a connection of the pool. After the server was restarted the
/// pool holds connections that are dead, and it is here that this shows. Nothing has been
/// done yet, so the next one is tried, and none of them costs a caller its call.
///
/// The beginning is a task of its own. Dropped while the server answers, sqlx 0.9 takes it
/// for not begun and gives the connection back: its transaction stays open there, with what
/// the next caller locks in it. A caller that goes away now leaves a whole transaction
/// behind, which is rolled back. (Closing the pool waits for its connection.)
async fn begin_on(
    pool: &PgPool,
    begin: &str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let (pool, begin) = (pool.clone(), begin.to_owned());
    let begun = TaskTracker::new().spawn(async move {
        let mut left = pool.options().get_max_connections();
        loop {
            match pool.begin_with(AssertSqlSafe(begin.clone())).await {
                Err(error) if left > 0 && has_died(&error) => left -= 1,
                begun => return begun,
            }
        }
    });
    begun.await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?
}

/// Whether the connection is dead: broken, or ended by the server as it shut down.
pub(super) fn has_died(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(cause) => {
            cause.code().is_some_and(|code| code.starts_with("57P") || code == "25P03")
        }
        _ => false,
    }
}

impl Connections {
    /// Opens no connection yet: the first call does.
    pub(super) fn open(options: &PgOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let pool = |url: &SecretString, patience: Duration| {
            let pool = PgPoolOptions::new()
                .max_connections(options.max_connections.max(1))
                .acquire_timeout(patience)
                .idle_timeout(IDLE)
                // A connection that died is found out when it is returned or used; asking
                // each before use would be a round trip for every call.
                .test_before_acquire(false)
                .connect_lazy_with(settings(opening::parse(url)?, options));
            Ok::<_, StoreError>(pool)
        };
        let primary = pool(&options.url, options.acquire_timeout)?;
        let replica = match &options.replica_url {
            None => None,
            Some(url) => Some(Replica {
                pool: pool(url, options.acquire_timeout.min(REPLICA_PATIENCE))?,
                rests_until: AtomicI64::new(0),
                clock: Arc::clone(&clock),
            }),
        };
        Ok(Self { primary, replica, clock })
    }

    /// A transaction to write in.
    pub(super) async fn writer(
        &self,
        reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        Ok(Writer { pool: &self.primary, begin: begin("BEGIN", &reach.into(), commit) })
    }

    /// As [`writer`](Self::writer): rows are locked one by one here, and nobody waits for whom
    /// they do not concern.
    pub(super) async fn bulk_writer(
        &self,
        reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        self.writer(reach, commit).await
    }

    /// As [`writer`](Self::writer), for the same reason.
    pub(super) async fn request_writer(
        &self,
        reach: impl Into<Reach>,
        commit: Commit,
    ) -> Result<Writer<'_>, Fault> {
        self.writer(reach, commit).await
    }

    /// A connection on which functions are called that name the workspaces themselves.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Fault> {
        Ok(self.primary.acquire().await?)
    }

    /// Whether kinds of groups may keep a connection each.
    pub(super) fn may_keep(&self) -> bool {
        self.most() >= ROOM_FOR_LANES && !self.primary.is_closed()
    }

    /// Connections to the primary, at most.
    pub(super) fn most(&self) -> u32 {
        self.primary.options().get_max_connections()
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A transaction that can only read.
    pub(super) async fn reader(
        &self,
        reach: impl Into<Reach>,
    ) -> Result<Transaction<'static, Postgres>, Fault> {
        let begin = begin("BEGIN READ ONLY", &reach.into(), Commit::OnDisk);
        Ok(begin_on(&self.primary, &begin).await?)
    }

    /// A transaction for a search: it sees one state of the database, and may see one
    /// that is a little old, where there is a replica.
    pub(super) async fn searcher(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Transaction<'static, Postgres>, Fault> {
        let mut begin = begin(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            &workspace.into(),
            Commit::OnDisk,
        );
        begin.push_str(PLANNED_EACH_TIME);
        if let Some(replica) = self.replica.as_ref().filter(|replica| replica.is_up()) {
            match begin_on(&replica.pool, &begin).await {
                Ok(tx) => return Ok(tx),
                Err(error) => replica.rest(&error),
            }
        }
        Ok(begin_on(&self.primary, &begin).await?)
    }

    /// A transaction that reads one state of all workspaces, for as long as it is held. It
    /// may stand idle while the rows before are being written elsewhere.
    pub(super) async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, Fault> {
        let mut begin = begin(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            &Reach::Installation,
            Commit::OnDisk,
        );
        begin.push_str(&format!(
            "; SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL statement_timeout = {}",
            SNAPSHOT_IDLE.as_millis(),
            SNAPSHOT_STATEMENT.as_millis()
        ));
        Ok(begin_on(&self.primary, &begin).await?)
    }

    /// How many connections to the primary are open, and how many of them are in use.
    pub(super) fn open_and_used(&self) -> (u32, u32) {
        let open = self.primary.size();
        let idle = u32::try_from(self.primary.num_idle()).unwrap_or(u32::MAX);
        (open, open.saturating_sub(idle))
    }

    /// Tells how the pools stand, as metrics.
    pub(super) fn tell(&self) {
        let pools = [("primary", Some(&self.primary))];
        let replica = ("replica", self.replica.as_ref().map(|replica| &replica.pool));
        for (name, pool) in pools.into_iter().chain([replica]) {
            if let Some(pool) = pool {
                tell_pool(name, pool.size(), pool.num_idle(), pool.options().get_max_connections());
            }
        }
    }

    /// A connection of its own, under no other role than that of whoever has logged in: to
    /// build indexes, which only the owner of a table may.
    pub(super) async fn as_login(&self) -> Result<PgConnection, Fault> {
        let mut connection = self.primary.acquire().await?.detach();
        sqlx::raw_sql("SET ROLE NONE").execute(&mut connection).await?;
        Ok(connection)
    }

    pub(super) async fn close(&self) {
        self.primary.close().await;
        if let Some(replica) = &self.replica {
            replica.pool.close().await;
        }
    }
}

impl Replica {
    fn is_up(&self) -> bool {
        self.clock.now().timestamp_micros() >= self.rests_until.load(Ordering::Relaxed)
    }

    fn rest(&self, error: &sqlx::Error) {
        tracing::warn!(%error, "the replica does not answer; searches ask the primary");
        let rest = i64::try_from(REPLICA_REST.as_micros()).unwrap_or(i64::MAX);
        let until = self.clock.now().timestamp_micros().saturating_add(rest);
        self.rests_until.store(until, Ordering::Relaxed);
    }
}

/// The message that begins a transaction. The workspace is an id, so its text is safe.
fn begin(begin: &str, reach: &Reach, commit: Commit) -> String {
    let mut sql = begin.to_owned();
    match reach {
        Reach::Workspace(workspace) => name(&mut sql, *workspace),
        Reach::Installation => sql.push_str("; SET LOCAL quaestor.installation = 'on'"),
    }
    if commit == Commit::Soon {
        sql.push_str("; SET LOCAL synchronous_commit = off");
    }
    sql
}

fn name(sql: &mut String, workspace: WorkspaceId) {
    let mut buffer = uuid::Uuid::encode_buffer();
    sql.push_str("; SET LOCAL quaestor.workspaces = '{");
    sql.push_str(workspace.uuid().hyphenated().encode_lower(&mut buffer));
    sql.push_str("}'");
}

/// What every connection is told as it is opened. It acts as a role without rights of its
/// own, whoever has logged in.
fn settings(connect: PgConnectOptions, options: &PgOptions) -> PgConnectOptions {
    connect
        .application_name(if options.alone { alone::NAME_ALONE } else { alone::NAME })
        .statement_cache_capacity(256)
        .options([("role", opening::ROLE), ("jit", "off"), PLANNED_ONCE])
        .options([
            ("statement_timeout", options.statement_timeout.as_millis()),
            ("lock_timeout", options.lock_timeout.as_millis()),
            (
                "idle_in_transaction_session_timeout",
                options.idle_in_transaction_timeout.as_millis(),
            ),
        ])
}
