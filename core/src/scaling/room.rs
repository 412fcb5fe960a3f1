//! What providers, memory and cores allow, and who goes without first.
//!
//! Slots for questions come first: bulk work gets what they leave. More slots than a provider's
//! limits let run only make refusals, and more than memory holds end the process.

use super::{PerStep, is_interactive};
use crate::jobs::Step;
use crate::ports::provider_limits::ProviderQuota;

/// Above this part of the memory there is no further slot.
const ENOUGH: f64 = 0.8;
/// Above this part of the memory bulk work has its slots halved.
const HIGH_WATER: f64 = 0.9;
/// A slot takes at least this, whatever was measured, in bytes.
const LEAST_PER_SLOT: f64 = 8.0 * 1024.0 * 1024.0;

/// What a job of a step asks of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asks {
    /// For how many seconds it holds its slot.
    pub service_s: f64,
    /// Requests that it sends.
    pub requests: f64,
    /// Tokens that it sends and has written.
    pub tokens: f64,
}

/// How many jobs a minute `slots` slots begin, when none of them stands idle.
fn per_minute(slots: f64, asks: &Asks) -> f64 {
    slots * 60.0 / asks.service_s.max(0.001)
}

/// How many slots at once a provider's limits keep busy, by Little's law: jobs a minute times
/// minutes a job. `taken` is the part of the limits that others have already. None where
/// nothing limits it. At least one, or nothing would ever be done: what it may not send, it
/// waits for.
#[must_use]
pub fn budget_slots(quota: ProviderQuota, asks: &Asks, taken: f64) -> Option<u32> {
    let of = |limit: Option<u32>, each: f64| {
        limit.filter(|_| each > 0.0 && each.is_finite()).map(|limit| f64::from(limit) / each)
    };
    let requests = of(quota.requests_per_minute, asks.requests);
    let tokens = of(quota.tokens_per_minute, asks.tokens);
    let jobs = match (requests, tokens) {
        (Some(requests), Some(tokens)) => requests.min(tokens),
        (one, other) => one.or(other)?,
    };
    let jobs = jobs * (1.0 - taken.clamp(0.0, 1.0));
    Some(floor(jobs * asks.service_s.max(0.001) / 60.0).max(1))
}

/// Which part of a provider's limits so many slots of a step take.
#[must_use]
pub fn budget_taken(quota: ProviderQuota, asks: &Asks, slots: u32) -> f64 {
    let jobs = per_minute(f64::from(slots), asks);
    let part = |limit: Option<u32>, each: f64| match limit {
        Some(limit) if each > 0.0 => jobs * each / f64::from(limit.max(1)),
        _ => 0.0,
    };
    part(quota.requests_per_minute, asks.requests)
        .max(part(quota.tokens_per_minute, asks.tokens))
        .clamp(0.0, 1.0)
}

/// What memory a process has, in bytes, and what each of its slots takes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// What it and its children use.
    pub used: u64,
    /// What it may use.
    pub limit: u64,
    /// What a slot takes that is busy.
    pub per_slot: f64,
}

impl Memory {
    /// How many slots more there is memory for; none above [`ENOUGH`].
    #[must_use]
    pub fn more(&self) -> u32 {
        let free = self.limit as f64 * ENOUGH - self.used as f64;
        floor(free / self.per_slot.max(LEAST_PER_SLOT))
    }

    /// Whether there is so little that slots have to go.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.used as f64 > self.limit as f64 * HIGH_WATER
    }
}

/// Finds out what a busy slot takes: what is used beyond what was used when nothing ran, spread
/// over what runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MemoryMeter {
    idle: Option<u64>,
    per_slot: f64,
}

impl MemoryMeter {
    /// Takes a look into account: what is used while so many slots are busy.
    pub fn look(&mut self, used: u64, busy: u32) {
        /// How much a look counts.
        const WEIGHT: f64 = 0.2;
        let idle = match (self.idle, busy) {
            (None, _) => used,
            // What was used once is not given back at once: the least is what idling takes.
            (Some(idle), _) => idle.min(used),
        };
        self.idle = Some(idle);
        if busy > 0 {
            let each = (used - idle) as f64 / f64::from(busy);
            self.per_slot += WEIGHT * (each - self.per_slot);
        }
    }

