//! The port to the queue: what carries steps of jobs from the outbox to workers.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::clock::Time;
use crate::jobs::{Envelope, Step};

/// What became of one published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The queue has it.
    Confirmed,
    /// The queue is full; the row stays in the outbox and is tried again.
    Full,
    /// No queue takes messages of this step: the topology lacks it. The row stays in
    /// the outbox, and somebody has to be told.
    Unroutable,
    /// The queue did not answer in time: it may have the message or not. The row stays in
    /// the outbox and is sent again under the same id; a second copy finds its job claimed.
    Unconfirmed,
}

impl Published {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Full => "full",
            Self::Unroutable => "unroutable",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Whether messages outlive the process that holds the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They end with the process: at start, every unfinished outbox row is sent again.
    Volatile,
    /// They stay.
    Durable,
}

/// How much is in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting to be taken.
    pub ready: u64,
    /// Taken and not settled, by whatever process; none where the queue does not tell it.
    pub unsettled: Option<u64>,
}

/// Why the queue could not serve.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the queue {queue}")]
pub struct QueueError {
    /// `publish to`, `consume from`, `measure`, `ping`.
    pub action: &'static str,
    /// The queue's name, which is the step's.
    pub queue: String,
    /// The cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Carries messages. Delivery is at least once, and messages of one queue may overtake
/// one another: the claim in the store decides what is run.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Whether messages outlive the process.
    fn durability(&self) -> Durability;

    /// Puts messages on the queues of their steps. Says for each, in order, what became
    /// of it; only `Confirmed` may be marked as sent.
    async fn publish(&self, messages: Vec<Envelope>) -> Result<Vec<Published>, QueueError>;

    /// Begins to take messages of a step, at most `slots` unsettled at a time.
    async fn consume(&self, step: Step, slots: u16) -> Result<Box<dyn Consumer>, QueueError>;

    /// How much is in the queue of a step.
    async fn depth(&self, step: Step) -> Result<Depth, QueueError>;

    /// Takes one message from those that could not be read or that the queue gave up; none
    /// where there is none, or where nothing but envelopes can come.
    async fn take_dead(&self) -> Result<Option<DeadDelivery>, QueueError>;

    /// How many of those there are.
    async fn dead_depth(&self) -> Result<u64, QueueError>;

    /// Whether the queue serves.
    async fn ping(&self) -> Result<(), QueueError>;
}

/// A message that its queue gave up. Dropped unsettled, it stays among the dead.
#[derive(Debug)]
pub struct DeadDelivery {
    /// The queue that it was on.
    pub queue: String,
    /// The step of that queue, where it is one of ours.
    pub step: Option<Step>,
    /// Why the queue let it go, in its own word: `rejected`, `delivery_limit`.
    pub reason: String,
    /// How often it did.
    pub count: u32,
    /// When it first did; none where it does not tell.
    pub at: Option<Time>,
    /// When it was sent, as it says itself.
    pub sent_at: Option<Time>,
    /// Its properties and headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
    /// Removes it, or leaves it.
    pub settle: Box<dyn Settle>,
}

/// One consumer of one queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next message; waits for one, and for a free slot. None when the queue has
    /// ended this consumer. Safe to drop while it waits: no message is lost.
    async fn next(&mut self) -> Option<Delivery>;
}

/// A message that was taken and has to be settled. One that is dropped unsettled goes
/// back to its queue.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub envelope: Envelope,
    /// Whether it was delivered before.
    pub redelivered: bool,
    settle: Option<Box<dyn Settle>>,
    held: Option<Box<dyn Held>>,
}

/// What is held for as long as a delivery is not settled.
trait Held: std::fmt::Debug + Send + Sync {}

impl<T: std::fmt::Debug + Send + Sync> Held for T {}

impl Delivery {
    /// A delivery with what settles it.
    #[must_use]
    pub fn new(envelope: Envelope, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { envelope, redelivered, settle: Some(settle), held: None }
    }

    /// The delivery, which holds something until it is settled or dropped.
    #[must_use]
    pub fn holding(mut self, held: impl std::fmt::Debug + Send + Sync + 'static) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// The message was dealt with: it is gone from the queue.
    pub async fn ack(mut self) -> Result<(), QueueError> {
        match self.settle.take() {
            Some(settle) => settle.ack().await,
            None => Ok(()),
        }
    }

    /// The message goes back to its queue.
    pub async fn give_back(mut self) -> Result<(), QueueError> {
        match self.settle.take() {
            Some(settle) => settle.give_back().await,
            None => Ok(()),
        }
    }
}

/// How a backend settles one delivery. Dropped without a call, it gives the message back.
#[async_trait]
pub trait Settle: Send + Sync + std::fmt::Debug {
    /// Removes the message.
    async fn ack(self: Box<Self>) -> Result<(), QueueError>;

    /// Returns the message to its queue.
    async fn give_back(self: Box<Self>) -> Result<(), QueueError>;
}
