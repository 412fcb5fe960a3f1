//! Providers that have enough of us, or are gone.

use std::time::Duration;

use quaestor_core::clock::{Clock, SystemClock, Time};
use quaestor_model_server::{Hangup, Reply};

use super::desk::{Desk, good, words};
use crate::installation::{Backends, on_both};

on_both!(
    a_provider_that_asks_for_time_is_left_alone_for_it,
    a_quota_that_is_used_up_is_told_at_once,
    a_provider_that_fails_for_a_while_is_not_stormed,
    a_provider_that_says_nothing_is_not_waited_for_for_ever,
);

/// F20: both forms of `Retry-After`, and no call inside the window.
async fn a_provider_that_asks_for_time_is_left_alone_for_it(backends: Backends) {
    let desk = Desk::open(backends).await;
    for (as_date, at_least) in [(false, 3.0), (true, 3.0)] {
        // A date has whole seconds.
        let after = match as_date {
            true => httpdate(SystemClock.now() + Duration::from_secs(4)),
            false => "3".to_owned(),
        };
        let before = desk.server.calls().len();
        desk.server.push(Reply::error(429, "rate_limit_exceeded").header("retry-after", &after));
        desk.server.push(good());
        let asked = desk.ask().await;
        asked.is_whole(&words(12).text());
        assert_eq!(asked.waits(), ["model_overloaded"], "{after}");
        let calls = desk.calls().await;
        let [refused, answered] = &calls[before..] else { panic!("{calls:#?}") };
        let between = answered.began_at.duration_since(refused.began_at).as_secs_f64();
        assert!(between >= at_least, "asked again after {between} s of {after}");
    }
    desk.check_bill().await;
}

/// F21.
async fn a_quota_that_is_used_up_is_told_at_once(backends: Backends) {
    let desk = Desk::open(backends).await;
    desk.server.push(Reply::error(429, "insufficient_quota"));
    let asked = desk.ask().await;
    assert_eq!((asked.state(), asked.problem()), ("failed", "model_quota"), "{asked:#?}");
    // Administrators see it within seconds, whichever process has seen it.
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let told = desk.program.get("/api/admin/providers").await;
        let seen = &told["items"][0];
        if seen["failed"] == 1 {
            assert_eq!(
                (&seen["model"], &seen["operation"]),
                (&"openai:scripted".into(), &"chat".into())
            );
            assert_eq!((&seen["last_error"], &seen["calls"]), (&"quota".into(), &1.into()));
            assert!(!seen["processes"].as_array().unwrap().is_empty(), "{seen}");
            break;
        }
        assert!(std::time::Instant::now() < until, "nothing is told: {told}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(desk.calls().await.len(), 1);
    desk.check_bill().await;
}

/// F22: every question is answered, and hardly a call is wasted.
async fn a_provider_that_fails_for_a_while_is_not_stormed(backends: Backends) {
    const QUESTIONS: usize = 40;
    let desk = Desk::open(backends).await;
    let until = std::time::Instant::now() + Duration::from_secs(3);
    desk.server.respond(move |_| match std::time::Instant::now() < until {
        true => Reply::error(500, "server_error"),
        false => good(),
    });
    let mut accepted = Vec::new();
    for _ in 0..QUESTIONS {
        accepted.push(desk.accept().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for one in &accepted {
        desk.ended(one).await.is_whole(&words(12).text());
    }
    let calls = desk.calls().await.len();
    assert!(calls * 10 <= QUESTIONS * 11 + 30, "{calls} calls for {QUESTIONS} questions");
    assert!(calls > QUESTIONS, "no call failed");
    desk.check_bill().await;
}

/// F23.
async fn a_provider_that_says_nothing_is_not_waited_for_for_ever(backends: Backends) {
    let desk = Desk::open(backends).await;
    desk.server.push(Reply::nothing(Hangup::Silence));
    desk.server.push(good());
    let asked = desk.ask().await;
    asked.is_whole(&words(12).text());
    assert!(!asked.kinds().contains(&"restarted"), "nothing had been shown");
    let calls = desk.calls().await;
    assert_eq!(calls.len(), 2);
    desk.check_bill().await;
}

/// A moment as HTTP writes it.
fn httpdate(moment: Time) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