    /// The memory of a process that uses so much of what it may.
    #[must_use]
    pub fn of(&self, used: u64, limit: u64) -> Memory {
        Memory { used, limit, per_slot: self.per_slot }
    }
}

/// What a step is to have in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What it has.
    pub now: u16,
    /// What it has at least, by the configuration.
    pub least: u16,
    /// What it has at most.
    pub most: u16,
    /// What is wanted of this process.
    pub wanted: u32,
}

/// What a process has for its slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// Cores, for the steps that compute.
    pub cores: u16,
    /// Memory, where it is known.
    pub memory: Option<Memory>,
    /// Whether questions wait for longer than they should: then bulk work has its least.
    pub questions_wait: bool,
}

/// Shares the room out. Questions get what they want within their bounds, and no bulk work
/// ever takes of it. Bulk work gets what is wanted of it within its bounds and cores, while
/// there is memory; above the high water it is halved at each look, down to one slot each.
#[must_use]
pub fn share_out(wishes: &PerStep<Option<Wish>>, room: &Room) -> PerStep<u16> {
    let mut more = room.memory.map_or(u32::MAX, |memory| memory.more());
    let high = room.memory.is_some_and(|memory| memory.is_high());
    let mut given = PerStep::of_each(|_| 0);
    let mut order = Step::ALL;
    order.sort_by_key(|step| !is_interactive(*step));
    for step in order {
        let Some(wish) = wishes.of(step) else { continue };
        let interactive = is_interactive(step);
        let mut wanted = u16::try_from(wish.wanted).unwrap_or(u16::MAX);
        wanted = wanted.min(wish.most).max(wish.least);
        if !interactive {
            if room.questions_wait {
                wanted = wish.least;
            }
            wanted = wanted.min(room.cores.max(wish.least));
            if high {
                wanted = wanted.min((wish.now / 2).max(1));
            }
        }
        // What it has already, or is to have at least, is in what is used or was promised.
        let kept = wish.now.max(if high { 0 } else { wish.least });
        if wanted > kept {
            let further = u16::try_from(more).unwrap_or(u16::MAX).min(wanted - kept);
            more -= u32::from(further);
            wanted = kept + further;
        }
        *given.of_mut(step) = wanted.max(1);
    }
    given
}

