//! What every backend of the limits of providers must do.

use std::time::Duration;

use quaestor_core::clock::ManualClock;
use quaestor_core::ports::limits::Admission;
use quaestor_core::ports::provider_limits::{ProviderLimits, ProviderQuota, Seen};

/// Makes one test of each case. The factory is an async function that gives a backend
/// (anything that is `ProviderLimits`) and the clock that it goes by.
#[macro_export]
macro_rules! provider_limits_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            provider_limits,
            {$($factory)+},
            [
                requests_are_counted_by_the_minute,
                tokens_are_counted_by_the_minute,
                what_was_not_taken_is_given_back,
                what_was_taken_beyond_is_owed,
                a_call_larger_than_a_minute_goes_through_alone,
                a_provider_that_says_less_is_left_is_believed,
                a_provider_that_says_more_is_left_changes_nothing,
                nothing_is_sent_before_a_provider_opens_again,
                what_is_not_limited_is_not_counted,
                names_share_nothing,
                a_provider_clock_that_steps_back_locks_nobody_out,
            ]
        );
    };
}

const QUOTA: ProviderQuota =
    ProviderQuota { requests_per_minute: Some(60), tokens_per_minute: Some(6_000) };

type Limits<'a, T> = &'a (T, ManualClock);

fn wait_of(admission: Admission) -> Duration {
    match admission {
        Admission::RetryAfter(wait) => wait,
        Admission::Admitted => panic!("admitted"),
    }
}

/// How many calls of so many tokens are admitted before one has to wait, and how long.
async fn until_it_waits(
    limits: &impl ProviderLimits,
    quota: ProviderQuota,
    tokens: u64,
) -> (u32, Duration) {
    for admitted in 0..1_000 {
        if let Admission::RetryAfter(wait) = limits.reserve("p", quota, tokens).await {
            return (admitted, wait);
        }
    }
    panic!("nothing is counted");
}

fn about(wait: Duration, seconds: f64) -> bool {
    (wait.as_secs_f64() - seconds).abs() < 0.01
}

/// Case.
pub async fn requests_are_counted_by_the_minute((limits, clock): Limits<'_, impl ProviderLimits>) {
    let (admitted, wait) = until_it_waits(limits, QUOTA, 1).await;
    assert_eq!(admitted, 60);
    assert!(about(wait, 1.0), "{wait:?}");
    clock.advance(wait);
    assert_eq!(limits.reserve("p", QUOTA, 1).await, Admission::Admitted);
    wait_of(limits.reserve("p", QUOTA, 1).await);
    clock.advance(Duration::from_secs(60));
    assert_eq!(until_it_waits(limits, QUOTA, 1).await.0, 60);
}

/// Case.
pub async fn tokens_are_counted_by_the_minute((limits, clock): Limits<'_, impl ProviderLimits>) {
    let (admitted, wait) = until_it_waits(limits, QUOTA, 1_000).await;
    assert_eq!(admitted, 6);
    assert!(about(wait, 10.0), "{wait:?}");
    clock.advance(wait);
    assert_eq!(limits.reserve("p", QUOTA, 1_000).await, Admission::Admitted);
    assert!(about(wait_of(limits.reserve("p", QUOTA, 500).await), 5.0));
}

/// Case.
pub async fn what_was_not_taken_is_given_back((limits, _): Limits<'_, impl ProviderLimits>) {
    assert_eq!(limits.reserve("p", QUOTA, 6_000).await, Admission::Admitted);
    wait_of(limits.reserve("p", QUOTA, 1_000).await);
    limits.settle("p", QUOTA, 6_000, 2_000).await;
    assert_eq!(until_it_waits(limits, QUOTA, 1_000).await.0, 4);
    // No more is given back than was there.
    limits.settle("p", QUOTA, 1_000_000, 0).await;
    assert_eq!(until_it_waits(limits, QUOTA, 1_000).await.0, 6);
}

/// Case.
pub async fn what_was_taken_beyond_is_owed((limits, _): Limits<'_, impl ProviderLimits>) {
    assert_eq!(limits.reserve("p", QUOTA, 100).await, Admission::Admitted);
    limits.settle("p", QUOTA, 100, 9_000).await;
    assert!(about(wait_of(limits.reserve("p", QUOTA, 1_000).await), 40.0));
}

