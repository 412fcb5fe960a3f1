//! What every noticeboard must do.

use std::time::Duration;

use quaestor_core::clock::ManualClock;
use quaestor_core::ids::WorkerId;
use quaestor_core::ports::noticeboard::Noticeboard;
use serde_json::json;
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives a noticeboard
/// and the clock that it goes by.
#[macro_export]
macro_rules! noticeboard_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            noticeboard,
            {$($factory)+},
            [
                each_process_has_one_notice_under_a_topic,
                a_notice_that_is_not_renewed_is_taken_down,
                an_empty_topic_has_no_notices,
                one_process_at_a_time_leads,
            ]
        );
    };
}

const KEEP: Duration = Duration::from_secs(30);

fn process(number: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(number))
}

/// Case.
pub async fn each_process_has_one_notice_under_a_topic(
    (board, _): &(impl Noticeboard, ManualClock),
) {
    board.post("one", process(2), json!({"old": true}), KEEP).await;
    board.post("one", process(2), json!({"new": [1, "ä"]}), KEEP).await;
    board.post("one", process(1), json!(null), KEEP).await;
    board.post("other", process(1), json!(7), KEEP).await;
    let notices = board.read("one").await.unwrap();
    assert_eq!(notices, [(process(1), json!(null)), (process(2), json!({"new": [1, "ä"]}))]);
    assert_eq!(board.read("other").await.unwrap(), [(process(1), json!(7))]);
}

/// Case.
pub async fn a_notice_that_is_not_renewed_is_taken_down(
    (board, clock): &(impl Noticeboard, ManualClock),
) {
    board.post("ending", process(1), json!(1), KEEP).await;
    clock.advance(KEEP / 2);
    board.post("ending", process(2), json!(2), KEEP).await;
    clock.advance(KEEP / 2);
    for _ in 0..2 {
        assert_eq!(board.read("ending").await.unwrap(), [(process(2), json!(2))]);
    }
}

/// Case.
pub async fn an_empty_topic_has_no_notices((board, _): &(impl Noticeboard, ManualClock)) {
    assert!(board.read("nobody").await.unwrap().is_empty());
}

/// Case.
pub async fn one_process_at_a_time_leads((board, clock): &(impl Noticeboard, ManualClock)) {
    let lead = async |number, keep| board.lead("choir", process(number), keep).await.unwrap();
    assert!(lead(1, KEEP).await);
    assert!(!lead(2, KEEP).await);
    assert!(board.lead("orchestra", process(2), KEEP).await.unwrap(), "each name has its own");
    clock.advance(KEEP / 2);
    assert!(lead(1, KEEP).await, "it is renewed");
    clock.advance(KEEP / 2);
    assert!(!lead(2, KEEP).await);
    clock.advance(KEEP / 2);
    assert!(lead(2, KEEP).await, "who does not renew it has lost it");
    assert!(!lead(1, KEEP).await);
    assert!(lead(2, Duration::ZERO).await, "it is given up");
    assert!(lead(1, KEEP).await);
}
