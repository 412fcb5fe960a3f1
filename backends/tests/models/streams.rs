//! Streams that are odd, cut off, silent or at odds with themselves (F23 to F30).

use std::time::{Duration, Instant};

use futures::StreamExt;
use quaestor_contracts::call_id;
use quaestor_contracts::chat_model::request;
use quaestor_core::ports::chat_model::{ChatDelta, FinishReason};
use quaestor_core::ports::model_error::ErrorClass;
use quaestor_model_server::{
    Answer, Cut, Damage, Ended, Finish, Hangup, ModelServer, Operation, Reply,
};

use crate::providers::{Kind, ask};

const TEXT: &str = "Ums\u{e4}tze stiegen [1] um 4\u{202f}% \u{1f642}.";

#[tokio::test]
async fn an_answer_is_read_whatever_its_frames_look_like() {
    use Damage::{Bom, Comments, Cr, CrLf, ManyLines, NoEnd, NoLastBlank, NoSpace, OddEnd, Pieces};
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        let odd: [&[Damage]; 15] = [
            &[],
            &[CrLf],
            &[Cr],
            &[Bom],
            &[Comments],
            &[NoSpace],
            &[ManyLines],
            &[OddEnd],
            &[NoEnd],
            &[NoLastBlank],
            &[Pieces(1)],
            &[Pieces(3)],
            &[CrLf, Pieces(1)],
            &[Bom, Cr, Comments, Pieces(2)],
            &[NoSpace, ManyLines, CrLf, Pieces(7)],
        ];
        for damage in odd {
            for until_close in [false, true] {
                let reply = Reply::text(TEXT);
                let reply = damage.iter().fold(reply, |reply, damage| reply.damaged(*damage));
                server.push(if until_close { reply.until_close() } else { reply });
                let told = ask(&*model).await;
                assert_eq!(told.text, TEXT, "{kind:?} {damage:?}");
                assert_eq!(told.reason(), FinishReason::Stop, "{kind:?} {damage:?}");
                let call = server.settled().await.pop().unwrap();
                let billed = (call.input_tokens, call.output_tokens);
                assert_eq!(told.usage(), Some(billed), "{kind:?} {damage:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_error_after_what_was_shown() {
    const WORDS: usize = 60;
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for tokens in [0, 1, 50, WORDS] {
            for how in [Hangup::Reset, Hangup::Fin] {
                for until_close in [false, true] {
                    let cut = Cut::AfterTokens(tokens, how);
                    let reply = Reply::answer(Answer::words(WORDS)).cut(cut);
                    server.push(if until_close { reply.until_close() } else { reply });
                    let told = ask(&*model).await;
                    let what = format!("{kind:?} {cut:?} {until_close}");
                    // A reset may overtake what was sent before it.
                    assert!(told.pieces <= tokens, "{what}: {} pieces", told.pieces);
                    if how == Hangup::Fin {
                        assert_eq!(told.pieces, tokens, "{what}");
                    }
                    let error = told.error();
                    assert_eq!(error.class, ErrorClass::Unavailable, "{what}: {error:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_end_without_a_reason_is_no_end() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let answer = Answer::words(5).finish(Finish::Missing);
        for damage in [None, Some(Damage::NoEnd)] {
            let reply = Reply::answer(answer.clone());
            server.push(damage.into_iter().fold(reply, Reply::damaged));
            let told = ask(&*kind.chat(&server)).await;
            assert_eq!(told.pieces, 5);
            assert_eq!(told.error().class, ErrorClass::Unavailable, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn an_error_within_the_stream_is_an_error_and_no_text() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        for (after, word, class) in [
            (0, "overloaded_error", ErrorClass::Overloaded),
            (3, "overloaded_error", ErrorClass::Overloaded),
            (3, "server_error", ErrorClass::Unavailable),
            (0, "insufficient_quota", ErrorClass::Quota),
            (1, "content_filter", ErrorClass::Filtered),
            (1, "something_new", ErrorClass::Unavailable),
        ] {
            server.push(Reply::answer(Answer::words(9).error_after(after, word)));
            let told = ask(&*kind.chat(&server)).await;
            let call = server.settled().await.pop().unwrap();
            assert_eq!((told.pieces, call.output_tokens), (after, after as u64), "{kind:?}");
            assert!(!told.text.contains("says no"), "{kind:?}: {}", told.text);
            let error = told.error();
            assert_eq!(error.class, class, "{kind:?} {word}: {error:?}");
            assert_eq!(error.request_id, Some(call.request_id), "{kind:?}");
            assert!(error.reason.contains(word), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_malformed_and_is_not_repeated() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        for body in [
            "data: {\"very-secret words\n\n",
            "data: <html>very-secret</html>\n\n",
            "event: message\ndata: \u{0}\n\n",
        ] {
            server.push(Reply::events(body));
            let error = ask(&*kind.chat(&server)).await.error();
            assert_eq!(error.class, ErrorClass::Malformed, "{kind:?} {body:?}: {error:?}");
        }
        // An error that is not even JSON is still one.
        server.push(Reply::events("event: error\ndata: very-secret trouble\n\n"));
        let error = ask(&*kind.chat(&server)).await.error();
        assert_eq!(error.class, ErrorClass::Unavailable, "{kind:?}: {error:?}");
        // No frame at all.
        for body in ["", "\n\n\n", ": nothing\n\n", "secret: words\n\n"] {
            server.push(Reply::events(body));
            let error = ask(&*kind.chat(&server)).await.error();
            assert_eq!(error.class, ErrorClass::Unavailable, "{kind:?} {body:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn each_way_to_end_is_told_apart() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for (finish, reason) in [
            (Finish::Length, FinishReason::Length),
            (Finish::Filter, FinishReason::ContentFilter),
            (Finish::Refusal, FinishReason::ContentFilter),
        ] {
            server.push(Reply::answer(Answer::words(3).finish(finish)));
            let told = ask(&*model).await;
            assert_eq!((told.reason(), told.pieces), (reason, 3), "{kind:?} {finish:?}");
        }
        server.push(Reply::answer(Answer::words(3).without_choices().finish(Finish::Missing)));
        let error = ask(&*model).await.error();
        assert_eq!(error.class, ErrorClass::Refused, "{kind:?}: {error:?}");
        server.push(Reply::answer(Answer::words(3).without_usage()));
        assert_eq!(ask(&*model).await.usage(), None, "{kind:?}");
        assert!(server.settled().await.iter().all(|call| call.ended == Ended::Whole));
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        let whole = match kind {
            Kind::Anthropic => serde_json::json!({"type": "message",
                "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn",
                "usage": {"input_tokens": 4, "output_tokens": 2}}),
            _ => serde_json::json!({"object": "chat.completion", "choices": [
                {"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 4, "completion_tokens": 2}}),
        };
        server.push(Reply::json(whole));
        let told = ask(&*model).await;
        assert_eq!((told.text.as_str(), told.usage()), (TEXT, Some((4, 2))), "{kind:?}");
        server.push(Reply::error(200, "insufficient_quota"));
        assert_eq!(ask(&*model).await.error().class, ErrorClass::Quota, "{kind:?}");
    }
}

#[tokio::test]
async fn dropping_the_answer_ends_the_request_upstream() {
    let slowly = || Answer::words(1_000).every(Duration::from_secs(10)).first_after(Duration::ZERO);
    let steadily = || Answer::words(3_000).every(Duration::from_millis(5));
    for kind in Kind::ALL {
        for answer in [slowly(), steadily()] {
            let server = ModelServer::start().await;
            server.push(Reply::answer(answer));
            let model = kind.chat(&server);
            let mut stream = model.stream(&request(), call_id()).await.unwrap();
            let first = stream.deltas.next().await;
            assert!(matches!(first, Some(Ok(ChatDelta::Text(_)))), "{first:?}");
            let dropped_at = Instant::now();
            drop(stream);
            let call = server.settled().await.pop().unwrap();
            assert_eq!(call.ended, Ended::ClientGone, "{kind:?}");
            let took = call.ended_at.unwrap().saturating_duration_since(dropped_at);
            assert!(took < Duration::from_secs(1), "{kind:?}: it took {took:?}");
        }
        // Nor does a request go on whose answer has not begun.
        let server = ModelServer::start().await;
        server.push(Reply::text(TEXT).after(Duration::from_secs(600)));
        let model = kind.chat(&server);
        let request = request();
        let asked = model.stream(&request, call_id());
        let begun = server.wait_for(|calls| !calls.is_empty());
        tokio::select! {
            answered = asked => panic!("{answered:?}"),
            _ = begun => {}
        }
        assert_eq!(server.settled().await[0].ended, Ended::ClientGone, "{kind:?}");
    }
}

#[tokio::test]
async fn answers_follow_one_another_on_one_connection() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for _ in 0..5 {
            assert_eq!(ask(&*model).await.reason(), FinishReason::Stop);
        }
        assert_eq!(server.calls_of(Operation::Chat).len(), 5);
        assert_eq!(server.connections(), 1, "{kind:?}");
    }
}
