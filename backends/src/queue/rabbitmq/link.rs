//! One connection that is kept up: made, watched, and made again for as long as the
//! process runs.
//!
//! lapin's own recovery is off. Whatever goes wrong, the whole connection is dropped and
//! a new one made, with a new generation: what belongs to an old one is never used again.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::{Channel, Connection, Event};
use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::metrics;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::address::BrokerAddress;
use super::dial::{Socket, dial};
use super::error::{BrokerError, meaning};
use super::pause::Backoff;

/// How often a connection is looked at although nothing was heard of it.
const LOOK: Duration = Duration::from_secs(1);
/// How long the broker may take to open a channel.
const OPEN_CHANNEL: Duration = Duration::from_secs(2);

/// What both connections of a queue share.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) address: BrokerAddress,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A connection that is up.
#[derive(Clone)]
pub(super) struct Live {
    /// Raised by each new connection.
    pub(super) generation: u64,
    connection: Arc<Connection>,
    socket: Socket,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum State {
    Up(Live),
    Down(Arc<BrokerError>),
}

/// One connection, kept up by a task of its own.
#[derive(Clone, Debug)]
pub(super) struct Link {
    around: Surroundings,
    state: watch::Receiver<State>,
    blocked: watch::Receiver<bool>,
    doubt: Arc<Notify>,
}

impl Link {
    /// Connects, and stays connected. An error is that of the first attempt.
    pub(super) async fn start(
        around: Surroundings,
        name: String,
        purpose: &'static str,
    ) -> Result<Self, BrokerError> {
        let first = dial(&around.address, &name, &around.clock).await?;
        let first = Live { generation: 1, connection: Arc::new(first.0), socket: first.1 };
        let (tell, state) = watch::channel(State::Up(first.clone()));
        let (tell_blocked, blocked) = watch::channel(false);
        let doubt = Arc::new(Notify::new());
        let keeper = Keeper {
            around: around.clone(),
            name,
            purpose,
            tell,
            tell_blocked,
            doubt: Arc::clone(&doubt),
        };
        around.tasks.spawn(keeper.keep(first));
        Ok(Self { around, state, blocked, doubt })
    }

    /// The connection, where it is up now.
    pub(super) fn live(&self) -> Result<Live, Arc<BrokerError>> {
        match &*self.state.borrow() {
            State::Up(live) if live.connection.status().connected() => Ok(live.clone()),
            State::Up(_) => {
                self.doubt.notify_one();
                Err(Arc::new(BrokerError::Broken {
                    address: self.around.address.clone(),
                    source: "it is made again".into(),
                }))
            }
            State::Down(error) => Err(Arc::clone(error)),
        }
    }

    /// Waits for the connection to be up. None when it never will be again.
    pub(super) async fn up(&self) -> Option<Live> {
        let mut state = self.state.clone();
        loop {
            if let State::Up(live) = &*state.borrow_and_update()
                && live.connection.status().connected()
            {
                return Some(live.clone());
            }
            self.doubt.notify_one();
            state.changed().await.ok()?;
        }
    }

    /// Has somebody look whether the connection is still up.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Whether the broker has told us to stop publishing.
    pub(super) fn is_blocked(&self) -> bool {
        *self.blocked.borrow()
    }

