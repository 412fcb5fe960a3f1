//! Leaves a provider alone that fails.
//!
//! The states and their changes are `failsafe`'s. Time is the application's: the state
//! machine's own wait is nil, and how long it stays open is kept here, so that a test can
//! hold the clock. When the time is over, one call is let through, and only one: its end
//! decides.
//!
//! A breaker is one process's knowledge: each worker learns alone that a provider is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use failsafe::{FailurePolicy, Instrument, StateMachine};
use quaestor_core::clock::{Clock, Time};
use quaestor_core::ports::model_error::ErrorClass;

use super::policy::BreakerPolicy;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through until its time is over.
    Open,
    /// One call is under way to see whether the provider is back.
    HalfOpen,
}

impl BreakerState {
    /// The name in metrics and on pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Decides when it is enough: so many failures in a row, or half of the last so many.
struct Enough {
    policy: BreakerPolicy,
    in_a_row: u32,
    /// Whether each of the last calls failed, the latest last.
    last: VecDeque<bool>,
}

impl Enough {
    fn note(&mut self, failed: bool) {
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        if self.last.len() >= self.policy.of_the_last as usize {
            self.last.pop_front();
        }
        self.last.push_back(failed);
    }
}

impl FailurePolicy for Enough {
    fn record_success(&mut self) {
        self.note(false);
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        self.note(true);
        let failed = self.last.iter().filter(|failed| **failed).count();
        let many =
            self.last.len() >= self.policy.of_the_last as usize && failed * 2 >= self.last.len();
        // Nil, because the waiting is done with the application's clock.
        (many || self.in_a_row >= self.policy.in_a_row).then_some(Duration::ZERO)
    }

    fn revived(&mut self) {
        self.in_a_row = 0;
        self.last.clear();
    }
}

/// What is known beside the state machine.
#[derive(Debug)]
struct Known {
    state: BreakerState,
    /// No call before this.
    until: Option<Time>,
    /// Whether the one call of a half-open breaker is under way.
    probing: bool,
    /// What the last failure was.
    last: Option<ErrorClass>,
}

/// Hears what the state machine does.
#[derive(Clone)]
struct Ear(Arc<Mutex<Known>>);

impl Ear {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instrument for Ear {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.known().state = BreakerState::Open;
    }

    fn on_half_open(&self) {
        self.known().state = BreakerState::HalfOpen;
    }

    fn on_closed(&self) {
        self.known().state = BreakerState::Closed;
    }
}

/// The breaker of one provider, model and operation.
pub(crate) struct Breaker {
    machine: StateMachine<Enough, Ear>,
    ear: Ear,
    open_for: TimeDelta,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breaker").field("known", &*self.ear.known()).finish_non_exhaustive()
    }
}

/// Why a call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Not before this.
    pub(crate) until: Time,
    /// What the last failure was.
    pub(crate) after: Option<ErrorClass>,
}

impl Breaker {
    pub(crate) fn new(policy: BreakerPolicy, clock: Arc<dyn Clock>) -> Self {
        let known = Known { state: BreakerState::Closed, until: None, probing: false, last: None };
        let ear = Ear(Arc::new(Mutex::new(known)));
        let enough = Enough { policy, in_a_row: 0, last: VecDeque::new() };
        Self {
            machine: StateMachine::new(enough, ear.clone()),
            ear,
            open_for: TimeDelta::from_std(policy.open_for).unwrap_or(TimeDelta::MAX),
            clock,
        }
    }

    /// Lets a call through, or says until when none is.
    pub(crate) fn permit(&self) -> Result<Permit<'_>, Rejected> {
        let now = self.clock.now();
        let mut known = self.ear.known();
        if let Some(until) = known.until.filter(|until| *until > now) {
            return Err(Rejected { until, after: known.last });
        }
        if known.state == BreakerState::Closed {
            return Ok(Permit { breaker: self, probe: false });
        }
        if known.probing {
            // Its end is not far; who comes meanwhile shall not spin.
            let until = now + TimeDelta::seconds(1).min(self.open_for);
            return Err(Rejected { until, after: known.last });
        }
        known.probing = true;
        drop(known);
        let permit = Permit { breaker: self, probe: true };
        if self.machine.is_call_permitted() {
            return Ok(permit);
        }
        // The machine opened in this very instant of its own clock.
        drop(permit);
        Err(Rejected { until: now + TimeDelta::milliseconds(1), after: self.ear.known().last })
    }

    /// Where it stands, until when, and after what.
    pub(crate) fn stands(&self) -> (BreakerState, Option<Time>, Option<ErrorClass>) {
        let now = self.clock.now();
        let known = self.ear.known();
        (known.state, known.until.filter(|until| *until > now), known.last)
    }

    /// A call was answered, wholly.
    pub(crate) fn note_success(&self) {
        self.machine.on_success();
    }

    /// A call failed, or broke off after its answer had begun.
    pub(crate) fn note_failure(&self, class: ErrorClass) {
        self.machine.on_error();
        let mut known = self.ear.known();
        known.last = Some(class);
        if known.state == BreakerState::Open {
            let until = self.clock.now() + self.open_for;
            known.until = Some(known.until.map_or(until, |earlier| earlier.max(until)));
        }
    }

    /// No call before `until`, without a failure: the provider asked for it.
    pub(crate) fn hold_off(&self, until: Time) {
        let mut known = self.ear.known();
        known.until = Some(known.until.map_or(until, |earlier| earlier.max(until)));
    }
}

