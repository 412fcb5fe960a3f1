//! A queue in this process: bounded, and gone with the process.
//!
//! The outbox in the store is what survives; at start the relay sends it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use quaestor_core::jobs::{Envelope, Step};
use quaestor_core::ports::queue::{
    Consumer, DeadDelivery, Delivery, Depth, Durability, Published, Queue, QueueError, Settle,
};
use tokio::sync::Notify;

/// Messages that one queue holds at most unless told otherwise. An envelope is below
/// 1 KiB, so a full queue stays within some megabytes; the rest waits in the outbox.
pub const DEFAULT_CAPACITY: usize = 10_000;

/// One queue per step, in memory.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    lanes: Arc<[Lane; Step::ALL.len()]>,
    capacity: usize,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl MemoryQueue {
    /// Queues that hold at most `capacity` messages each, settled ones not counted.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { lanes: Arc::default(), capacity: capacity.max(1) }
    }
}

/// The queue of one step.
#[derive(Debug, Default)]
struct Lane {
    state: Mutex<State>,
    /// Told for every message that becomes ready and every slot that becomes free.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Waiting>,
    unsettled: usize,
}

#[derive(Debug)]
struct Waiting {
    envelope: Envelope,
    redelivered: bool,
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane(lanes: &[Lane; Step::ALL.len()], step: Step) -> &Lane {
    &lanes[match step {
        Step::ChatRetrieve => 0,
        Step::ChatGenerate => 1,
        Step::DocumentsIngest => 2,
        Step::DocumentsEmbed => 3,
        Step::CollectionsReindex => 4,
        Step::ExportsWrite => 5,
    }]
}

#[async_trait]
impl Queue for MemoryQueue {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn publish(&self, messages: Vec<Envelope>) -> Result<Vec<Published>, QueueError> {
        let outcomes = messages
            .into_iter()
            .map(|envelope| {
                let lane = lane(&self.lanes, envelope.step);
                let mut state = lane.state();
                if state.ready.len() + state.unsettled >= self.capacity {
                    return Published::Full;
                }
                state.ready.push_back(Waiting { envelope, redelivered: false });
                drop(state);
                lane.changed.notify_one();
                Published::Confirmed
            })
            .collect();
        Ok(outcomes)
    }

    async fn consume(&self, step: Step, slots: u16) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(MemoryConsumer {
            lanes: Arc::clone(&self.lanes),
            step,
            slots: Arc::new(Slots { taken: Mutex::new(0), freed: Notify::new() }),
            limit: usize::from(slots.max(1)),
        }))
    }

    async fn depth(&self, step: Step) -> Result<Depth, QueueError> {
        let state = lane(&self.lanes, step).state();
        Ok(Depth { ready: state.ready.len() as u64, unsettled: Some(state.unsettled as u64) })
    }

    async fn take_dead(&self) -> Result<Option<DeadDelivery>, QueueError> {
        Ok(None)
    }

    async fn dead_depth(&self) -> Result<u64, QueueError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

/// One consumer's unsettled messages.
#[derive(Debug)]
struct Slots {
    taken: Mutex<usize>,
    freed: Notify,
}

#[derive(Debug)]
struct MemoryConsumer {
    lanes: Arc<[Lane; Step::ALL.len()]>,
    step: Step,
    slots: Arc<Slots>,
    limit: usize,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            // A permit of `notify_one` is kept for the next who waits, and one consumer
            // has one waiter: a slot freed between the look and the wait is not missed.
            let full =
                *self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner) >= self.limit;
            if full {
                self.slots.freed.notified().await;
            } else {
                break;
            }
        }
        let lane = lane(&self.lanes, self.step);
        loop {
            // Several consumers may wait: whoever takes a message passes the hint on
            // while there are more, so that none sleeps beside a ready message.
            let changed = lane.changed.notified();
            if let Some((waiting, more)) = take(lane) {
                if more {
                    lane.changed.notify_one();
                }
                *self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                let held = Held {
                    envelope: Some(waiting.envelope.clone()),
                    lanes: Arc::clone(&self.lanes),
                    slots: Arc::clone(&self.slots),
                };
                // Nothing is awaited between the taking and here: a `next` that is
                // dropped has taken nothing.
                return Some(Delivery::new(waiting.envelope, waiting.redelivered, Box::new(held)));
            }
            changed.await;
        }
    }
}

/// The oldest ready message, now unsettled, and whether there are more.
fn take(lane: &Lane) -> Option<(Waiting, bool)> {
    let mut state = lane.state();
    let waiting = state.ready.pop_front()?;
    state.unsettled += 1;
    Some((waiting, !state.ready.is_empty()))
}

/// A taken message. Dropped while it still has its envelope, it gives it back.
#[derive(Debug)]
struct Held {
    envelope: Option<Envelope>,
    lanes: Arc<[Lane; Step::ALL.len()]>,
    slots: Arc<Slots>,
}

impl Held {
    fn settle(&mut self, give_back: bool) {
        let Some(envelope) = self.envelope.take() else { return };
        let lane = lane(&self.lanes, envelope.step);
        let mut state = lane.state();
        state.unsettled -= 1;
        if give_back {
            state.ready.push_front(Waiting { envelope, redelivered: true });
        }
        drop(state);
        *self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.slots.freed.notify_one();
        if give_back {
            lane.changed.notify_one();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.settle(true);
    }
}

#[async_trait]
impl Settle for Held {
    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        self.settle(false);
        Ok(())
    }

    async fn give_back(mut self: Box<Self>) -> Result<(), QueueError> {
        self.settle(true);
        Ok(())
    }
}
