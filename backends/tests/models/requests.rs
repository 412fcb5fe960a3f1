//! What is sent: once, in the provider's shape, with the key where it belongs.

use quaestor_contracts::call_id;
use quaestor_core::ports::chat_model::FinishReason;
use quaestor_model_server::{ModelServer, Reply};
use std::time::Duration;

use crate::providers::{KEY, Kind, ask, clock, openai};

#[tokio::test]
async fn each_provider_is_asked_in_its_own_shape() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let model = kind.chat(&server);
        assert_eq!(ask(&*model).await.reason(), FinishReason::Stop);
        let call = server.settled().await.pop().unwrap();
        let sent = &call.request;
        assert_eq!(call.key.as_deref(), Some(KEY), "{kind:?}");
        assert_eq!(call.model, "tiny", "{kind:?}");
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.header("openai-organization"), None);
        let (path, query, key, limit) = match kind {
            Kind::OpenAi => ("/v1/chat/completions", "", "authorization", "max_tokens"),
            Kind::AzureDated => (
                "/openai/deployments/tiny/chat/completions",
                "api-version=2024-10-21",
                "api-key",
                "max_tokens",
            ),
            Kind::AzureV1 => {
                ("/openai/v1/chat/completions", "", "api-key", "max_completion_tokens")
            }
            Kind::Anthropic => ("/v1/messages", "", "x-api-key", "max_tokens"),
        };
        assert_eq!((sent.path.as_str(), sent.query.as_str()), (path, query), "{kind:?}");
        assert!(sent.header(key).is_some_and(|value| value.ends_with(KEY)), "{kind:?}");
        assert_eq!(sent.body[limit], 200, "{kind:?}: {}", sent.body);
        if kind == Kind::Anthropic {
            assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
            assert_eq!(sent.body["system"][0]["cache_control"]["type"], "ephemeral");
            assert_eq!(sent.body["messages"][0]["role"], "user");
        } else {
            assert_eq!(sent.body["stream_options"]["include_usage"], true);
            assert_eq!(sent.body["messages"][0]["role"], "system");
        }
        assert!(sent.prompt().contains("[1] Revenue in 2019"), "{}", sent.prompt());
        let provider = match kind {
            Kind::OpenAi => "openai:tiny",
            Kind::AzureDated | Kind::AzureV1 => "azure:tiny",
            Kind::Anthropic => "anthropic:tiny",
        };
        assert_eq!(model.name(), provider);
    }
}

#[tokio::test]
async fn the_head_of_an_answer_tells_its_id_and_what_is_left() {
    for kind in Kind::ALL {
        let server = ModelServer::start().await;
        let reply = Reply::text("Yes.")
            .header("x-ratelimit-remaining-requests", "59")
            .header("x-ratelimit-reset-tokens", "6m0s")
            .header("anthropic-ratelimit-tokens-remaining", "1000");
        server.push(reply);
        let model = kind.chat(&server);
        let stream =
            model.stream(&quaestor_contracts::chat_model::request(), call_id()).await.unwrap();
        assert_eq!(stream.request_id, Some(server.calls()[0].request_id.clone()));
        assert_eq!(stream.limits.requests_left, Some(59));
        assert_eq!(stream.limits.tokens_left, Some(1_000));
        assert_eq!(stream.limits.tokens_whole_in, Some(Duration::from_secs(360)));
    }
}

#[tokio::test]
async fn a_server_without_keys_is_sent_none() {
    let server = ModelServer::start().await;
    let mut endpoint = openai(&server.url());
    endpoint.key = String::new().into();
    let model = quaestor_backends::models::openai::OpenAiChat::new(&endpoint, clock()).unwrap();
    assert_eq!(ask(&model).await.reason(), FinishReason::Stop);
    assert_eq!(server.calls()[0].key, None);
}
