//! Tokens of Entra: got by an application, kept until shortly before their end.

use std::sync::Arc;
use std::time::Duration;

use quaestor_backends::models::azure::{self, Application, Credential};
use quaestor_core::clock::ManualClock;
use quaestor_core::ports::chat_model::FinishReason;
use quaestor_core::ports::model_error::ErrorClass;
use quaestor_model_server::{ModelServer, Operation, Reply};

use crate::providers::{ask, deployment};

fn application(server: &ModelServer) -> Credential {
    Credential::Application(Application {
        authority: server.url(),
        tenant: "a-tenant".to_owned(),
        client: "a-client".to_owned(),
        secret: "very-secret & sons".to_owned().into(),
    })
}

/// How many tokens were asked for, and which the last chat came with.
fn tokens(server: &ModelServer) -> (usize, String) {
    let chats = server.calls_of(Operation::Chat);
    let key = chats.last().and_then(|call| call.key.clone()).unwrap_or_default();
    (server.calls_of(Operation::Token).len(), key)
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let server = ModelServer::answering(|request| match request.operation {
        Operation::Token => Reply::token(&format!("entra-{}", request.text.len()), 3_600),
        _ => Reply::sensible(request),
    })
    .await;
    let clock = ManualClock::at_millis(0);
    let place = deployment(&server.url(), "v1", application(&server));
    let model = azure::chat(&place, Arc::new(clock.clone())).unwrap();
    assert!(!format!("{model:?} {place:?}").contains("secret"));
    for _ in 0..3 {
        assert_eq!(ask(&model).await.reason(), FinishReason::Stop);
    }
    let asked = &server.calls_of(Operation::Token)[0].request;
    assert_eq!(asked.path, "/a-tenant/oauth2/v2.0/token");
    for part in [
        "grant_type=client_credentials",
        "client_id=a-client",
        "client_secret=very-secret+%26+sons",
        "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default",
    ] {
        assert!(asked.text.contains(part), "{}", asked.text);
    }
    assert_eq!(tokens(&server), (1, format!("entra-{}", asked.text.len())));
    clock.advance(Duration::from_secs(3_600 - 301));
    ask(&model).await;
    assert_eq!(tokens(&server).0, 1);
    clock.advance(Duration::from_secs(2));
    ask(&model).await;
    assert_eq!(tokens(&server).0, 2);
}

#[tokio::test]
async fn many_requests_at_once_get_one_token() {
    let server = ModelServer::answering(|request| match request.operation {
        Operation::Token => Reply::token("entra", 3_600).after(Duration::from_millis(50)),
        _ => Reply::sensible(request),
    })
    .await;
    let place = deployment(&server.url(), "2024-10-21", application(&server));
    let model = azure::chat(&place, Arc::new(ManualClock::at_millis(0))).unwrap();
    futures::future::join_all((0..8).map(|_| ask(&model))).await;
    assert_eq!(tokens(&server), (1, "entra".to_owned()));
    assert_eq!(server.calls_of(Operation::Chat).len(), 8);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_not_used_again() {
    let server = ModelServer::start().await;
    let place = deployment(&server.url(), "v1", application(&server));
    let model = azure::chat(&place, Arc::new(ManualClock::at_millis(0))).unwrap();
    server.push(Reply::token("revoked", 3_600));
    server.push(Reply::error(401, "401"));
    assert_eq!(ask(&model).await.error().class, ErrorClass::Credentials);
    assert_eq!(ask(&model).await.reason(), FinishReason::Stop);
    assert_eq!(tokens(&server), (2, "entra-token".to_owned()));
}

#[tokio::test]
async fn an_application_that_gets_no_token_says_so() {
    let server = ModelServer::start().await;
    let place = deployment(&server.url(), "v1", application(&server));
    let model = azure::chat(&place, Arc::new(ManualClock::at_millis(0))).unwrap();
    let body = r#"{"error":"invalid_client","error_description":"very-secret"}"#;
    for (reply, class) in [
        (Reply::status(401, "application/json", body), ErrorClass::Credentials),
        (Reply::status(400, "application/json", body), ErrorClass::Credentials),
        (Reply::status(503, "text/plain", "busy"), ErrorClass::Overloaded),
        (Reply::json(serde_json::json!({"token": "very-secret"})), ErrorClass::Malformed),
    ] {
        server.push(reply);
        let error = ask(&model).await.error();
        assert_eq!(error.class, class, "{error:?}");
        assert!(error.to_string().contains("getting a token"), "{error}");
    }
    assert!(server.calls_of(Operation::Chat).is_empty());
}

#[tokio::test]
async fn a_token_that_somebody_else_renews_is_sent_as_it_is() {
    let server = ModelServer::start().await;
    let credential = Credential::Token("given".to_owned().into());
    let place = deployment(&server.url(), "v1", credential);
    let model = azure::chat(&place, Arc::new(ManualClock::at_millis(0))).unwrap();
    ask(&model).await;
    assert_eq!(tokens(&server), (0, "given".to_owned()));
    assert!(server.calls()[0].request.header("authorization").is_some());
}
