//! How fast work arrives at a queue, and how long it holds a slot: moving averages over counts
//! that are looked at now and then.
//!
//! Nobody counts arrivals where they happen. What has arrived is what is there and what has
//! left, so a look at both gives the arrivals since the last one. A count that comes late is
//! made up for by the next look, because differences cancel: noise does not add up.
//!
//! The averages are exponential, weighted by time for the rate (an old look counts for 1/e after
//! half a minute) and by jobs for the time that they take (for 1/e after twenty).

use super::need::Load;
use super::notice::QueueWanted;
use super::room::Asks;
use crate::clock::Time;

/// How long an old rate counts, in seconds.
const RATE_FADES_S: f64 = 30.0;
/// A rate is of at least so many seconds: a burst in the first is no rate.
const RATE_OF_S: f64 = 10.0;
/// How many jobs an old service time counts for.
const SERVICE_FADES_JOBS: f64 = 20.0;

/// What was counted of one queue by now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Jobs that are ready or run.
    pub there: u64,
    /// Jobs that have left it, since whenever.
    pub left: u64,
    /// For how many seconds these held their slots.
    pub held_s: f64,
    /// Requests to providers that were sent for these.
    pub requests: u64,
    /// Tokens that those took.
    pub tokens: u64,
}

/// The averages of one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    last: Option<(Time, Counted)>,
    /// The average, and how much of it is known: it begins with nothing.
    rate: f64,
    known: f64,
    /// What a job takes.
    asks: Asks,
}

impl Meter {
    /// One that has seen nothing, and takes a job to last so long and to cost so many tokens, in
    /// one request, until it has.
    #[must_use]
    pub fn guessing(service_s: f64, tokens: f64) -> Self {
        let asks = Asks { service_s, requests: 1.0, tokens };
        Self { last: None, rate: 0.0, known: 0.0, asks }
    }

    /// One that goes on from another's averages.
    #[must_use]
    pub fn going_on(former: &QueueWanted) -> Self {
        let QueueWanted { service_s, requests, tokens, .. } = *former;
        let asks = Asks { service_s, requests, tokens };
        Self { last: None, rate: former.arrivals_per_s, known: 1.0, asks }
    }

    /// Takes a look into account. Looks at the same moment, or back in time, only begin anew.
    pub fn look(&mut self, now: Time, counted: Counted) {
        let Some((at, before)) = self.last.replace((now, counted)) else { return };
        let Ok(passed) = (now - at).to_std() else { return };
        let passed = passed.as_secs_f64();
        // A count that fell was begun anew by whoever counts.
        let (Some(left), true) = (counted.left.checked_sub(before.left), passed > 0.0) else {
            return;
        };
        let arrived = left as f64 + counted.there as f64 - before.there as f64;
        let weight = 1.0 - (-passed / RATE_FADES_S).exp();
        self.rate += weight * (arrived / passed - self.rate);
        self.known += weight * (1.0 - self.known);
        if left == 0 {
            return;
        }
        let weight = 1.0 - (-(left as f64) / SERVICE_FADES_JOBS).exp();
        let towards = |average: &mut f64, of_all: f64| {
            if of_all >= 0.0 && of_all.is_finite() {
                *average += weight * (of_all / left as f64 - *average);
            }
        };
        towards(&mut self.asks.service_s, counted.held_s - before.held_s);
        towards(&mut self.asks.requests, counted.requests as f64 - before.requests as f64);
        towards(&mut self.asks.tokens, counted.tokens as f64 - before.tokens as f64);
    }

    /// How many jobs arrive in a second.
    #[must_use]
    pub fn arrivals_per_s(&self) -> f64 {
        let least = 1.0 - (-RATE_OF_S / RATE_FADES_S).exp();
        (self.rate / self.known.max(least)).max(0.0)
    }

    /// For how many seconds a job holds its slot.
    #[must_use]
    pub fn service_s(&self) -> f64 {
        self.asks.service_s.max(0.0)
    }

    /// What a job takes.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The load of a queue with these averages.
    #[must_use]
    pub fn load(&self, ready: u64, running: u64, oldest_s: f64) -> Load {
        let (arrivals_per_s, service_s) = (self.arrivals_per_s(), self.service_s());
        Load { ready, running, oldest_s, arrivals_per_s, service_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
    }

    fn counted(there: u64, left: u64, held_s: f64) -> Counted {
        Counted { there, left, held_s, ..Counted::default() }
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() <= wanted.abs() * 0.05 + 1e-9
    }

    #[test]
    fn a_steady_stream_is_found_whatever_is_there_already() {
        let mut meter = Meter::guessing(60.0, 0.0);
        for second in 0..120_u32 {
            let left = 4 * u64::from(second);
            let held_s = f64::from(second) * 4.0 * 0.25;
            let counted = Counted { there: 500, left, held_s, ..Counted::default() };
            meter.look(at(i64::from(second) * 1_000), counted);
        }
        assert!(near(meter.arrivals_per_s(), 4.0), "{}", meter.arrivals_per_s());
        assert!(near(meter.service_s(), 0.25), "{}", meter.service_s());
    }

    #[test]
    fn a_burst_is_no_rate_and_is_forgotten() {
        let mut meter = Meter::guessing(0.2, 0.0);
        meter.look(at(0), Counted::default());
        meter.look(at(1_000), Counted { there: 2_000, ..Counted::default() });
        assert!(meter.arrivals_per_s() < 300.0, "{}", meter.arrivals_per_s());
        meter.look(at(301_000), Counted { there: 2_000, ..Counted::default() });
        assert!(meter.arrivals_per_s() < 0.1, "{}", meter.arrivals_per_s());
    }

    #[test]
    fn counts_that_come_late_change_nothing_in_the_end() {
        let (mut prompt, mut late) = (Meter::guessing(1.0, 0.0), Meter::guessing(1.0, 0.0));
        for second in 0..200_u64 {
            let millis = i64::try_from(second * 1_000).unwrap();
            prompt.look(at(millis), counted(10, 5 * second, 0.0));
            // What has left is told every third second only.
            let told = second / 3 * 3;
            late.look(at(millis), counted(10, 5 * told, 0.0));
        }
        assert!(near(prompt.arrivals_per_s(), 5.0));
        assert!((late.arrivals_per_s() - 5.0).abs() < 0.6, "{}", late.arrivals_per_s());
    }

    #[test]
    fn what_is_cancelled_is_no_arrival_below_nought() {
        let mut meter = Meter::guessing(1.0, 0.0);
        meter.look(at(0), Counted { there: 1_000, ..Counted::default() });
        meter.look(at(1_000), Counted::default());
        assert!(meter.arrivals_per_s().abs() < 1e-9);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_and_a_count_that_falls_are_passed_over() {
        let former = QueueWanted {
            step: crate::jobs::Step::ChatGenerate,
            slots: 6,
            ready: 0,
            running: 0,
            oldest_s: 0.0,
            arrivals_per_s: 3.0,
            service_s: 2.0,
            requests: 1.0,
            tokens: 9.0,
        };
        let mut meter = Meter::going_on(&former);
        meter.look(at(5_000), counted(0, 10, 1.0));
        meter.look(at(5_000), counted(0, 12, 9.0));
        meter.look(at(1_000), counted(0, 13, 9.0));
        meter.look(at(2_000), counted(0, 1, 0.0));
        assert!(near(meter.arrivals_per_s(), 3.0) && near(meter.service_s(), 2.0), "{meter:?}");
    }
}
