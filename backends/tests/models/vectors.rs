//! Vectors, and what is no vector of the model (F28).

use quaestor_backends::models::provider::ProviderVectors;
use quaestor_contracts::call_id;
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_model_server::{ModelServer, Reply, Vectors};

use crate::providers::{Kind, clock, openai};

const KINDS: [Kind; 3] = [Kind::OpenAi, Kind::AzureDated, Kind::AzureV1];

async fn embed(kind: Kind, reply: Reply, length: u32) -> Result<ProviderVectors, ModelError> {
    let server = ModelServer::start().await;
    server.push(reply);
    let texts = ["revenue grew".to_owned(), "costs fell".to_owned()];
    let vectors =
        kind.embedder(&server, length).request(EmbedKind::Passage, &texts, call_id()).await;
    let calls = server.settled().await;
    assert_eq!(calls.len(), 1, "{kind:?}: it is asked once");
    if let Ok(vectors) = &vectors {
        let id = vectors.request_id.as_deref();
        assert_eq!(id, Some(calls[0].request_id.as_str()));
        assert_eq!(vectors.usage.unwrap().input_tokens, calls[0].input_tokens);
    }
    vectors
}

#[tokio::test]
async fn vectors_are_ordered_by_their_index_and_of_unit_length() {
    for kind in KINDS {
        let wanted = embed(kind, Reply::vectors(Vectors::Good(6)), 6).await.unwrap().vectors;
        assert_ne!(wanted[0], wanted[1]);
        let other = embed(kind, Reply::vectors(Vectors::Reordered(6)), 6).await.unwrap().vectors;
        assert_eq!(other, wanted, "{kind:?}");
        let scaled = serde_json::json!({"data": [
            {"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}],
            "usage": {"prompt_tokens": 4}, "foreign": 1});
        let told = embed(kind, Reply::json(scaled), 2).await.unwrap();
        assert_eq!(told.vectors, [[0.6, 0.8], [0.0, 1.0]], "{kind:?}");
    }
}

#[tokio::test]
async fn vectors_that_cannot_be_right_are_refused_for_good() {
    for kind in KINDS {
        for (reply, part) in [
            (Vectors::Good(5), "5 numbers instead of 6"),
            (Vectors::OneFewer(6), "fewer vectors"),
            (Vectors::SameIndex(6), "two vectors for the same text"),
            (Vectors::NotANumber(6), "numbers that are none"),
            (Vectors::Zero(6), "without a direction"),
        ] {
            let error = embed(kind, Reply::vectors(reply), 6).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Unusable, "{kind:?} {reply:?}");
            assert!(!error.class.is_transient());
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.request_id.is_some());
        }
        let foreign = serde_json::json!({"data": [
            {"index": 0, "embedding": [3, 4]}, {"index": 2, "embedding": [3, 4]}]});
        let error = embed(kind, Reply::json(foreign), 2).await.unwrap_err();
        assert!(error.to_string().contains("was not sent"), "{error}");
        let huge = serde_json::json!({"data": [
            {"index": 0, "embedding": [3e38, 3e38]}, {"index": 1, "embedding": [0, 1]}]});
        let error = embed(kind, Reply::json(huge), 2).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unusable, "{error}");
    }
}

#[tokio::test]
async fn what_is_no_list_of_vectors_is_malformed() {
    for kind in KINDS {
        for reply in [
            Reply::status(200, "application/json", "very-secret"),
            Reply::json(serde_json::json!({"data": "very-secret"})),
            Reply::json(serde_json::json!({"data": [{"index": 0, "embedding": ["x"]}]})),
        ] {
            let error = embed(kind, reply, 2).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Malformed, "{error:?}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let error = embed(kind, Reply::error(200, "insufficient_quota"), 2).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Quota);
    }
}

#[tokio::test]
async fn texts_are_sent_as_the_interface_takes_them() {
    let server = ModelServer::start().await;
    let model = Kind::OpenAi.embedder(&server, 8);
    let texts: Vec<String> = (0..200).map(|n| format!("text {n}")).collect();
    assert_eq!(model.fits(&texts), 64);
    assert_eq!(model.fits(&vec!["x".repeat(100_000); 9]), 2);
    assert_eq!(model.fits(&["x".repeat(10_000_000)]), 1);
    let odd = [String::new(), "word ".repeat(20_000)];
    model.request(EmbedKind::Passage, &odd, call_id()).await.unwrap();
    let sent = server.calls()[0].request.texts();
    assert_eq!(sent[0], " ", "an empty text is refused by the interface");
    assert!(sent[1].len() > 10_000 && sent[1].len() < 40_000, "{}", sent[1].len());
    assert_eq!(server.calls()[0].request.body["dimensions"], serde_json::Value::Null);
    // A model that can give shorter vectors is told which.
    let mut endpoint = openai(&server.url());
    endpoint.model = "text-embedding-3-small".to_owned();
    let model =
        quaestor_backends::models::openai::OpenAiEmbedder::new(&endpoint, 256, clock()).unwrap();
    quaestor_backends::models::provider::EmbedProvider::request(
        &model,
        EmbedKind::Query,
        &odd,
        call_id(),
    )
    .await
    .unwrap();
    assert_eq!(server.calls()[1].request.body["dimensions"], 256);
}
