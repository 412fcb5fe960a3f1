//! Answers that break off, lie, or never end.

use std::time::{Duration, Instant};

use quaestor_model_server::{Answer, Cut, Damage, Ended, Finish, Hangup, Reply};

use super::desk::{Desk, good, words};
use crate::installation::{Backends, on_both};

on_both!(
    an_answer_that_breaks_off_is_never_taken_for_a_whole_one,
    an_error_within_an_answer_is_no_text_of_it,
    an_answer_is_read_however_its_frames_are_written,
    an_answer_without_end_is_ended,
    each_way_to_end_an_answer_is_told,
    a_cancelled_answer_ends_upstream_and_is_paid_for,
);

/// F24: silently asked again while nothing was shown, begun anew with a mark afterwards.
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one(backends: Backends) {
    let desk = Desk::open(backends).await;
    for how in [Hangup::Fin, Hangup::Reset] {
        for tokens in [0, 1, 11, 12] {
            let answer = words(12).every(Duration::from_millis(5)).finish(Finish::Missing);
            desk.server.push(Reply::answer(answer).cut(Cut::AfterTokens(tokens, how)));
            desk.server.push(good());
            let asked = desk.ask().await;
            asked.is_whole(&words(12).text());
            let restarted = asked.kinds().contains(&"restarted");
            assert_eq!(restarted, tokens > 0, "{how:?} after {tokens}: {:#?}", asked.events);
        }
    }
    // An end without a reason is no end.
    desk.server.push(Reply::answer(words(12).finish(Finish::Missing)));
    desk.server.push(good());
    let asked = desk.ask().await;
    asked.is_whole(&words(12).text());
    assert!(asked.kinds().contains(&"restarted"));
    desk.check_bill().await;
}

/// F25.
async fn an_error_within_an_answer_is_no_text_of_it(backends: Backends) {
    let desk = Desk::open(backends).await;
    for tokens in [0, 3] {
        desk.server.push(Reply::answer(words(12).error_after(tokens, "overloaded_error")));
        desk.server.push(good());
        let asked = desk.ask().await;
        asked.is_whole(&words(12).text());
        assert!(!asked.content().contains("overloaded"));
    }
    desk.check_bill().await;
}

/// F26.
async fn an_answer_is_read_however_its_frames_are_written(backends: Backends) {
    let desk = Desk::open(backends).await;
    let text = "Umsätze stiegen um 12 % auf 4 Mio. € \u{1f642} im Jahr";
    let ways: [&[Damage]; 12] = [
        &[],
        &[Damage::CrLf],
        &[Damage::Cr],
        &[Damage::Bom],
        &[Damage::Comments],
        &[Damage::NoSpace],
        &[Damage::ManyLines],
        &[Damage::Pieces(1)],
        &[Damage::CrLf, Damage::Pieces(1)],
        &[Damage::NoLastBlank],
        &[Damage::NoEnd],
        &[Damage::OddEnd],
    ];
    for damage in ways {
        let mut reply = Reply::text(text);
        for one in damage {
            reply = reply.damaged(*one);
        }
        desk.server.push(reply);
        desk.ask().await.is_whole(text);
    }
    // A line of ten megabytes is not read: the request is sent again.
    let long = format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(10 << 20));
    desk.server.push(Reply::events(long));
    desk.server.push(Reply::text(text));
    desk.ask().await.is_whole(text);
    desk.check_bill().await;
}

/// F27: an answer that does not end, and one huge token.
async fn an_answer_without_end_is_ended(backends: Backends) {
    let desk = Desk::open(backends).await;
    desk.server.push(Reply::answer(words(50).endless()));
    let asked = desk.ask().await;
    assert_eq!(asked.state(), "done", "{:?}", asked.job);
    assert!(asked.content().len() < 2 << 20);
    assert!(asked.content().ends_with("reached the limit of its length."), "it says so");
    let calls = desk.calls().await;
    assert_eq!(calls[0].ended, Ended::ClientGone, "the request was ended");
    // One token of five megabytes is a line that is too long, whoever sends it.
    desk.server.push(Reply::answer(Answer::tokens(vec!["z".repeat(5 << 20)])));
    desk.server.push(good());
    desk.ask().await.is_whole(&words(12).text());
}

/// F29.
async fn each_way_to_end_an_answer_is_told(backends: Backends) {
    let desk = Desk::open(backends).await;
    for (finish, tail) in [
        (Finish::Length, "reached the limit of its length."),
        (Finish::Filter, "withheld the rest of it."),
    ] {
        desk.server.push(Reply::answer(words(12).finish(finish)));
        let asked = desk.ask().await;
        assert_eq!(asked.state(), "done");
        assert!(asked.content().starts_with(&words(12).text()), "{}", asked.content());
        assert!(asked.content().ends_with(tail), "{}", asked.content());
        assert_eq!(asked.told(), asked.content());
    }
    let nothing = || Answer::tokens(Vec::new());
    for (answer, problem) in [
        (nothing().finish(Finish::Filter), "content_filtered"),
        (Answer::of(" \n"), "model_said_nothing"),
        (nothing(), "model_said_nothing"),
        (nothing().without_choices(), "model_refused"),
    ] {
        let before = desk.server.calls().len();
        desk.server.push(Reply::answer(answer));
        let asked = desk.ask().await;
        assert_eq!((asked.state(), asked.problem()), ("failed", problem), "{asked:#?}");
        assert_eq!(desk.server.calls().len() - before, 1, "it is not asked again");
    }
    desk.server.push(Reply::answer(Answer::of("I cannot help with that.").finish(Finish::Refusal)));
    let asked = desk.ask().await;
    assert!(asked.content().starts_with("I cannot help with that."), "{asked:#?}");
    desk.check_bill().await;
}

/// F30: a slow drip that nobody wants any more.
async fn a_cancelled_answer_ends_upstream_and_is_paid_for(backends: Backends) {
    let desk = Desk::open(backends).await;
    desk.server.push(Reply::answer(words(10_000).every(Duration::from_millis(50))));
    let accepted = desk.accept().await;
    desk.server.wait_for(|calls| calls.iter().any(|call| call.output_tokens >= 5)).await;
    let cancelled = Instant::now();
    let path = format!("/api/jobs/{}/cancel", accepted.1);
    desk.program.post(&path, serde_json::json!({})).await;
    let calls = desk.calls().await;
    let gone = calls[0].ended_at.unwrap().duration_since(cancelled);
    assert_eq!(calls[0].ended, Ended::ClientGone);
    assert!(gone < Duration::from_secs(1), "the request went on for {gone:?}");
    let asked = desk.ended(&accepted).await;
    assert_eq!((asked.state(), asked.message["state"].as_str()), ("cancelled", Some("cancelled")));
    assert!(words(10_000).text().starts_with(asked.content()) && !asked.content().is_empty());
    assert_eq!(asked.told(), asked.content(), "what was shown is what is kept");
    let bill = desk.bill().await;
    assert_eq!((bill[0].outcome.as_str(), bill[0].estimated), ("cut", true));
    assert!(bill[0].output_tokens > 0);
    desk.check_bill().await;
}
