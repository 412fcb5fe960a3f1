//! What this process takes of what is wanted.

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkerId;
use quaestor_core::jobs::Step;
use quaestor_core::scaling::notice::{Wanted, Worked};
use quaestor_core::scaling::room::{Memory, MemoryMeter, Room, Wish, share_out};
use quaestor_core::scaling::{PerStep, is_interactive};
use tracing::{info, warn};

use super::machine::memory_of;
use crate::context::Context;

/// How often it is looked what memory is used: that reads the tables of pages.
const MEMORY_EVERY: TimeDelta = TimeDelta::seconds(2);

/// This process's share.
pub(super) struct Share {
    takes: PerStep<bool>,
    meter: MemoryMeter,
    memory: Option<(Time, Memory)>,
    high: bool,
}

impl Share {
    pub(super) fn new(steps: &[Step]) -> Self {
        Self {
            takes: PerStep::of_each(|step| steps.contains(&step)),
            meter: MemoryMeter::default(),
            memory: None,
            high: false,
        }
    }

    /// Takes its share. Where nobody tells what is wanted, everything stays as it is, but for
    /// what memory does not allow.
    pub(super) async fn take(
        &mut self,
        context: &Context,
        wanted: Option<&Wanted>,
        told: &[(WorkerId, Vec<Worked>)],
    ) {
        let looked = self.look(context).await;
        let settings = &context.settings;
        let wishes = PerStep::of_each(|step| {
            let now = context.places.of(step);
            let mine = wanted.map_or(u32::from(now), |wanted| mine(step, wanted, told));
            self.takes.of(step).then(|| Wish {
                now,
                least: settings.slots.of(step),
                most: *settings.scaling.most.of(step),
                wanted: mine,
            })
        });
        let room = Room {
            cores: settings.scaling.cores,
            // What was used a moment ago says nothing of slots that were given since.
            memory: self.memory.map(|(_, memory)| memory),
            questions_wait: wanted.is_some_and(|wanted| questions_wait(context, wanted)),
        };
        let grows = looked || room.memory.is_none();
        let mut shared = share_out(&wishes, &room);
        for step in Step::ALL {
            let (now, given) = (context.places.of(step), shared.of_mut(step));
            let least = settings.slots.of(step);
            if (!grows && !is_interactive(step) && *given > now.max(least)) || *given == 0 {
                *given = now;
            }
        }
        context.places.set(shared);
    }

    /// Looks at the memory where it is time to; whether it did.
    async fn look(&mut self, context: &Context) -> bool {
        let Some(limit) = context.settings.scaling.memory else { return false };
        let now = context.clock.now();
        if self.memory.is_some_and(|(at, _)| now < at + MEMORY_EVERY) {
            return false;
        }
        let used = tokio::task::spawn_blocking(|| memory_of(std::process::id())).await;
        let Some(used) = used.ok().flatten() else { return false };
        self.meter.look(used, context.work.busy());
        let memory = self.meter.of(used, limit);
        self.memory = Some((now, memory));
        if memory.is_high() != self.high {
            self.high = memory.is_high();
            let (used, limit) = (used >> 20, limit >> 20);
            if self.high {
                warn!("{used} of {limit} MiB of memory are used: bulk work gets fewer slots");
            } else {
                info!("{used} of {limit} MiB of memory are used: bulk work may have its slots");
            }
        }
        true
    }
}

/// What of it is this process's, where all that take the queue have alike.
fn mine(step: Step, wanted: &Wanted, told: &[(WorkerId, Vec<Worked>)]) -> u32 {
    let takes = |worked: &&Worked| worked.step == step && worked.takes;
    let takers = told.iter().filter(|(_, worked)| worked.iter().any(|one| takes(&one))).count();
    let slots = wanted.of(step).map_or(0, |queue| queue.slots);
    slots.div_ceil(u32::try_from(takers.max(1)).unwrap_or(u32::MAX))
}

/// Whether questions wait for longer than they should.
fn questions_wait(context: &Context, wanted: &Wanted) -> bool {
    wanted.queues.iter().any(|queue| {
        let wait_s = context.settings.scaling.aims.of(queue.step).wait_s;
        is_interactive(queue.step) && queue.ready > 0 && queue.oldest_s > wait_s
    })
}

#[cfg(test)]
mod tests {
    use quaestor_core::scaling::notice::QueueWanted;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn whoever_takes_a_queue_has_alike() {
        let step = Step::ChatGenerate;
        let queue = QueueWanted {
            step,
            slots: 10,
            ready: 0,
            running: 0,
            oldest_s: 0.0,
            arrivals_per_s: 0.0,
            service_s: 1.0,
            requests: 0.0,
            tokens: 0.0,
        };
        let wanted = Wanted { at: Time::UNIX_EPOCH, queues: vec![queue] };
        let process = |number: u128, takes| {
            let worked = Worked { step, takes, left: 0, held_s: 0.0, requests: 0, tokens: 0 };
            (WorkerId(Uuid::from_u128(number)), vec![worked])
        };
        assert_eq!(mine(step, &wanted, &[]), 10);
        assert_eq!(mine(step, &wanted, &[process(1, true)]), 10);
        let three = [process(1, true), process(2, true), process(3, true), process(4, false)];
        assert_eq!(mine(step, &wanted, &three), 4, "who leaves has none");
        assert_eq!(mine(Step::ChatRetrieve, &wanted, &three), 0);
    }
}
