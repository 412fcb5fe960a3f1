//! What is wanted for each queue, from what the store has and what the processes tell.
//!
//! One process of an installation reckons this, about once a second. Whoever reckons after it
//! goes on from what it told last.

use std::collections::BTreeMap;

use super::meter::{Counted, Meter};
use super::need::{Load, needed};
use super::notice::{QueueWanted, Sums, Wanted, Worked};
use super::room::{Asks, budget_slots, budget_taken};
use super::steady::{Pace, Steady};
use super::{PerStep, fed_by, is_interactive};
use crate::clock::Time;
use crate::ids::WorkerId;
use crate::jobs::Step;
use crate::metrics;
use crate::ports::provider_limits::ProviderQuota;
use crate::ports::store::QueueLoad;

/// What the configuration says of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// Within how many seconds a job is to begin.
    pub wait_s: f64,
    /// How long a job is taken to hold its slot, until any has.
    pub guess_s: f64,
    /// The limits of the provider that its jobs ask, under the name that they are counted by.
    pub budget: Option<(String, ProviderQuota)>,
    /// How many tokens a job is taken to cost there, until any has.
    pub guess_tokens: f64,
}

/// Reckons what is wanted.
#[derive(Debug)]
pub struct Planner {
    aims: PerStep<Aim>,
    meters: PerStep<Meter>,
    steady: PerStep<Steady>,
    sums: Sums,
    listening: bool,
}

impl Planner {
    /// One that begins, or goes on from what another has told last.
    #[must_use]
    pub fn new(aims: PerStep<Aim>, pace: Pace, now: Time, former: Option<&Wanted>) -> Self {
        let meters = PerStep::of_each(|step| {
            let aim = aims.of(step);
            match former.and_then(|former| former.of(step)) {
                Some(former) => Meter::going_on(former),
                None => Meter::guessing(aim.guess_s, aim.guess_tokens),
            }
        });
        let steady = PerStep::of_each(|step| {
            let mut steady = Steady::new(pace);
            if let Some(former) = former.and_then(|former| former.of(step)) {
                steady.follow(now, former.slots);
            }
            steady
        });
        Self { aims, meters, steady, sums: Sums::default(), listening: false }
    }

    /// What is wanted now, of queues that have this, by processes that tell that.
    pub fn reckon(
        &mut self,
        now: Time,
        loads: &[QueueLoad],
        told: &[(WorkerId, Vec<Worked>)],
    ) -> Wanted {
        for (process, worked) in told {
            self.sums.hear(now, *process, worked, self.listening);
        }
        self.listening = true;
        self.sums.forget(now);
        let found = PerStep::of_each(|step| loads.iter().find(|load| load.step == step).copied());
        let sums = &self.sums;
        for step in Step::ALL {
            let there = found.of(step).map_or(0, |load| load.ready + load.running);
            let sum = sums.of(step);
            let counted = Counted {
                there,
                left: sum.left,
                held_s: sum.held_s,
                requests: sum.requests,
                tokens: sum.tokens,
            };
            self.meters.of_mut(step).look(now, counted);
        }
        let own = PerStep::of_each(|step| match found.of(step) {
            Some(load) => {
                let oldest_s = load.oldest_at.map_or(0.0, |at| metrics::seconds(at, now));
                self.meters.of(step).load(load.ready, load.running, oldest_s)
            }
            None => self.meters.of(step).load(0, 0, 0.0),
        });
        let mut taken: BTreeMap<&str, f64> = BTreeMap::new();
        let mut wanted = PerStep::of_each(|_| 0);
        let mut order = Step::ALL;
        order.sort_by_key(|step| !is_interactive(*step));
        for step in order {
            let aim = self.aims.of(step);
            let mut slots = needed(&with_feed(&own, step), aim.wait_s);
            if let Some((name, quota)) = &aim.budget {
                let asks = self.meters.of(step).asks();
                let before = taken.entry(name).or_default();
                if let Some(most) = budget_slots(*quota, &asks, *before) {
                    slots = slots.min(most);
                }
                *before += budget_taken(*quota, &asks, slots);
            }
            *wanted.of_mut(step) = self.steady.of_mut(step).follow(now, slots);
        }
        let told = |step: Step| {
            let load = own.of(step);
            let Asks { requests, tokens, .. } = self.meters.of(step).asks();
            QueueWanted {
                step,
                slots: *wanted.of(step),
                ready: load.ready,
                running: load.running,
                oldest_s: load.oldest_s,
                arrivals_per_s: load.arrivals_per_s,
                service_s: load.service_s,
                requests,
                tokens,
            }
        };
        Wanted { at: now, queues: Step::ALL.map(told).to_vec() }
    }
}

