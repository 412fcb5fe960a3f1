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