    /// Waits until the broker tells us to stop publishing.
    pub(super) async fn blocked(&self) {
        let mut blocked = self.blocked.clone();
        if blocked.wait_for(|blocked| *blocked).await.is_err() {
            // The keeper has ended: nobody will tell.
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn around(&self) -> &Surroundings {
        &self.around
    }
}

impl Live {
    /// Opens a channel. A broker that does not answer this is not there any more: the
    /// connection is cut, long before the heartbeats would find out.
    pub(super) async fn channel(&self, around: &Surroundings) -> Result<Channel, BrokerError> {
        tokio::select! {
            channel = self.connection.create_channel() => {
                channel.map_err(|error| meaning(&around.address, error))
            }
            () = around.clock.sleep(OPEN_CHANNEL) => {
                // A blocked connection answers nothing and is well.
                if !self.connection.status().blocked() {
                    self.socket.cut();
                }
                Err(BrokerError::Silent { address: around.address.clone(), what: "a new channel" })
            }
        }
    }
}

/// The task that keeps one connection up.
struct Keeper {
    around: Surroundings,
    name: String,
    purpose: &'static str,
    tell: watch::Sender<State>,
    tell_blocked: watch::Sender<bool>,
    doubt: Arc<Notify>,
}

impl Keeper {
    async fn keep(self, first: Live) {
        let stop = self.around.stop.clone();
        let mut live = first;
        loop {
            let generation = live.generation;
            let ended = tokio::select! {
                () = stop.cancelled() => return self.close(live).await,
                reason = self.watch(&live) => reason,
            };
            warn!(
                queue.purpose = self.purpose,
                "the connection to RabbitMQ for {} ended: {ended}", self.purpose
            );
            self.block(false);
            self.tell.send_replace(State::Down(Arc::new(BrokerError::Broken {
                address: self.around.address.clone(),
                source: ended.into(),
            })));
            live.socket.cut();
            drop(live);
            live = tokio::select! {
                () = stop.cancelled() => return self.closed(),
                live = self.connect(generation + 1) => live,
            };
            info!(queue.purpose = self.purpose, "connected to RabbitMQ for {} again", self.purpose);
            self.tell.send_replace(State::Up(live.clone()));
        }
    }

    /// Returns why the connection ended.
    async fn watch(&self, live: &Live) -> String {
        let mut events = pin!(live.connection.events_listener());
        let status = live.connection.status();
        let mut reason = None;
        // It may have been blocked before the listener was there.
        self.block(status.blocked());
        while status.connected() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Error(error)) => reason = Some(error.to_string()),
                    Some(Event::ConnectionBlocked(why)) => {
                        warn!("RabbitMQ takes no more messages ({why}); they wait in the outbox");
                        self.block(true);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        info!("RabbitMQ takes messages again");
                        self.block(false);
                    }
                    Some(_) => {}
                    // Without events there is still the look at the status.
                    None => self.around.clock.sleep(LOOK).await,
                },
                () = self.doubt.notified() => {}
                () = self.around.clock.sleep(LOOK) => {}
            }
        }
        reason.unwrap_or_else(|| "it was closed".to_owned())
    }

    fn block(&self, blocked: bool) {
        if self.tell_blocked.send_replace(blocked) != blocked || !blocked {
            metrics::QUEUE_BLOCKED.of([self.purpose.into()]).set(if blocked { 1.0 } else { 0.0 });
        }
    }

    /// Connects, however often it takes.
    async fn connect(&self, generation: u64) -> Live {
        let Surroundings { address, clock, entropy, .. } = &self.around;
        let mut backoff = Backoff::default();
        let mut told = None;
        loop {
            clock.sleep(backoff.next(&**entropy)).await;
            match dial(address, &self.name, clock).await {
                Ok((connection, socket)) => {
                    return Live { generation, connection: Arc::new(connection), socket };
                }
                Err(error) => {
                    // Once for each reason: it may go on for hours.
                    let sentence = error.to_string();
                    if told.as_ref() != Some(&sentence) {
                        warn!(error = &error as &dyn std::error::Error, "{sentence}; trying on");
                        told = Some(sentence);
                    }
                    self.tell.send_replace(State::Down(Arc::new(error)));
                }
            }
        }
    }

    async fn close(&self, live: Live) {
        self.closed();
        tokio::select! {
            closed = live.connection.close(200, "the process ends".into()) => {
                if let Err(error) = closed {
                    // What is not settled goes back either way.
                    info!(error = &error as &dyn std::error::Error, "RabbitMQ was not told goodbye");
                }
            }
            () = self.around.clock.sleep(LOOK) => live.socket.cut(),
        }
    }

    fn closed(&self) {
        self.tell.send_replace(State::Down(Arc::new(BrokerError::Closed)));
    }
}