/// The whole number below.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn floor(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1 << 20;

    fn quota(requests: Option<u32>, tokens: Option<u32>) -> ProviderQuota {
        ProviderQuota { requests_per_minute: requests, tokens_per_minute: tokens }
    }

    #[test]
    fn a_provider_keeps_as_many_slots_busy_as_its_limits_let_run() {
        let asks = Asks { service_s: 6.0, requests: 1.0, tokens: 5_000.0 };
        // 100,000 tokens a minute are 20 answers a minute, each of 6 s: 2 at once.
        assert_eq!(budget_slots(quota(Some(500), Some(100_000)), &asks, 0.0), Some(2));
        assert_eq!(budget_slots(quota(Some(500), None), &asks, 0.0), Some(50));
        assert_eq!(budget_slots(quota(Some(500), None), &asks, 0.5), Some(25));
        assert_eq!(budget_slots(quota(Some(500), None), &asks, 1.0), Some(1), "it trickles");
        assert_eq!(budget_slots(quota(None, None), &asks, 0.0), None);
        let silent = Asks { tokens: 0.0, ..asks };
        assert_eq!(budget_slots(quota(None, Some(1_000)), &silent, 0.0), None, "not known yet");
        let part = budget_taken(quota(Some(500), Some(100_000)), &asks, 1);
        assert!((part - 0.5).abs() < 1e-9, "{part}");
        assert!(budget_taken(quota(Some(1), None), &asks, 1_000) <= 1.0);
    }

    fn room(used: u64, limit: u64) -> Room {
        let memory = Memory { used: used * MB, limit: limit * MB, per_slot: 50.0 * MB as f64 };
        Room { cores: 4, memory: Some(memory), questions_wait: false }
    }

    fn wishes(chat: Wish, bulk: Wish) -> PerStep<Option<Wish>> {
        PerStep::of_each(|step| match step {
            Step::ChatGenerate => Some(chat),
            Step::DocumentsIngest => Some(bulk),
            _ => None,
        })
    }

    fn of(given: &PerStep<u16>) -> (u16, u16) {
        (*given.of(Step::ChatGenerate), *given.of(Step::DocumentsIngest))
    }

    #[test]
    fn questions_come_first_and_bulk_work_gets_what_is_left() {
        let chat = Wish { now: 8, least: 8, most: 32, wanted: 20 };
        let bulk = Wish { now: 2, least: 2, most: 16, wanted: 100 };
        let all = wishes(chat, bulk);
        assert_eq!(of(&share_out(&all, &room(100, 100_000))), (20, 4), "cores bound the parsers");
        // 800 MB of 2000 are left below four fifths: 16 slots of 50 MB.
        assert_eq!(of(&share_out(&all, &room(800, 2_000))), (20, 4));
        assert_eq!(of(&share_out(&all, &room(1_300, 2_000))), (14, 2));
        let waiting = Room { questions_wait: true, ..room(100, 100_000) };
        let busy = wishes(chat, Wish { now: 4, ..bulk });
        assert_eq!(of(&share_out(&busy, &waiting)), (20, 2), "they yield");
    }

    #[test]
    fn above_the_high_water_slots_go_instead_of_growing() {
        let chat = Wish { now: 8, least: 8, most: 32, wanted: 20 };
        let mut bulk = Wish { now: 4, least: 2, most: 4, wanted: 100 };
        for wanted in [2, 1, 1] {
            let (questions, files) = of(&share_out(&wishes(chat, bulk), &room(950, 1_000)));
            assert_eq!((questions, files), (8, wanted), "questions keep theirs");
            bulk.now = files;
        }
        assert_eq!(of(&share_out(&wishes(chat, bulk), &room(700, 1_000))), (10, 2));
    }

    #[test]
    fn what_a_slot_takes_is_found_out() {
        let mut meter = MemoryMeter::default();
        meter.look(100 * MB, 0);
        for _ in 0..50 {
            meter.look(300 * MB, 4);
        }
        let memory = meter.of(300 * MB, 1_000 * MB);
        assert!((memory.per_slot - 50.0 * MB as f64).abs() < MB as f64, "{memory:?}");
        assert_eq!(memory.more(), 10);
        assert!(!memory.is_high() && meter.of(901 * MB, 1_000 * MB).is_high());
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_the_bounds_hold(
            wanted: u32, now in 0u16..40, least in 1u16..40, more in 0u16..40,
            used in 0u64..4_000, cores in 1u16..64, questions_wait: bool, chat_wanted: u32,
        ) {
            let bulk = Wish { now, least, most: least.saturating_add(more), wanted };
            let chat = Wish { wanted: chat_wanted, ..bulk };
            let room = Room { cores, questions_wait, ..room(used, 2_000) };
            let (questions, files) = of(&share_out(&wishes(chat, bulk), &room));
            prop_assert!(files >= 1 && files <= bulk.most);
            prop_assert!(files <= cores.max(least).max(now));
            prop_assert!(questions <= chat.most && questions >= chat.least.min(chat.now.max(1)));
            // What bulk work wants takes nothing of the questions' slots.
            let quiet = Wish { wanted: 0, ..bulk };
            prop_assert_eq!(of(&share_out(&wishes(chat, quiet), &room)).0, questions);
        }

        #[test]
        fn more_slots_than_the_budget_lets_run_are_never_had(
            requests in 1u32..100_000, tokens in 1u32..1_000_000, service_s in 0.01f64..100.0,
            each in 1.0f64..10_000.0, taken in 0.0f64..1.0,
        ) {
            let asks = Asks { service_s, requests: 1.0, tokens: each };
            let quota = quota(Some(requests), Some(tokens));
            let slots = budget_slots(quota, &asks, taken).unwrap();
            prop_assert!(slots == 1 || budget_taken(quota, &asks, slots) <= 1.0 - taken + 1e-6);
        }
    }
}
