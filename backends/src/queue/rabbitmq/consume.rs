//! Consuming: one channel for each consumer, and what survives the loss of it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use lapin::message::Delivery as Received;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::metrics;
use quaestor_core::ports::queue::{Consumer, Delivery, QueueError, Settle};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::error::{BrokerError, meaning};
use super::link::Link;
use super::pause::Backoff;
use super::settle::{Order, Settler};
use super::topology::queue_of;

/// How long the broker may take to begin a consumer.
const BEGIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A consumer that outlives connections: when its channel is gone, it begins again on the
/// next one. It ends only with the queue.
#[derive(Debug)]
pub(super) struct RabbitConsumer {
    link: Link,
    step: Step,
    slots: u16,
    /// Shown by the broker's tools.
    tag: String,
    open: Option<Open>,
    backoff: Backoff,
}

/// A consumer on a channel that lives, as far as we know.
#[derive(Debug)]
struct Open {
    deliveries: lapin::Consumer,
    orders: mpsc::UnboundedSender<Order>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // The settler gives back what was sent to us and not taken. It has ended only
        // where the channel has, and then the broker does so.
        let _ = self.orders.send(Order::End(self.deliveries.clone()));
    }
}

impl RabbitConsumer {
    /// Begins to consume; an error where that cannot be done now.
    pub(super) async fn begin(
        link: Link,
        step: Step,
        slots: u16,
        tag: String,
    ) -> Result<Self, Arc<BrokerError>> {
        let mut consumer = Self {
            link,
            step,
            // 0 would mean that the broker sends without limit.
            slots: slots.max(1),
            tag,
            open: None,
            backoff: Backoff::default(),
        };
        let live = consumer.link.live()?;
        consumer.open = Some(consumer.open(&live).await?);
        Ok(consumer)
    }

    async fn open(&self, live: &super::link::Live) -> Result<Open, BrokerError> {
        let around = self.link.around();
        let channel = live.channel(around).await?;
        let begun = async {
            // Per consumer, never per channel: brokers from 4.3 on refuse the other.
            channel.basic_qos(self.slots, BasicQosOptions { global: false }).await?;
            let queue = ShortString::from(queue_of(self.step));
            let options = BasicConsumeOptions::default();
            let tag = ShortString::from(self.tag.as_str());
            channel.basic_consume(queue, tag, options, FieldTable::default()).await
        };
        let deliveries = tokio::select! {
            begun = begun => begun.map_err(|error| meaning(&around.address, error))?,
            () = around.clock.sleep(BEGIN) => {
                let address = around.address.clone();
                return Err(BrokerError::Silent { address, what: "a new consumer" });
            }
        };
        // At most as many orders as there are unsettled messages, which the prefetch
        // bounds, and one to end.
        let (orders, received) = mpsc::unbounded_channel();
        around.tasks.spawn(Settler::new(channel, self.step).run(received));
        Ok(Open { deliveries, orders })
    }

    /// Begins again, however often it takes. False when the queue was closed.
    async fn reopen(&mut self) -> bool {
        let mut told = false;
        loop {
            let Some(live) = self.link.up().await else { return false };
            match self.open(&live).await {
                Ok(open) => {
                    info!(job.step = %self.step, "consuming {} again", self.step);
                    self.open = Some(open);
                    return true;
                }
                Err(reason) if !told => {
                    told = true;
                    error!(
                        job.step = %self.step,
                        error = &reason as &dyn std::error::Error,
                        "could not consume {}; trying on", self.step
                    );
                }
                Err(_) => {}
            }
            let around = self.link.around();
            around.clock.sleep(self.backoff.next(&*around.entropy)).await;
        }
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.reopen().await {
                    return None;
                }
                continue;
            };
            // Nothing is awaited between the taking of a message and the return of it.
            match open.deliveries.next().await {
                Some(Ok(received)) => {
                    self.backoff = Backoff::default();
                    if let Some(delivery) = take(&received, self.step, &open.orders) {
                        return Some(delivery);
                    }
                }
                Some(Err(reason)) => {
                    warn!(
                        job.step = %self.step,
                        error = &reason as &dyn std::error::Error,
                        "the consumer of {} broke", self.step
                    );
                    self.open = None;
                    self.link.doubt();
                }
                // The queue was deleted, or the consumer held a message for too long.
                None => {
                    warn!(job.step = %self.step, "RabbitMQ ended the consumer of {}", self.step);
                    self.open = None;
                    self.link.doubt();
                }
            }
        }
    }
}

/// The delivery; None where the message is no envelope, which then goes to the broker's
/// dead queue, and from there to the dead letters: no version of this program could have
/// published it. Its neighbours are not touched: a message is rejected alone.
fn take(
    received: &Received,
    step: Step,
    orders: &mpsc::UnboundedSender<Order>,
) -> Option<Delivery> {
    let held = Held { tag: received.delivery_tag, step, orders: Some(orders.clone()) };
    match Envelope::read(&received.data) {
        Ok(envelope) => Some(Delivery::new(envelope, received.redelivered, Box::new(held))),
        Err(reason) => {
            // The body stays out of the log.
            error!(
                job.step = %step,
                error.code = reason.code(),
                message.size_bytes = received.data.len(),
                "a message of {step} cannot be read; it goes to the dead letters"
            );
            metrics::MESSAGES_UNDECODABLE.of([step.as_str().into()]).increment(1);
            held.bury();
            None
        }
    }
}

/// A message that was taken. Dropped while it still can give orders, it is given back.
#[derive(Debug)]
struct Held {
    tag: u64,
    step: Step,
    orders: Option<mpsc::UnboundedSender<Order>>,
}

/// The channel that a message came on is gone: the broker gives the message to another.
#[derive(Debug, thiserror::Error)]
#[error("the message was delivered over a connection that is gone, and will come again")]
struct Gone;

impl Held {
    fn bury(mut self) {
        if let Some(orders) = self.orders.take() {
            // A settler that has ended took its channel with it: the message comes again.
            let _ = orders.send(Order::Bury(self.tag));
        }
    }

    async fn settle(
        &mut self,
        order: impl FnOnce(u64, oneshot::Sender<()>) -> Order,
    ) -> Result<(), QueueError> {
        let (done, told) = oneshot::channel();
        let sent = self.orders.take().is_some_and(|o| o.send(order(self.tag, done)).is_ok());
        if sent && told.await.is_ok() {
            return Ok(());
        }
        Err(QueueError {
            action: "settle a message of",
            queue: self.step.as_str().to_owned(),
            source: Box::new(Gone),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.take() {
            let _ = orders.send(Order::GiveBack(self.tag, None));
        }
    }
}

#[async_trait]
impl Settle for Held {
    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        self.settle(Order::Ack).await
    }

    async fn give_back(mut self: Box<Self>) -> Result<(), QueueError> {
        self.settle(|tag, done| Order::GiveBack(tag, Some(done))).await
    }
}