/// A call that was let through. Dropped without a word it counts for nothing, as where the
/// asker went away.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Permit<'_> {
    /// The call begins to be answered. That is enough to close a half-open breaker; how
    /// the call counts beyond that is told by its end.
    pub(crate) fn began(self) {
        if self.probe {
            self.breaker.note_success();
        }
    }

    /// The call failed in a way that says something about the provider.
    pub(crate) fn failed(self, class: ErrorClass) {
        self.breaker.note_failure(class);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.ear.known().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;

    const POLICY: BreakerPolicy =
        BreakerPolicy { in_a_row: 5, of_the_last: 20, open_for: Duration::from_secs(30) };

    fn breaker() -> (Breaker, ManualClock) {
        let clock = ManualClock::at_millis(1_000_000);
        (Breaker::new(POLICY, Arc::new(clock.clone())), clock)
    }

    fn succeed(breaker: &Breaker) {
        breaker.permit().unwrap().began();
        breaker.note_success();
    }

    fn fail(breaker: &Breaker) {
        breaker.permit().unwrap().failed(ErrorClass::Unavailable);
    }

    fn state(breaker: &Breaker) -> BreakerState {
        breaker.stands().0
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_half_a_minute() {
        let (breaker, clock) = breaker();
        for _ in 0..4 {
            fail(&breaker);
        }
        succeed(&breaker);
        for _ in 0..5 {
            assert_eq!(state(&breaker), BreakerState::Closed);
            fail(&breaker);
        }
        let rejected = breaker.permit().unwrap_err();
        assert_eq!(rejected.until, clock.now() + TimeDelta::seconds(30));
        assert_eq!(rejected.after, Some(ErrorClass::Unavailable));
        clock.advance(Duration::from_millis(29_999));
        assert!(breaker.permit().is_err());
        clock.advance(Duration::from_millis(1));
        assert!(breaker.permit().is_ok());
    }

    #[test]
    fn half_of_the_last_twenty_open_it_and_fewer_do_not() {
        let (breaker, _) = breaker();
        for round in 0..30 {
            if round % 3 == 0 {
                fail(&breaker);
            } else {
                succeed(&breaker);
            }
        }
        assert_eq!(state(&breaker), BreakerState::Closed, "a third");
        let mut rounds = 0;
        while state(&breaker) == BreakerState::Closed {
            assert!(rounds < 20, "half of them");
            succeed(&breaker);
            fail(&breaker);
            rounds += 1;
        }
    }

    #[test]
    fn a_half_open_breaker_lets_one_call_through_whose_end_decides() {
        let (breaker, clock) = breaker();
        for _ in 0..5 {
            fail(&breaker);
        }
        clock.advance(Duration::from_secs(30));
        let probe = breaker.permit().unwrap();
        assert_eq!(state(&breaker), BreakerState::HalfOpen);
        assert!(breaker.permit().unwrap_err().until > clock.now());
        // The asker went away: nothing was learnt, and the next one probes.
        drop(probe);
        breaker.permit().unwrap().failed(ErrorClass::TooSlow);
        assert_eq!(state(&breaker), BreakerState::Open);
        assert!(breaker.permit().is_err());
        clock.advance(Duration::from_secs(30));
        succeed(&breaker);
        assert_eq!(state(&breaker), BreakerState::Closed);
        assert!(breaker.permit().is_ok() && breaker.permit().is_ok());
    }

    #[test]
    fn a_provider_that_asks_to_be_left_alone_is_left_alone() {
        let (breaker, clock) = breaker();
        breaker.hold_off(clock.now() + TimeDelta::seconds(7));
        breaker.hold_off(clock.now() + TimeDelta::seconds(3));
        assert!(breaker.permit().is_err());
        clock.advance(Duration::from_millis(6_999));
        assert!(breaker.permit().is_err());
        clock.advance(Duration::from_millis(1));
        succeed(&breaker);
    }
}
