//! Settling: one task for each channel writes what becomes of its messages.
//!
//! Orders that come together go out together, and acknowledgements that leave no gap
//! become one. The task lives until the consumer and every delivery of it are gone, so a
//! running job can be acknowledged after its consumer was dropped.

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use futures::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicRejectOptions};
use quaestor_core::jobs::Step;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// The most orders that go out together.
const BATCH: usize = 256;

/// What becomes of the message with this delivery tag.
#[derive(Debug)]
pub(super) enum Order {
    /// It is done.
    Ack(u64, oneshot::Sender<()>),
    /// Its queue gets it back.
    GiveBack(u64, Option<oneshot::Sender<()>>),
    /// The dead letters get it.
    Bury(u64),
    /// Nobody takes messages from this consumer any more.
    End(lapin::Consumer),
}

/// Writes the orders of one channel.
#[derive(Debug)]
pub(super) struct Settler {
    channel: Channel,
    step: Step,
    ledger: Ledger,
}

impl Settler {
    pub(super) fn new(channel: Channel, step: Step) -> Self {
        Self { channel, step, ledger: Ledger::default() }
    }

    /// Runs until nobody can order any more, then closes the channel.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut batch = Vec::with_capacity(BATCH);
        while orders.recv_many(&mut batch, BATCH).await > 0 {
            if let Err(error) = self.carry_out(&mut batch).await {
                // Who waits for an answer learns it by the dropped sender. The broker
                // gives every message of this channel to somebody else.
                warn!(
                    job.step = %self.step,
                    error = &error as &dyn std::error::Error,
                    "could not settle messages of {}", self.step
                );
                return;
            }
        }
    }

    async fn carry_out(&mut self, batch: &mut Vec<Order>) -> lapin::Result<()> {
        let mut acked = Vec::new();
        let mut rejected = Vec::new();
        let mut told = Vec::new();
        let mut ended = None;
        for order in batch.drain(..) {
            match order {
                Order::Ack(tag, done) => {
                    acked.push(tag);
                    told.push(done);
                }
                Order::GiveBack(tag, done) => {
                    rejected.push((tag, true));
                    told.extend(done);
                }
                Order::Bury(tag) => rejected.push((tag, false)),
                Order::End(consumer) => ended = Some(consumer),
            }
        }
        // Rejections first: an acknowledgement of all up to a tag must not take them along.
        let rejections = rejected.iter().map(|(tag, requeue)| {
            self.channel.basic_reject(*tag, BasicRejectOptions { requeue: *requeue })
        });
        let acks = self.ledger.settle(acked, rejected.iter().map(|(tag, _)| *tag));
        let acks = acks
            .into_iter()
            .map(|(tag, multiple)| self.channel.basic_ack(tag, BasicAckOptions { multiple }));
        // All are handed to the connection before the first is waited for.
        let (rejections, acks) = join(join_all(rejections), join_all(acks)).await;
        for written in rejections.into_iter().chain(acks) {
            written?;
        }
        for done in told {
            // Who does not wait any more need not know.
            let _ = done.send(());
        }
        match ended {
            Some(consumer) => self.end(consumer).await,
            None => Ok(()),
        }
    }

    /// Ends the consumer and gives back what the broker had sent ahead.
    async fn end(&mut self, mut consumer: lapin::Consumer) -> lapin::Result<()> {
        if !self.channel.status().connected() {
            return Ok(());
        }
        self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        // The broker's answer comes after its last message.
        while let Some(Some(Ok(ahead))) = consumer.next().now_or_never() {
            let tag = ahead.delivery_tag;
            self.ledger.settle(Vec::new(), [tag]);
            self.channel.basic_reject(tag, BasicRejectOptions { requeue: true }).await?;
        }
        Ok(())
    }
}

/// Which deliveries of a channel are settled. Their tags count from 1.
#[derive(Debug, Default)]
struct Ledger {
    /// Every tag up to this one is settled.
    floor: u64,
    /// Settled ones above it; at most the prefetch.
    above: BTreeSet<u64>,
}

impl Ledger {
    /// Notes what is settled now. Gives the acknowledgements to write: a tag, and whether
    /// it stands for every unsettled one below as well. That tag is always one that is
    /// being acknowledged: the broker refuses a tag it does not wait for.
    fn settle(
        &mut self,
        mut acked: Vec<u64>,
        rejected: impl IntoIterator<Item = u64>,
    ) -> Vec<(u64, bool)> {
        self.above.extend(rejected);
        self.above.extend(&acked);
        while self.above.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
        acked.sort_unstable();
        let below = acked.partition_point(|tag| *tag <= self.floor);
        let mut acks = Vec::with_capacity(acked.len() - below + 1);
        if below > 0 {
            acks.push((acked[below - 1], below > 1));
        }
        acks.extend(acked[below..].iter().map(|tag| (*tag, false)));
        acks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_without_a_gap_become_one() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.settle(vec![2, 1, 3], []), [(3, true)]);
        // 4 runs on: nothing may stand for it.
        assert_eq!(ledger.settle(vec![6, 5], []), [(5, false), (6, false)]);
        assert_eq!(ledger.settle(vec![4], []), [(4, false)]);
        assert_eq!(ledger.settle(vec![7, 8], []), [(8, true)]);
    }

    #[test]
    fn an_acknowledgement_names_no_rejected_tag() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.settle(vec![1, 2, 4], [3, 5]), [(4, true)]);
        assert_eq!(ledger.settle(vec![], [6]), []);
        assert_eq!(ledger.settle(vec![8], []), [(8, false)]);
        assert_eq!(ledger.settle(vec![9], [7]), [(9, false)]);
        assert!(ledger.above.is_empty());
    }
}
