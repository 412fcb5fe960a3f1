//! What every cache must do.

use std::time::Duration;

use quaestor_core::clock::ManualClock;
use quaestor_core::ports::cache::{Cache, LONGEST_VALUE};

/// Makes one test of each case. The factory is an async function that gives a cache and the
/// clock that it goes by.
#[macro_export]
macro_rules! cache_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            cache,
            {$($factory)+},
            [
                the_latest_value_of_a_key_is_found,
                an_old_value_is_not_found,
                a_value_that_is_too_long_is_not_kept,
            ]
        );
    };
}

const KEEP: Duration = Duration::from_secs(30);

/// Case.
pub async fn the_latest_value_of_a_key_is_found((cache, _): &(impl Cache, ManualClock)) {
    assert_eq!(cache.get("latest").await, None);
    let bytes: Vec<u8> = (0..=255).collect();
    cache.put("latest", vec![1], KEEP).await;
    cache.put("latest", bytes.clone(), KEEP).await;
    cache.put("other", Vec::new(), KEEP).await;
    assert_eq!(cache.get("latest").await, Some(bytes));
    assert_eq!(cache.get("other").await, Some(Vec::new()));
}

/// Case.
pub async fn an_old_value_is_not_found((cache, clock): &(impl Cache, ManualClock)) {
    cache.put("old", vec![1], KEEP).await;
    clock.advance(KEEP - Duration::from_secs(1));
    assert_eq!(cache.get("old").await, Some(vec![1]));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get("old").await, None);
}

/// Case.
pub async fn a_value_that_is_too_long_is_not_kept((cache, _): &(impl Cache, ManualClock)) {
    cache.put("long", vec![0; LONGEST_VALUE], KEEP).await;
    assert_eq!(cache.get("long").await.map(|value| value.len()), Some(LONGEST_VALUE));
    cache.put("longer", vec![0; LONGEST_VALUE + 1], KEEP).await;
    assert_eq!(cache.get("longer").await, None);
}
