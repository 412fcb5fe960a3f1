//! When a wanted number becomes the number: up at once where it matters, down late, and hardly
//! ever otherwise.
//!
//! It is the stabilisation of Kubernetes' autoscaler (`behavior.scaleDown`'s
//! `stabilizationWindowSeconds`, 300 s there as here): fewer are had only when fewer were
//! wanted all through a window, and then as many as it wanted at the most. Beyond that, two
//! changes lie apart by [`Pace::between`], unless more than half as many again are wanted: a
//! burst. So a load that is steady within a fifth either way changes the number once in
//! [`Pace::between`] at the most, however noisy the looks are.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Time;

/// How fast a number follows what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For how long fewer must have been wanted before there are fewer.
    pub scale_in_after: Duration,
    /// How long two changes lie apart, bursts excepted.
    pub between: Duration,
}

impl Pace {
    /// How long two changes lie apart.
    pub const BETWEEN: Duration = Duration::from_secs(30);

    /// The usual pace with this window; whoever wants a shorter one wants changes as fast.
    #[must_use]
    pub fn after(scale_in_after: Duration) -> Self {
        Self { scale_in_after, between: Self::BETWEEN.min(scale_in_after) }
    }
}

/// A number that follows what is wanted of it.
#[derive(Clone, Debug)]
pub struct Steady {
    pace: Pace,
    state: Option<State>,
    /// What was wanted within the window, the greatest first: of the moments that matter still.
    wanted: VecDeque<(Time, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    number: u32,
    raised_at: Time,
    changed_at: Time,
}

impl Steady {
    /// One that takes over the first number that it is told.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, state: None, wanted: VecDeque::new() }
    }

    /// The number, now that so many are wanted.
    pub fn follow(&mut self, now: Time, wanted: u32) -> u32 {
        let window = TimeDelta::from_std(self.pace.scale_in_after).unwrap_or(TimeDelta::MAX);
        let between = TimeDelta::from_std(self.pace.between).unwrap_or(TimeDelta::MAX);
        while self.wanted.back().is_some_and(|(_, less)| *less <= wanted) {
            self.wanted.pop_back();
        }
        self.wanted.push_back((now, wanted));
        while self.wanted.front().is_some_and(|(at, _)| now - *at > window) {
            self.wanted.pop_front();
        }
        let Some(state) = &mut self.state else {
            self.state = Some(State { number: wanted, raised_at: now, changed_at: now });
            return wanted;
        };
        let rested = now - state.changed_at >= between;
        if wanted > state.number && (rested || is_burst(state.number, wanted)) {
            *state = State { number: wanted, raised_at: now, changed_at: now };
        } else {
            let most = self.wanted.front().map_or(wanted, |(_, most)| *most);
            if most < state.number && rested && now - state.raised_at >= window {
                state.number = most;
                state.changed_at = now;
            }
        }
        state.number
    }

    /// The number as it is.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.state.map(|state| state.number)
    }
}

/// Whether so many more are wanted that it cannot wait.
fn is_burst(number: u32, wanted: u32) -> bool {
    let enough = if number == 0 { 0 } else { number + (number / 2).max(1) };
    wanted > enough
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn steady() -> Steady {
        Steady::new(Pace::after(Duration::from_secs(300)))
    }

    #[test]
    fn a_burst_is_followed_at_once_and_left_late() {
        let mut steady = steady();
        assert_eq!(steady.follow(at(0), 0), 0);
        assert!(!is_burst(0, 0), "nothing is no burst");
        assert_eq!(steady.follow(at(1), 1), 1, "from nothing there is no waiting");
        assert_eq!(steady.follow(at(2), 16), 16);
        assert_eq!(steady.follow(at(3), 40), 40);
        for second in 4..303 {
            assert_eq!(steady.follow(at(second), 0), 40, "{second}");
        }
        assert_eq!(steady.follow(at(304), 0), 0);
    }

    #[test]
    fn as_many_stay_as_the_window_wanted() {
        let mut steady = steady();
        steady.follow(at(0), 20);
        for second in 1..300 {
            let wanted = if second == 250 { 12 } else { 3 };
            assert_eq!(steady.follow(at(second), wanted), 20);
        }
        assert_eq!(steady.follow(at(301), 3), 12);
        assert_eq!(steady.follow(at(549), 3), 12);
        assert_eq!(steady.follow(at(552), 3), 3);
    }

    #[test]
    fn a_little_more_waits_for_its_turn() {
        let mut steady = steady();
        steady.follow(at(0), 10);
        assert_eq!(steady.follow(at(1), 13), 10);
        assert_eq!(steady.follow(at(30), 13), 13);
        assert_eq!(steady.number(), Some(13));
    }

    proptest! {
        /// The looks come every second or so; the load is the same within a fifth.
        #[test]
        fn a_steady_load_changes_it_once_in_thirty_seconds_at_the_most(
            base in 0.2f64..300.0,
            noise in prop::collection::vec((0.8f64..1.2, 1i64..3), 1_000),
        ) {
            let mut steady = steady();
            let (mut time, mut changes, mut number) = (0, Vec::new(), None);
            for (noise, passed) in noise {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
                let wanted = (base * noise).ceil() as u32;
                let found = steady.follow(at(time), wanted);
                if number.replace(found).is_some_and(|before| before != found) {
                    changes.push(time);
                }
                time += passed;
            }
            for pair in changes.windows(2) {
                prop_assert!(pair[1] - pair[0] >= 30, "{changes:?}");
            }
        }

        /// Whatever is wanted: it is what was wanted at some time, never more than any look
        /// asked for, and never fewer than the window asked for once the changes are apart.
        #[test]
        fn it_is_never_beyond_what_was_wanted(
            looks in prop::collection::vec((0u32..500, 1i64..20), 1..300),
        ) {
            let mut steady = steady();
            let mut time = 0;
            let mut seen = Vec::new();
            for (wanted, passed) in looks {
                seen.push(wanted);
                let found = steady.follow(at(time), wanted);
                prop_assert!(seen.contains(&found), "{found} of {seen:?}");
                prop_assert!(!is_burst(found, wanted), "{found} for {wanted}");
                time += passed;
            }
        }
    }
}
