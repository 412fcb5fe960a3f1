//! The server goes away and comes back: the store says so, and recovers by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_core::clock::{ManualClock, SystemClock};
use quaestor_core::model::PageRequest;
use quaestor_core::ports::store::{Collections, Installation, NewWorkspace, Search, StoreError};
use sqlx::Row;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::databases::{Database, run, url_of};

/// A way to the server that can be shut: whoever is on it is cut off, and whoever comes is
/// refused, as by a server that restarts.
struct Gate {
    address: SocketAddr,
    server: String,
    open: Option<JoinHandle<()>>,
}

impl Gate {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut gate = Self { address, server: server.to_owned(), open: None };
        gate.serve(listener);
        gate
    }

    fn serve(&mut self, listener: TcpListener) {
        let server = self.server.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the gate")]
        let open = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let server = server.clone();
                carried.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ended = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        self.open = Some(open);
    }

    async fn shut(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            let _aborted = open.await;
        }
    }

    async fn reopen(&mut self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
        }
    }
}

const CONNECTIONS: u32 = 4;

/// The database behind a gate: its URL by way of it.
async fn gated(database: &Database) -> (Gate, String) {
    let url = url_of(database.name());
    let server = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let gate = Gate::to(&server).await;
    let url = url.replacen(&server, &gate.address.to_string(), 1);
    (gate, url)
}

fn options(url: &str) -> PgOptions {
    PgOptions {
        max_connections: CONNECTIONS,
        acquire_timeout: Duration::from_millis(400),
        ..PgOptions::new(url)
    }
}

async fn workspace(store: &PgStore) -> quaestor_core::ids::WorkspaceId {
    let id = uuid::Uuid::from_u128(7).into();
    let created_at = chrono::DateTime::from_timestamp_micros(1).unwrap();
    store.create_workspace(NewWorkspace { id, name: "acme".to_owned(), created_at }).await.unwrap();
    id
}

/// Every connection that the pool may have can be used at the same time.
async fn assert_whole(database: &Database, store: &PgStore) {
    let mut owner = database.connect().await;
    let mut watcher = database.connect().await;
    run(&mut owner, "BEGIN; LOCK TABLE collections IN ACCESS EXCLUSIVE MODE".to_owned()).await;
    let workspace = uuid::Uuid::from_u128(7).into();
    let lists = (0..CONNECTIONS).map(|_| store.list_collections(workspace, PageRequest::default()));
    let freed = async {
        loop {
            let waiting = sqlx::query(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'",
            );
            let row = waiting.fetch_one(&mut watcher).await.unwrap();
            if row.get::<i64, _>(0) == i64::from(CONNECTIONS) {
                break run(&mut owner, "ROLLBACK".to_owned()).await;
            }
        }
    };
    let all = tokio::time::timeout(
        Duration::from_secs(20),
        futures::future::join(futures::future::join_all(lists), freed),
    );
    let (lists, ()) = all.await.expect("all connections are in use at once");
    assert!(lists.iter().all(Result::is_ok), "{lists:?}");
    assert_eq!(store.open_and_used().0, CONNECTIONS);
}

#[tokio::test]
async fn the_pool_is_whole_again_after_the_server_was_away() {
    let database = Database::with_schema().await;
    let (mut gate, url) = gated(&database).await;
    let store = PgStore::connect(options(&url), Arc::new(SystemClock)).await.unwrap();
    let id = workspace(&store).await;
    assert_whole(&database, &store).await;
    for _ in 0..3 {
        gate.shut().await;
        // Many at once, some of which give up: none is lost from the pool.
        let calls = (0..12).map(|_| store.list_collections(id, PageRequest::default()));
        let patience = Duration::from_millis(50);
        let hasty = (0..12).map(|_| tokio::time::timeout(patience, store.ping()));
        let (calls, _) = futures::future::join(
            futures::future::join_all(calls),
            futures::future::join_all(hasty),
        )
        .await;
        for call in calls {
            assert!(matches!(call, Err(StoreError::Unavailable { .. })), "{call:?}");
        }
        gate.reopen().await;
        store.ping().await.unwrap();
        assert_whole(&database, &store).await;
    }
}

#[tokio::test]
async fn connections_that_the_server_ended_cost_no_call() {
    let database = Database::with_schema().await;
    let store =
        PgStore::connect(options(&url_of(database.name())), Arc::new(SystemClock)).await.unwrap();
    workspace(&store).await;
    assert_whole(&database, &store).await;
    let mut owner = database.connect().await;
    run(
        &mut owner,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()"
            .to_owned(),
    )
    .await;
    store.ping().await.unwrap();
    assert_whole(&database, &store).await;
}

#[tokio::test]
async fn searches_ask_the_primary_while_the_replica_is_away() {
    let database = Database::with_schema().await;
    let (mut gate, replica) = gated(&database).await;
    let clock = ManualClock::at_millis(1_700_000_000_000);
    let options =
        PgOptions { replica_url: Some(replica.into()), ..options(&url_of(database.name())) };
    let store = PgStore::connect(options, Arc::new(clock.clone())).await.unwrap();
    let id = workspace(&store).await;
    let search = || store.passages(id, &[]);
    assert!(search().await.unwrap().is_empty());
    gate.shut().await;
    assert!(search().await.unwrap().is_empty());
    assert!(search().await.unwrap().is_empty(), "it is left alone for a while");
    gate.reopen().await;
    clock.advance(Duration::from_secs(6));
    assert!(search().await.unwrap().is_empty());
}

/// Polls a call so often and drops it, as a caller does that goes away.
async fn dropped_after<T>(polls: u32, call: impl Future<Output = T>) {
    let mut call = std::pin::pin!(call);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        left -= 1;
        if call.as_mut().poll(cx).is_ready() || left == 0 {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_anywhere_leaves_no_transaction_open() {
    let database = Database::with_schema().await;
    let store =
        PgStore::connect(options(&url_of(database.name())), Arc::new(SystemClock)).await.unwrap();
    let id = workspace(&store).await;
    let mut watcher = database.connect().await;
    // Each by itself: the next call on the same connection would end what was left open.
    for polls in (1..=8).cycle().take(40) {
        dropped_after(polls, store.list_collections(id, PageRequest::default())).await;
        let closed = async {
            loop {
                let open = sqlx::query(
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
                );
                let row = open.fetch_one(&mut watcher).await.unwrap();
                if row.get::<i64, _>(0) == 0 && store.open_and_used().1 == 0 {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(5), closed).await;
        assert!(in_time.is_ok(), "dropped after {polls} polls, it stays open");
    }
    assert_whole(&database, &store).await;
}
