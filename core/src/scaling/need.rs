//! The slots that drain a queue within its target wait.
//!
//! `ready · S / W + λ · S`: what is there already, spread over the target wait `W`, and what
//! comes meanwhile. `S` is how long a slot is held by a job and `λ` how many arrive in a second,
//! so that `λ · S` jobs run at once on average, whatever their distribution (Little's law,
//! J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9, 1961). The
//! first part is how the autoscalers of queue workers reckon that go by a wait and not by a
//! length (`workers = ceil(pending / target_wait / rate_per_worker)`), because ten jobs of a
//! second and ten thousand of a millisecond are the same backlog.
//!
//! Two things make it hold. The number is kept while the backlog falls (`steady`), else slots
//! would go as fast as jobs do and the last third would still wait after `W`. And `W` is what is
//! left of it for the oldest job: one that has waited for half of the time is to be done in the
//! other half.

/// No queue is told to need more: a number that went wrong somewhere starts no million workers.
pub const MOST_SLOTS: u32 = 10_000;

/// A need below this is none: averages never come to nought.
const NOTHING: f64 = 0.05;

/// What a queue has, and what its jobs are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Jobs that are due and that no worker has.
    pub ready: u64,
    /// Jobs that a worker has.
    pub running: u64,
    /// For how many seconds the oldest ready job has been due.
    pub oldest_s: f64,
    /// How many arrive in a second.
    pub arrivals_per_s: f64,
    /// For how many seconds a job holds its slot.
    pub service_s: f64,
}

/// How many slots the load needs, so that what is ready now has begun within `wait_s` seconds.
/// At least one where there is anything; none where there is nothing.
#[must_use]
pub fn needed(load: &Load, wait_s: f64) -> u32 {
    let positive = |number: f64| if number.is_finite() { number.max(0.0) } else { 0.0 };
    let wait = if wait_s.is_finite() && wait_s > 0.0 { wait_s } else { 1.0 };
    let service = positive(load.service_s);
    let left = (wait - positive(load.oldest_s)).clamp(wait / 2.0, wait);
    let slots = load.ready as f64 * service / left + positive(load.arrivals_per_s) * service;
    let there = u32::from(load.ready + load.running > 0);
    whole(slots).max(there)
}

/// The next whole number of slots, within what is sensible.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
fn whole(slots: f64) -> u32 {
    (slots - NOTHING).ceil().clamp(0.0, f64::from(MOST_SLOTS)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(ready: u64, arrivals_per_s: f64, service_s: f64) -> Load {
        Load { ready, arrivals_per_s, service_s, ..Load::default() }
    }

    #[test]
    fn the_formula_by_hand() {
        assert_eq!(needed(&load(2_000, 0.0, 0.2), 10.0), 40, "a burst of short jobs");
        assert_eq!(needed(&load(0, 10.0, 0.5), 10.0), 5, "what comes runs at once");
        assert_eq!(needed(&load(2_000, 10.0, 0.2), 10.0), 42);
        assert_eq!(needed(&load(1, 0.0, 0.2), 600.0), 1, "one job needs somebody");
        assert_eq!(needed(&Load { running: 1, ..Load::default() }, 1.0), 1);
        assert_eq!(needed(&Load::default(), 1.0), 0);
        assert_eq!(needed(&load(0, 0.001, 1.0), 1.0), 0, "an average that fades is nothing");
        let late = Load { oldest_s: 5.0, ..load(1_000, 0.0, 0.2) };
        assert_eq!(needed(&late, 10.0), 40, "half of the time is over");
        assert_eq!(needed(&Load { oldest_s: 1e9, ..late }, 10.0), 40);
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            -1e3..1e6,
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(0.0)
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_in_what_comes_out_is_a_number_of_slots(
            ready: u32, running: u32, oldest_s in number(), arrivals_per_s in number(),
            service_s in number(), wait in number(),
        ) {
            let (ready, running) = (u64::from(ready), u64::from(running));
            let load = Load { ready, running, oldest_s, arrivals_per_s, service_s };
            let slots = needed(&load, wait);
            prop_assert!(slots <= MOST_SLOTS);
            prop_assert!(slots >= u32::from(ready + running > 0));
        }

        #[test]
        fn more_work_never_needs_fewer_slots(
            ready in 0u64..1_000_000, more in 0u64..1_000, oldest_s in 0.0..1e3,
            older in 0.0..1e3, arrivals in 0.0..1e3, faster in 0.0..100.0,
            service_s in 0.0..1e3, wait in 0.1..1e3,
        ) {
            let less = Load { ready, running: 0, oldest_s, arrivals_per_s: arrivals, service_s };
            let greater = Load {
                ready: ready + more,
                oldest_s: oldest_s + older,
                arrivals_per_s: arrivals + faster,
                ..less
            };
            prop_assert!(needed(&greater, wait) >= needed(&less, wait));
            prop_assert!(needed(&less, wait * 2.0) <= needed(&less, wait));
        }

        #[test]
        fn a_backlog_is_begun_within_the_wait_by_so_many_slots(
            ready in 1u64..100_000, service_s in 0.01f64..10.0, wait in 1.0f64..600.0,
        ) {
            let slots = needed(&load(ready, 0.0, service_s), wait);
            prop_assume!(slots < MOST_SLOTS);
            // Each slot begins a job whenever the one before has ended.
            let begun = f64::from(slots) * wait / service_s;
            prop_assert!(begun * 1.06 >= ready as f64, "{slots} slots begin {begun}");
        }
    }
}