/// The load of a step, and of the queue that holds its jobs back.
fn with_feed(own: &PerStep<Load>, step: Step) -> Load {
    let load = *own.of(step);
    let Some(before) = fed_by(step) else { return load };
    let before = own.of(before);
    Load {
        ready: load.ready + before.ready,
        running: load.running,
        oldest_s: load.oldest_s.max(before.oldest_s),
        arrivals_per_s: load.arrivals_per_s.max(before.arrivals_per_s),
        service_s: load.service_s,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    const ME: WorkerId = WorkerId(Uuid::from_u128(1));

    fn at(millis: i64) -> Time {
        Time::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
    }

    fn aims(budget: Option<ProviderQuota>) -> PerStep<Aim> {
        PerStep::of_each(|step| Aim {
            wait_s: if is_interactive(step) { 10.0 } else { 600.0 },
            guess_s: 1.0,
            budget: budget.map(|quota| ("openai".to_owned(), quota)),
            guess_tokens: 1_000.0,
        })
    }

    fn planner(budget: Option<ProviderQuota>) -> Planner {
        Planner::new(aims(budget), Pace::after(Duration::from_secs(300)), at(0), None)
    }

    fn load(step: Step, ready: u64, oldest_at: Option<Time>) -> QueueLoad {
        QueueLoad { step, ready, running: 0, oldest_at }
    }

    fn slots(wanted: &Wanted, step: Step) -> u32 {
        wanted.of(step).unwrap().slots
    }

    #[test]
    fn questions_that_wait_to_be_searched_need_somebody_to_write_their_answers() {
        let mut planner = planner(None);
        let wanted = planner.reckon(at(0), &[load(Step::ChatRetrieve, 100, Some(at(0)))], &[]);
        assert_eq!(slots(&wanted, Step::ChatRetrieve), 10);
        assert_eq!(slots(&wanted, Step::ChatGenerate), 10);
        assert_eq!(slots(&wanted, Step::DocumentsIngest), 0);
        let mut planner = self::planner(None);
        let wanted = planner.reckon(at(0), &[load(Step::DocumentsIngest, 1_200, None)], &[]);
        assert_eq!(slots(&wanted, Step::DocumentsIngest), 2);
        assert_eq!(slots(&wanted, Step::DocumentsEmbed), 0, "those come as they come");
    }

    #[test]
    fn a_providers_limits_bound_all_and_questions_have_them_first() {
        let quota = ProviderQuota { requests_per_minute: None, tokens_per_minute: Some(60_000) };
        let mut planner = planner(Some(quota));
        // 60 jobs a minute of a second each keep one slot busy.
        let loads = [
            load(Step::ChatGenerate, 1_000, Some(at(0))),
            load(Step::DocumentsEmbed, 1_000_000, None),
        ];
        let wanted = planner.reckon(at(0), &loads, &[]);
        assert_eq!(slots(&wanted, Step::ChatGenerate), 1);
        assert_eq!(slots(&wanted, Step::DocumentsEmbed), 1);
    }

    /// Two thousand jobs of 200 ms at once, and slots that come a second after they are wanted.
    #[test]
    fn a_burst_is_begun_within_its_wait() {
        let step = Step::ExportsWrite;
        let mut aims = aims(None);
        aims.of_mut(step).wait_s = 10.0;
        aims.of_mut(step).guess_s = 0.2;
        let pace = Pace::after(Duration::from_secs(300));
        let mut planner = Planner::new(aims, pace, at(0), None);
        planner.reckon(at(0), &[], &[]);
        let (mut ready, mut done, mut have, mut wanted) = (2_000.0_f64, 0.0_f64, 1.0_f64, 1.0);
        let mut enough_at = None;
        for tick in 1..200_i64 {
            // 100 ms: each slot does half a job.
            let does = (have / 2.0).min(ready);
            ready -= does;
            done += does;
            if tick % 10 != 0 {
                continue;
            }
            have = wanted;
            let now = at(tick * 100);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let (ready, left) = (ready as u64, done as u64);
            let loads = [load(step, ready, (ready > 0).then(|| at(0)))];
            let held_s = done * 0.2;
            let worked = Worked { step, takes: true, left, held_s, requests: 0, tokens: 0 };
            let found = slots(&planner.reckon(now, &loads, &[(ME, vec![worked])]), step);
            wanted = f64::from(found);
            if found >= 40 {
                enough_at.get_or_insert(tick);
            }
        }
        assert_eq!(ready, 0.0);
        assert!(enough_at.is_some_and(|tick| tick <= 50), "{enough_at:?}");
    }

    /// Ten questions a second that take a second each, looked at with the noise of a real system.
    #[test]
    fn a_steady_stream_keeps_its_number() {
        let mut planner = planner(None);
        let (mut changes, mut number) = (Vec::new(), None);
        for second in 0..1_200_i64 {
            // What waits goes up and down, and what was done is told late.
            let jitter = u64::try_from(second * 7 % 5).unwrap();
            let left = u64::try_from(second - second % 3).unwrap() * 10;
            let loads = [QueueLoad {
                step: Step::ChatGenerate,
                ready: 8 + jitter,
                running: 8 + jitter % 3,
                oldest_at: Some(at(second * 1_000) - TimeDelta::milliseconds(300)),
            }];
            let worked = Worked {
                step: Step::ChatGenerate,
                takes: true,
                left,
                held_s: left as f64,
                requests: left,
                tokens: 0,
            };
            let wanted = planner.reckon(at(second * 1_000), &loads, &[(ME, vec![worked])]);
            let found = slots(&wanted, Step::ChatGenerate);
            if number.replace(found).is_some_and(|before| before != found) {
                changes.push(second);
            }
        }
        let settled: Vec<_> = changes.iter().filter(|second| **second > 60).collect();
        assert!(settled.windows(2).all(|pair| pair[1] - pair[0] >= 30), "{changes:?}");
        assert!(settled.len() <= 4, "{changes:?}");
        assert!((10..=13).contains(&number.unwrap()), "{number:?}");
    }

    #[test]
    fn who_takes_over_goes_on_from_there() {
        let mut first = planner(None);
        let mut wanted = None;
        for second in 0..60 {
            let loads = [load(Step::ChatGenerate, 200, Some(at(second * 1_000)))];
            wanted = Some(first.reckon(at(second * 1_000), &loads, &[]));
        }
        let former = wanted.unwrap();
        assert_eq!(slots(&former, Step::ChatGenerate), 20);
        let pace = Pace::after(Duration::from_secs(300));
        let mut next = Planner::new(aims(None), pace, at(60_000), Some(&former));
        let wanted = next.reckon(at(61_000), &[], &[]);
        assert_eq!(slots(&wanted, Step::ChatGenerate), 20, "the window begins anew");
    }
}