/// Case.
pub async fn a_call_larger_than_a_minute_goes_through_alone(
    (limits, clock): Limits<'_, impl ProviderLimits>,
) {
    assert_eq!(limits.reserve("p", QUOTA, 600).await, Admission::Admitted);
    let wait = wait_of(limits.reserve("p", QUOTA, 12_000).await);
    assert!(about(wait, 6.0), "{wait:?}");
    clock.advance(wait);
    assert_eq!(limits.reserve("p", QUOTA, 12_000).await, Admission::Admitted);
    assert!(about(wait_of(limits.reserve("p", QUOTA, 6_000).await), 120.0));
}

/// Case.
pub async fn a_provider_that_says_less_is_left_is_believed(
    (limits, _): Limits<'_, impl ProviderLimits>,
) {
    assert_eq!(limits.reserve("p", QUOTA, 1).await, Admission::Admitted);
    let seen = Seen { requests: Some(3), tokens: Some(5_000), closed_for: None };
    limits.correct("p", QUOTA, seen).await;
    assert_eq!(until_it_waits(limits, QUOTA, 1).await.0, 3);
    let seen = Seen { tokens: Some(0), ..Seen::default() };
    limits.correct("p", QUOTA, seen).await;
    assert!(about(wait_of(limits.reserve("p", QUOTA, 600).await), 6.0));
}

/// Case.
pub async fn a_provider_that_says_more_is_left_changes_nothing(
    (limits, _): Limits<'_, impl ProviderLimits>,
) {
    assert_eq!(limits.reserve("p", QUOTA, 6_000).await, Admission::Admitted);
    let seen = Seen { requests: Some(10_000), tokens: Some(1_000_000), closed_for: None };
    limits.correct("p", QUOTA, seen).await;
    assert!(about(wait_of(limits.reserve("p", QUOTA, 600).await), 6.0));
}

/// Case.
pub async fn nothing_is_sent_before_a_provider_opens_again(
    (limits, clock): Limits<'_, impl ProviderLimits>,
) {
    // Also where nothing is counted: a refusal holds for every worker.
    for quota in [QUOTA, ProviderQuota::default()] {
        let closed_for = Some(Duration::from_secs(7));
        limits.correct("p", quota, Seen { closed_for, ..Seen::default() }).await;
        assert!(about(wait_of(limits.reserve("p", quota, 1).await), 7.0));
        clock.advance(Duration::from_secs(5));
        let shorter = Some(Duration::from_secs(1));
        limits.correct("p", quota, Seen { closed_for: shorter, ..Seen::default() }).await;
        let wait = wait_of(limits.reserve("p", quota, 1).await);
        assert!(about(wait, 2.0), "{wait:?}");
        clock.advance(wait);
        assert_eq!(limits.reserve("p", quota, 1).await, Admission::Admitted);
        clock.advance(Duration::from_secs(120));
    }
}

/// Case.
pub async fn what_is_not_limited_is_not_counted((limits, _): Limits<'_, impl ProviderLimits>) {
    let requests = ProviderQuota { requests_per_minute: Some(2), tokens_per_minute: None };
    for _ in 0..2 {
        assert_eq!(limits.reserve("p", requests, 1 << 40).await, Admission::Admitted);
    }
    wait_of(limits.reserve("p", requests, 0).await);
    let tokens = ProviderQuota { requests_per_minute: None, tokens_per_minute: Some(10) };
    for _ in 0..100 {
        assert_eq!(limits.reserve("q", tokens, 0).await, Admission::Admitted);
    }
}

/// Case.
pub async fn names_share_nothing((limits, _): Limits<'_, impl ProviderLimits>) {
    until_it_waits(limits, QUOTA, 100).await;
    assert_eq!(limits.reserve("other", QUOTA, 100).await, Admission::Admitted);
}

/// Case.
pub async fn a_provider_clock_that_steps_back_locks_nobody_out(
    (limits, clock): Limits<'_, impl ProviderLimits>,
) {
    clock.advance(Duration::from_secs(24 * 3_600));
    until_it_waits(limits, QUOTA, 1_000).await;
    let closed_for = Some(Duration::from_secs(60));
    limits.correct("p", QUOTA, Seen { closed_for, ..Seen::default() }).await;
    clock.set_millis(1_000);
    let wait = wait_of(limits.reserve("p", QUOTA, 1_000).await);
    assert!(wait <= Duration::from_secs(3_600), "{wait:?}");
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(limits.reserve("p", QUOTA, 1_000).await, Admission::Admitted);
}
