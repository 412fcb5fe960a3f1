//! Errors that come in place of an answer: their class, and what they tell and do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quaestor_core::clock::{Clock, ManualClock};
use quaestor_core::ports::model_error::ErrorClass;
use quaestor_model_server::{Hangup, ModelServer, Reply};
use tokio::net::{TcpSocket, TcpStream};

use crate::providers::{KEY, Kind, ask, clock, openai};

#[tokio::test]
async fn a_status_and_its_code_tell_the_class_of_the_error() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for (status, code, class) in [
            (429, "rate_limit_exceeded", ErrorClass::Overloaded),
            (429, "insufficient_quota", ErrorClass::Quota),
            (400, "context_length_exceeded", ErrorClass::TooLong),
            (400, "content_filter", ErrorClass::Filtered),
            (400, "invalid_request_error", ErrorClass::Refused),
            (401, "invalid_api_key", ErrorClass::Credentials),
            (403, "permission_error", ErrorClass::Credentials),
            (404, "model_not_found", ErrorClass::Refused),
            (413, "request_too_large", ErrorClass::TooLong),
            (408, "timeout", ErrorClass::Unavailable),
            (409, "conflict", ErrorClass::Unavailable),
            (500, "server_error", ErrorClass::Unavailable),
            (503, "overloaded", ErrorClass::Overloaded),
            (529, "overloaded_error", ErrorClass::Overloaded),
        ] {
            server.push(Reply::error(status, code).header("retry-after", "7"));
            let error = ask(&*model).await.error();
            let call = server.settled().await.pop().unwrap();
            assert_eq!(error.class, class, "{kind:?} {status} {code}: {error:?}");
            let wait = class.is_transient().then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after, wait, "{kind:?} {status} {code}");
            assert_eq!(error.request_id, Some(call.request_id), "{kind:?} {status} {code}");
            let told = error.to_string();
            assert!(told.contains(&status.to_string()) && told.contains(code), "{told}");
            assert!(!told.contains("says no"), "a message may repeat the prompt: {told}");
        }
        assert_eq!(server.calls().len(), 14, "{kind:?}: each request is sent once");
    }
}

#[tokio::test]
async fn a_body_that_is_no_error_of_the_provider_changes_nothing() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for (status, body, class) in [
            (500, "very-secret oops".to_owned(), ErrorClass::Unavailable),
            (502, "<html>very-secret</html>".to_owned(), ErrorClass::Unavailable),
            (404, "{\"error\":\"very-secret\"}".to_owned(), ErrorClass::Refused),
            (400, "[1,".to_owned(), ErrorClass::Refused),
            (503, "x".repeat(1_000_000), ErrorClass::Overloaded),
        ] {
            server.push(Reply::status(status, "text/html", &body));
            let error = ask(&*model).await.error();
            assert_eq!(error.class, class, "{kind:?} {status}");
        }
        // A redirect would take the key along.
        server.push(Reply::status(302, "text/html", "").header("location", "http://127.0.0.1:1/"));
        assert_eq!(ask(&*model).await.error().class, ErrorClass::Refused, "{kind:?}");
    }
}

#[tokio::test]
async fn the_time_to_wait_is_read_as_seconds_as_a_date_and_from_the_limits() {
    let clock = Arc::new(ManualClock::at_millis(1_445_412_470_000));
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat_at(&server.url(), clock.clone());
        let busy = || Reply::error(429, "rate_limit_exceeded");
        for (reply, wanted) in [
            (busy().header("retry-after", "7"), Some(7_000)),
            (busy().header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(10_000)),
            (busy().header("retry-after-ms", "250"), Some(250)),
            (
                busy()
                    .header("x-ratelimit-remaining-requests", "0")
                    .header("x-ratelimit-reset-requests", "1m0.5s")
                    .header("x-ratelimit-remaining-tokens", "12")
                    .header("x-ratelimit-reset-tokens", "6m0s"),
                Some(60_500),
            ),
            (busy(), None),
        ] {
            server.push(reply);
            let error = ask(&*model).await.error();
            assert_eq!(error.retry_after, wanted.map(Duration::from_millis), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_is_not_there_is_unavailable() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        for how in [Hangup::Fin, Hangup::Reset] {
            server.push(Reply::nothing(how));
            assert_eq!(ask(&*model).await.error().class, ErrorClass::Unavailable, "{how:?}");
        }
        assert_eq!(server.calls().len(), 2, "{kind:?}: each request is sent once");
        let url = server.url();
        drop(server);
        let error = ask(&*kind.chat_at(&url, clock())).await.error();
        assert_eq!(error.class, ErrorClass::Unavailable, "{kind:?}");
        assert!(!format!("{error:?}").contains(&url), "an address may hold a secret: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_given_up_in_time() {
    // Where nothing is accepted and the line is full, further connections hang.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let mut endpoint = openai(&format!("http://{address}"));
    endpoint.connect_timeout = Duration::from_millis(300);
    let clock: Arc<dyn Clock> = clock();
    let model = quaestor_backends::models::openai::OpenAiChat::new(&endpoint, clock).unwrap();
    let begun = Instant::now();
    let error = ask(&model).await.error();
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert!(error.class.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_key_stands_in_nothing_that_is_shown() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        assert!(!format!("{model:?}").contains("secret"), "{model:?}");
        // A server that repeats the key in its error is not repeated.
        let body = format!("{{\"error\":{{\"message\":\"bad key {KEY}\",\"code\":\"{KEY}\"}}}}");
        server.push(Reply::status(401, "application/json", &body));
        let error = ask(&*model).await.end.unwrap_err();
        assert_eq!(error.class, ErrorClass::Credentials, "{kind:?}");
        assert!(!format!("{error:?} {error}").contains("very-secret"), "{error:?}");
    }
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_and_no_panic() {
    let mut endpoint = openai("http://127.0.0.1:1");
    endpoint.key = "sk-very-secret\n".to_owned().into();
    let error = quaestor_backends::models::openai::OpenAiChat::new(&endpoint, clock()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials);
    assert!(!format!("{error:?}").contains("secret"));
}
