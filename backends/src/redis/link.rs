//! The connection for commands, and the task that builds it again when it is lost.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use quaestor_core::clock::{Clock, Time};
use quaestor_core::metrics;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::sync::Notify;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use super::fault::{RedisFault, breaks_connection};
use super::{COMMAND_TIMEOUT, CONNECT_TIMEOUT};

/// The pauses between attempts to connect: from this one, doubled up to the longest. A
/// restarted server is found again within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often an idle connection is tried, so that a dead one is known before it is needed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Commands that wait to be written at once; further ones wait for their turn.
const WRITE_QUEUE: usize = 1_024;

/// Where what the server pushes goes. Called on the connection's own task: never blocks.
pub(crate) type Pushes = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// How to connect, to a server or to a cluster.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) client: Client,
    /// The nodes of the cluster as they were found: any of them tells of all, so that the
    /// one that the URL names may be away. None where it is a server.
    pub(super) nodes: Option<Vec<ConnectionInfo>>,
}

/// A connection to a server, or the connections to the nodes of a cluster.
#[derive(Clone)]
pub(crate) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dial {
    pub(super) fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// How to connect to the one node that the URL names.
    pub(super) fn of_node(&self) -> Self {
        Self { client: self.client.clone(), nodes: None }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.nodes.is_some()
    }

    pub(super) async fn connect(&self, pushes: Option<Pushes>) -> Result<Connection, RedisFault> {
        self.try_connect(pushes).await.map_err(RedisFault::Failed)
    }

    pub(super) async fn try_connect(&self, pushes: Option<Pushes>) -> RedisResult<Connection> {
        let connecting = async {
            match &self.nodes {
                Some(nodes) => self.connect_cluster(nodes, pushes).await.map(Connection::Cluster),
                None => self.connect_server(pushes).await.map(Connection::Server),
            }
        };
        // Over all: resolving the name, TLS and the greeting are in it.
        match tokio::time::timeout(2 * CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(RedisError::from(std::io::Error::from(elapsed))),
        }
    }

    async fn connect_server(&self, pushes: Option<Pushes>) -> RedisResult<MultiplexedConnection> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(COMMAND_TIMEOUT))
            .set_pipeline_buffer_size(WRITE_QUEUE);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(sender(pushes));
        }
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn connect_cluster(
        &self,
        nodes: &[ConnectionInfo],
        pushes: Option<Pushes>,
    ) -> RedisResult<ClusterConnection> {
        let named = self.client.get_connection_info().clone();
        let seeds = std::iter::once(named).chain(nodes.iter().cloned());
        let mut builder = ClusterClient::builder(seeds)
            .use_protocol(redis::ProtocolVersion::RESP3)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(COMMAND_TIMEOUT)
            .overall_response_timeout(Some(2 * COMMAND_TIMEOUT))
            .retries(2);
        if let Some(pushes) = pushes {
            builder = builder.push_sender(sender(pushes));
        }
        builder.build()?.get_async_connection().await
    }
}

fn sender(pushes: Pushes) -> impl Fn(PushInfo) -> Result<(), redis::aio::SendError> {
    move |push| {
        pushes(push);
        Ok(())
    }
}

impl Connection {
    pub(crate) async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Server(connection) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }?;
        answer.extract_error()
    }

    async fn query_all(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        let answers = match self {
            Self::Server(connection) => connection.req_packed_commands(commands, 0, count).await,
            Self::Cluster(connection) => connection.req_packed_commands(commands, 0, count).await,
        }?;
        answers.into_iter().map(Value::extract_error).collect()
    }

    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        self.query(&redis::cmd("PING")).await.map(drop)
    }
}

/// The connection in use, and who is told that it is lost.
#[derive(Clone)]
struct Current {
    connection: Connection,
    lost: Arc<Notify>,
}

type Slot = Arc<RwLock<Option<Current>>>;

