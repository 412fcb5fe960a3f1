//! The queue on RabbitMQ, old and new: the contract, and what only a broker can do wrong.

mod faults;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::management::Management;
use quaestor_backends::queue::rabbitmq::topology::Topology;
use quaestor_backends::queue::rabbitmq::{BrokerAddress, BrokerError, RabbitOptions, RabbitQueue};
use quaestor_contracts::queue_contract;
use quaestor_core::clock::SystemClock;
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::ports::queue::{
    Consumer, DeadDelivery, Depth, Durability, Published, Queue, QueueError,
};
use secrecy::SecretString;
use serde_json::json;

use crate::places::setting;

/// Which broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broker {
    /// The newest that `make services` has.
    New,
    /// The oldest that works, 3.10.
    Old,
}

impl Broker {
    pub(crate) const BOTH: [Self; 2] = [Self::New, Self::Old];

    fn url(self) -> String {
        setting(match self {
            Self::New => "QUAESTOR_QUEUE_URL",
            Self::Old => "TEST_OLD_QUEUE_URL",
        })
    }

    fn management_url(self) -> String {
        setting(match self {
            Self::New => "QUAESTOR_QUEUE_MANAGEMENT_URL",
            Self::Old => "TEST_OLD_QUEUE_MANAGEMENT_URL",
        })
    }

    pub(crate) fn management(self) -> Management {
        Management::new(&SecretString::from(self.management_url())).unwrap()
    }

    /// The address with another virtual host.
    pub(crate) fn address_of(self, vhost: &str) -> BrokerAddress {
        let url = self.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{vhost}").parse().unwrap()
    }
}

/// A virtual host of a test's own, removed with the value.
#[derive(Debug)]
pub(crate) struct Vhost {
    pub(crate) broker: Broker,
    pub(crate) name: String,
    pub(crate) management: Management,
}

impl Vhost {
    /// An empty one.
    pub(crate) async fn empty(broker: Broker) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let vhost = Self { broker, name, management: broker.management() };
        vhost.management.put(&["vhosts", &vhost.name], &json!({})).await.unwrap();
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let user = vhost.address().user().to_owned();
        vhost.management.put(&["permissions", &vhost.name, &user], &all).await.unwrap();
        vhost
    }

    /// One with the topology.
    pub(crate) async fn ready(broker: Broker) -> Self {
        let vhost = Self::empty(broker).await;
        vhost.apply().await;
        vhost
    }

    pub(crate) async fn apply(&self) {
        let address = self.address();
        Topology::new(&self.management, &address).await.unwrap().apply().await.unwrap();
    }

    pub(crate) fn address(&self) -> BrokerAddress {
        self.broker.address_of(&self.name)
    }

    /// Its address, password included.
    pub(crate) fn url(&self) -> String {
        let url = self.broker.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    pub(crate) async fn connect(&self) -> Result<RabbitQueue, BrokerError> {
        connect(self.address(), &self.name).await
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // The test's runtime may be ending, and with it the connections of its client: a
        // thread and a client of its own.
        let (management, name) = (self.broker.management(), self.name.clone());
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(management.delete(&["vhosts", &name]))
        });
        let removed = removed.join().is_ok_and(|removed| removed.is_ok());
        // A test that fails already is not to be ended by this.
        assert!(removed || std::thread::panicking(), "a test's virtual host stays");
    }
}

pub(crate) async fn connect(
    address: BrokerAddress,
    name: &str,
) -> Result<RabbitQueue, BrokerError> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    RabbitQueue::connect(RabbitOptions { address, name: name.to_owned(), clock, entropy }).await
}

/// A queue in a virtual host of its own.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) queue: RabbitQueue,
    pub(crate) vhost: Vhost,
}

impl Place {
    pub(crate) async fn on(broker: Broker) -> Self {
        let vhost = Vhost::ready(broker).await;
        Self { queue: vhost.connect().await.unwrap(), vhost }
    }
}

#[async_trait]
impl Queue for Place {
    fn durability(&self) -> Durability {
        self.queue.durability()
    }

    async fn publish(&self, messages: Vec<Envelope>) -> Result<Vec<Published>, QueueError> {
        self.queue.publish(messages).await
    }

    async fn consume(&self, step: Step, slots: u16) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consume(step, slots).await
    }

    async fn depth(&self, step: Step) -> Result<Depth, QueueError> {
        self.queue.depth(step).await
    }

    async fn take_dead(&self) -> Result<Option<DeadDelivery>, QueueError> {
        self.queue.take_dead().await
    }

    async fn dead_depth(&self) -> Result<u64, QueueError> {
        self.queue.dead_depth().await
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.queue.ping().await
    }
}

async fn on_the_new_broker() -> Place {
    Place::on(Broker::New).await
}

async fn on_the_old_broker() -> Place {
    Place::on(Broker::Old).await
}

mod new_broker {
    use super::*;

    queue_contract!(super::super::on_the_new_broker);
}

mod old_broker {
    use super::*;

    queue_contract!(super::super::on_the_old_broker);
}
