//! Queues on RabbitMQ 3.10 to 4.x: quorum queues, confirms, manual acknowledgements.
//!
//! Publishing and consuming have a connection each, since a broker that is short of
//! memory stops the publishing ones whole. Each is kept up by a task of its own
//! (`link`). Delivery is at least once: what a lost connection leaves unknown is sent, or
//! delivered, again.

mod address;
mod consume;
mod dead;
mod dial;
mod error;
mod link;
pub mod management;
mod message;
mod pause;
mod publish;
mod settle;
mod start;
pub mod topology;
mod version;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::ports::queue::{
    Consumer, DeadDelivery, Depth, Durability, Published, Queue, QueueError,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use address::{AddressError, BrokerAddress};
pub use error::{BrokerError, OLDEST};

use consume::RabbitConsumer;
use link::{Link, Surroundings};
use publish::Publisher;
use start::{Look, problems, ready};
use topology::{DEAD_QUEUE, JOBS_EXCHANGE, Wanted, queue_of};

/// How long a look at the whole topology may take at most.
const PING: Duration = Duration::from_secs(5);

/// How to reach the broker.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// Where it is, and who we are.
    pub address: BrokerAddress,
    /// How the broker's tools name us; the purpose of each connection is added.
    pub name: String,
    /// The clock of pauses and deadlines.
    pub clock: Arc<dyn Clock>,
    /// What makes pauses differ.
    pub entropy: Arc<dyn Entropy>,
}

/// The queue. Dropped, it closes its connections.
#[derive(Debug)]
pub struct RabbitQueue {
    around: Surroundings,
    publisher: Publisher,
    consuming: Link,
    wanted: Wanted,
    version: (u32, u32),
    name: String,
    _stop: DropGuard,
}

impl RabbitQueue {
    /// Connects, and checks that the broker is one that works. From then on, it reconnects
    /// by itself.
    ///
    /// # Errors
    /// What is wrong with the broker, in one sentence that says how to mend it.
    pub async fn connect(options: RabbitOptions) -> Result<Self, BrokerError> {
        let RabbitOptions { address, name, clock, entropy } = options;
        let version = version::version(&address, &clock).await?;
        let wanted = Wanted::of_version(version).map_err(|error| BrokerError::Broken {
            address: address.clone(),
            source: error.into(),
        })?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let around = Surroundings { address, clock, entropy, stop, tasks: TaskTracker::new() };
        let consuming = Link::start(around.clone(), format!("{name} consume"), "consume").await?;
        let live = consuming.live().map_err(|_| BrokerError::Closed)?;
        let problems = problems(&live, &around, &wanted, Look::Alike).await?;
        if !problems.is_empty() {
            return Err(BrokerError::Topology { address: around.address.clone(), problems });
        }
        let publishing = Link::start(around.clone(), format!("{name} publish"), "publish").await?;
        let publisher = Publisher::new(publishing);
        Ok(Self { around, publisher, consuming, wanted, version, name, _stop: guard })
    }

    /// The broker's major and minor version, as it was when it was first met.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Closes the connections, and waits until they and every unsettled delivery are gone.
    pub async fn close(&self) {
        self.around.stop.cancel();
        self.around.tasks.close();
        self.around.tasks.wait().await;
    }

    async fn check(&self) -> Result<(), Arc<BrokerError>> {
        self.publisher.link().live()?;
        let live = self.consuming.live()?;
        let problems = problems(&live, &self.around, &self.wanted, Look::Present).await?;
        if problems.is_empty() {
            return Ok(());
        }
        let address = self.around.address.clone();
        Err(Arc::new(BrokerError::Topology { address, problems }))
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn publish(&self, messages: Vec<Envelope>) -> Result<Vec<Published>, QueueError> {
        self.publisher.publish(&messages).await.map_err(|source| QueueError {
            action: "publish to",
            queue: JOBS_EXCHANGE.to_owned(),
            source,
        })
    }

    async fn consume(&self, step: Step, slots: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let tag = format!("{} {step}", self.name);
        match RabbitConsumer::begin(self.consuming.clone(), step, slots, tag).await {
            Ok(consumer) => Ok(Box::new(consumer)),
            Err(source) => Err(failed("consume from", queue_of(step), source)),
        }
    }

    async fn depth(&self, step: Step) -> Result<Depth, QueueError> {
        let measured = async {
            let live = self.consuming.live()?;
            Ok(ready(&live, &self.around, queue_of(step)).await?)
        };
        match measured.await {
            // AMQP does not tell what is unsettled, and the management API only what it was
            // some seconds ago.
            Ok(ready) => Ok(Depth { ready, unsettled: None }),
            Err(source) => Err(failed("measure", queue_of(step), source)),
        }
    }

    async fn take_dead(&self) -> Result<Option<DeadDelivery>, QueueError> {
        let taken = async { Ok(dead::take(&self.consuming.live()?, &self.around).await?) };
        taken.await.map_err(|source| failed("take from", DEAD_QUEUE, source))
    }

    async fn dead_depth(&self) -> Result<u64, QueueError> {
        let measured =
            async { Ok(ready(&self.consuming.live()?, &self.around, DEAD_QUEUE).await?) };
        measured.await.map_err(|source| failed("measure", DEAD_QUEUE, source))
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let checked = tokio::select! {
            checked = self.check() => checked,
            () = self.around.clock.sleep(PING) => {
                let address = self.around.address.clone();
                Err(Arc::new(BrokerError::Silent { address, what: "a look at the topology" }))
            }
        };
        checked.map_err(|source| failed("ping", JOBS_EXCHANGE, source))
    }
}

fn failed(action: &'static str, queue: &str, source: Arc<BrokerError>) -> QueueError {
    QueueError { action, queue: queue.to_owned(), source: Box::new(source) }
}
