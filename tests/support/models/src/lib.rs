//! A server of models for tests: it speaks the interfaces of the providers, does what a
//! script says, and keeps a log of every call, which is the oracle for "one bill".
//!
//! It speaks OpenAI's interface, Azure's two forms of it with the token service beside them,
//! Anthropic's messages and Cohere's reranking, on a loopback port of its own. Unscripted
//! requests get a sensible answer. Dropping the value ends the server and its connections.

#![expect(clippy::unwrap_used, reason = "these are tests, though not compiled as such")]

mod connection;
mod http;
mod log;
mod obedience;
mod reply;
mod request;
mod steps;
mod vectors;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use log::{Call, Ended};
pub use obedience::obedient;
pub use reply::{Answer, Cut, Damage, Finish, Hangup, Reply, Vectors};
pub use request::{Operation, Request, Wire};
pub use steps::{Framing, Step};

/// Nothing takes longer, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// What answers the requests that no queued script is for.
type Respond = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A running server.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

pub(crate) struct Shared {
    queued: Mutex<VecDeque<Reply>>,
    respond: Mutex<Arc<Respond>>,
    calls: Mutex<Vec<Call>>,
    connections: AtomicUsize,
    /// Part of every request's id, so that two servers of a test never give the same.
    port: u16,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("port", &self.port).finish_non_exhaustive()
    }
}

impl ModelServer {
    /// A server that answers every request well until it is told otherwise.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await.unwrap()
    }

    /// A server that answers as the function says.
    pub async fn answering(respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let server = Self::start().await;
        server.respond(respond);
        server
    }

    /// A server at this address.
    pub async fn start_at(address: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            queued: Mutex::default(),
            respond: Mutex::new(Arc::new(Box::new(Reply::sensible))),
            calls: Mutex::default(),
            connections: AtomicUsize::new(0),
            port: address.port(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(connection::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it is: `http://127.0.0.1:…`, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its OpenAI interface is, up to and with `/v1`.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the function answers whatever no queued reply is for.
    pub fn respond(&self, respond: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *locked(&self.shared.respond) = Arc::new(Box::new(respond));
    }

    /// The next request that no queued reply is for gets this one.
    pub fn push(&self, reply: Reply) {
        locked(&self.shared.queued).push_back(reply);
    }

    /// Every call so far, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.shared.calls).clone()
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The calls of one operation.
    #[must_use]
    pub fn calls_of(&self, operation: Operation) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Waits until the log is as it should be, and returns it.
    ///
    /// # Panics
    /// When it does not come to be so in a minute.
    pub async fn wait_for(&self, wanted: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let until = Instant::now() + PATIENCE;
        loop {
            let calls = self.calls();
            if wanted(&calls) {
                return calls;
            }
            assert!(Instant::now() < until, "the calls are not as they should be: {calls:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until no call runs any more, and returns them all.
    pub async fn settled(&self) -> Vec<Call> {
        self.wait_for(|calls| calls.iter().all(|call| call.ended != Ended::Running)).await
    }
}

impl Shared {
    fn reply_to(&self, request: &Request) -> Reply {
        if let Some(reply) = locked(&self.queued).pop_front() {
            return reply;
        }
        let respond = Arc::clone(&locked(&self.respond));
        respond(request)
    }

    /// Writes a call down and returns its number and its request's id.
    fn begin(&self, request: &Request) -> (usize, String) {
        let mut calls = locked(&self.calls);
        let number = calls.len();
        let id = format!("req-{}-{}", self.port, number + 1);
        calls.push(Call::begun(request, id.clone()));
        (number, id)
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = locked(&self.calls).get_mut(number) {
            change(call);
        }
    }
}

/// A test that panicked with the lock leaves nothing half done behind it.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
