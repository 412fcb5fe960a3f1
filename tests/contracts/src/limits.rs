//! What every backend of rate limits must do.

use std::time::Duration;

use quaestor_core::clock::ManualClock;
use quaestor_core::ports::limits::{Admission, Quota, RateLimits};

/// Makes one test of each case. The factory is an async function that gives a backend
/// (anything that is `RateLimits`) and the clock that it goes by.
#[macro_export]
macro_rules! limits_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            limits,
            {$($factory)+},
            [
                a_burst_is_admitted_and_no_more,
                the_wait_it_tells_is_enough,
                names_do_not_share_their_quota,
                the_average_holds_over_a_minute,
                a_clock_that_steps_back_locks_nobody_out,
            ]
        );
    };
}

const QUOTA: Quota = Quota { burst: 3, per_minute: 60 };

/// Case.
pub async fn a_burst_is_admitted_and_no_more((limits, _): &(impl RateLimits, ManualClock)) {
    for _ in 0..3 {
        assert_eq!(limits.admit("a", QUOTA).await, Admission::Admitted);
    }
    assert!(matches!(limits.admit("a", QUOTA).await, Admission::RetryAfter(_)));
}

/// Case.
pub async fn the_wait_it_tells_is_enough((limits, clock): &(impl RateLimits, ManualClock)) {
    for _ in 0..20 {
        if let Admission::RetryAfter(wait) = limits.admit("a", QUOTA).await {
            assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
            clock.advance(wait);
            assert_eq!(limits.admit("a", QUOTA).await, Admission::Admitted);
        }
    }
}

/// Case.
pub async fn names_do_not_share_their_quota((limits, _): &(impl RateLimits, ManualClock)) {
    for _ in 0..4 {
        limits.admit("a", QUOTA).await;
    }
    assert_eq!(limits.admit("b", QUOTA).await, Admission::Admitted);
}

/// Case.
pub async fn the_average_holds_over_a_minute((limits, clock): &(impl RateLimits, ManualClock)) {
    let mut admitted = 0;
    for _ in 0..600 {
        if limits.admit("a", QUOTA).await == Admission::Admitted {
            admitted += 1;
        }
        clock.advance(Duration::from_millis(100));
    }
    assert!((60..=63).contains(&admitted), "{admitted} in a minute");
}

/// Case.
pub async fn a_clock_that_steps_back_locks_nobody_out(
    (limits, clock): &(impl RateLimits, ManualClock),
) {
    clock.advance(Duration::from_secs(3600));
    for _ in 0..4 {
        limits.admit("a", QUOTA).await;
    }
    clock.set_millis(1_000);
    clock.advance(Duration::from_secs(5));
    limits.admit("a", QUOTA).await;
    clock.advance(Duration::from_secs(5));
    assert_eq!(limits.admit("a", QUOTA).await, Admission::Admitted);
}