/// The connection for commands. The task that keeps it ends with it.
pub(super) struct Link {
    current: Slot,
    clock: Arc<dyn Clock>,
    doubted: Arc<Notify>,
    _keeper: AbortOnDropHandle<()>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// `lost` is told when the server closes the first connection.
    pub(super) fn start(
        dial: Dial,
        first: Connection,
        lost: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let current: Slot = Arc::default();
        let doubted = Arc::new(Notify::new());
        let keeper = Keeper {
            dial,
            clock: Arc::clone(&clock),
            current: Arc::clone(&current),
            doubted: Arc::clone(&doubted),
        };
        keeper.put(first, Arc::clone(&lost));
        let handle = TaskTracker::new().spawn(keeper.run(lost));
        Self { current, clock, doubted, _keeper: AbortOnDropHandle::new(handle) }
    }

    /// Has the connection tried at once, not at the next heartbeat.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }

    fn current(&self) -> Result<Current, RedisFault> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or(RedisFault::NotConnected)
    }

    pub(super) async fn query(&self, command: &Cmd) -> Result<Value, RedisFault> {
        let mut current = self.current()?;
        let began = self.clock.now();
        let answer = current.connection.query(command).await;
        self.told(began, answer.is_ok());
        answer.map_err(|error| current.failed(error))
    }

    pub(super) async fn query_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisFault> {
        let mut current = self.current()?;
        let began = self.clock.now();
        let answers = current.connection.query_all(commands).await;
        self.told(began, answers.is_ok());
        answers.map_err(|error| current.failed(error))
    }

    fn told(&self, began: Time, well: bool) {
        let outcome = if well { "ok" } else { "failed" };
        let took = metrics::seconds(began, self.clock.now());
        metrics::REDIS_SECONDS.of([outcome.into()]).record(took);
    }
}

impl Current {
    /// A cluster's connection finds its nodes again by itself.
    fn failed(&self, error: RedisError) -> RedisFault {
        if breaks_connection(&error) && matches!(self.connection, Connection::Server(_)) {
            self.lost.notify_one();
        }
        RedisFault::Failed(error)
    }
}

/// Builds the connection again, as often as it is lost.
struct Keeper {
    dial: Dial,
    clock: Arc<dyn Clock>,
    current: Slot,
    doubted: Arc<Notify>,
}

impl Keeper {
    fn put(&self, connection: Connection, lost: Arc<Notify>) {
        let current = Current { connection, lost };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }

    async fn run(self, mut lost: Arc<Notify>) {
        loop {
            self.until_lost(&lost).await;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
            warn!("the connection to Redis is lost; events are not kept until it is back");
            lost = self.reconnect().await;
            info!("Redis is connected again");
        }
    }

    async fn until_lost(&self, lost: &Notify) {
        loop {
            tokio::select! {
                () = lost.notified() => return,
                () = self.doubted.notified() => {}
                () = self.clock.sleep(HEARTBEAT) => {}
            }
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(mut current) = current else { return };
            if let Err(error) = current.connection.ping().await {
                current.failed(error);
            }
        }
    }

    async fn reconnect(&self) -> Arc<Notify> {
        let mut pauses = Pauses::default();
        loop {
            let lost = Arc::new(Notify::new());
            match self.connect(&lost).await {
                Ok(connection) => {
                    self.put(connection, Arc::clone(&lost));
                    return lost;
                }
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "Redis is not back yet"
                    );
                    self.clock.sleep(pauses.next()).await;
                }
            }
        }
    }

    /// A connection that answers in time: one that does not would hold up every job. One to
    /// a cluster looks after its nodes itself: that one is away must not take the others.
    async fn connect(&self, lost: &Arc<Notify>) -> RedisResult<Connection> {
        if self.dial.is_cluster() {
            return self.dial.try_connect(None).await;
        }
        let mut connection = self.dial.try_connect(Some(notify_of_loss(lost))).await?;
        connection.ping().await?;
        Ok(connection)
    }
}

/// Tells of a connection that the server closed, before a command runs into it.
pub(super) fn notify_of_loss(lost: &Arc<Notify>) -> Pushes {
    let lost = Arc::clone(lost);
    Arc::new(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            lost.notify_one();
        }
    })
}

/// Pauses between attempts.
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}
