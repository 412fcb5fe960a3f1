//! The rerankers keep their contract, and the client of Cohere's interface tells what a
//! server that misbehaves in known ways has done.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

#[path = "../bert/tests/cross_encoder/model.rs"]
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quaestor_backends::models::cohere::{CohereReranker, RerankEndpoint, Shape};
use quaestor_backends::models::cross_encoder::LocalReranker;
use quaestor_backends::models::in_time::InTime;
use quaestor_backends::models::provider::{ProviderScores, RerankProvider};
use quaestor_backends::models::resilience::{GuardedReranker, Guards, Policy, Surroundings};
use quaestor_contracts::reranker::{
    each_passage_gets_a_score_in_the_order_of_the_passages, odd_texts_are_scored_too,
};
use quaestor_contracts::{call_id, call_scope, reranker_contract};
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::IdSource;
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::reranker::Reranker;
use quaestor_model_server::{Call, ModelServer, Reply};
use serde_json::{Value, json};

/// The small cross-encoder; its folder goes with it.
#[derive(Debug)]
struct Small(LocalReranker, #[expect(dead_code, reason = "holds the folder")] tempfile::TempDir);

#[async_trait]
impl Reranker for Small {
    fn model(&self) -> &str {
        self.0.model()
    }

    async fn rerank(
        &self,
        query: &str,
        passages: &[String],
        scope: &CallScope,
    ) -> Result<Vec<f32>, ModelError> {
        self.0.rerank(query, passages, scope).await
    }
}

async fn small() -> Small {
    let folder = model::folder(&model::weights(1));
    Small(LocalReranker::open(folder.path(), 2).unwrap(), folder)
}

reranker_contract!(small);

#[tokio::test]
async fn scores_of_the_cross_encoder_are_the_logistic_of_the_reference() {
    // The first pair of the golden file, whose logit is 0.995455.
    let passage = "total net sales were $ 12 million in 2022 .".to_owned();
    let reranker = small().await;
    let scored = reranker.rerank("what was total net sales", &[passage], &call_scope()).await;
    let wanted = 1.0 / (1.0 + (-0.995_455_f32).exp());
    assert!((scored.unwrap()[0] - wanted).abs() < 1e-5);
    assert!(reranker.model().starts_with("cross-encoder:"));
}

#[test]
fn a_folder_of_an_embedding_model_is_no_cross_encoder() {
    let mut weights = model::weights(1);
    weights.retain(|(name, _)| !name.starts_with("classifier"));
    let folder = model::folder(&weights);
    let said = LocalReranker::open(folder.path(), 1).unwrap_err().to_string();
    assert!(said.contains("no weight classifier.weight"), "{said}");
}

fn client(server: &ModelServer, shape: Shape) -> CohereReranker {
    let endpoint = RerankEndpoint {
        provider: "cohere".to_owned(),
        model: "rerank-v3.5".to_owned(),
        base_url: format!("{}/v2/", server.url()),
        key: Some("co-very-secret".to_owned().into()),
        shape,
        connect_timeout: Duration::from_secs(5),
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at_millis(1_445_412_470_000));
    let client = CohereReranker::new(&endpoint, clock).unwrap();
    for shown in [format!("{endpoint:?}"), format!("{client:?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    client
}

fn passages() -> Vec<String> {
    ["one", "two", "three"].map(str::to_owned).to_vec()
}

async fn asked(shape: Shape, body: Value) -> (Result<ProviderScores, ModelError>, Call) {
    let server = ModelServer::start().await;
    server.push(Reply::json(body));
    let answered = client(&server, shape).request("which?", &passages(), call_id()).await;
    let calls = server.settled().await;
    assert_eq!(calls.len(), 1, "one request, once");
    (answered, calls.into_iter().next().unwrap())
}

#[tokio::test]
async fn a_provider_behind_its_guard_keeps_the_contract_and_every_call_is_written_down() {
    let server = ModelServer::start().await;
    server.respond(|request| {
        let texts = request.texts();
        Reply::scores(texts.iter().map(|text| text.len() as f32).collect())
    });
    let guards = Guards::new(Surroundings {
        policy: Policy::default(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(1)),
        cost_of: Arc::new(|_, _, _| 0),
        ids: IdSource::new(Arc::new(SystemClock), Arc::new(SeededEntropy::new(2))),
        ledger: None,
    });
    let guarded = GuardedReranker::new(Arc::new(client(&server, Shape::Cohere)), &guards);
    each_passage_gets_a_score_in_the_order_of_the_passages(&guarded).await;
    odd_texts_are_scored_too(&guarded).await;
    let scope = call_scope();
    guarded.rerank("which?", &passages(), &scope).await.unwrap();
    let written = scope.calls.take();
    let calls = server.settled().await;
    let last = calls.last().unwrap();
    assert_eq!(last.key.as_deref(), Some("co-very-secret"));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].request_id.as_ref(), Some(&last.request_id));
    // It bills by search and tells no tokens: what is written down is our estimate.
    assert!(written[0].estimated && written[0].usage.input_tokens > 0);
    assert_eq!(written[0].model, "cohere:rerank-v3.5");
}

#[tokio::test]
async fn one_request_gives_every_passage_its_score() {
    let body = json!({
        "results": [
            {"index": 2, "relevance_score": 0.9, "document": {"text": "three"}},
            {"index": 0, "relevance_score": 0.5},
            {"index": 1, "relevance_score": 0.1},
        ],
        "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 42.0}},
    });
    let (scores, call) = asked(Shape::Cohere, body).await;
    let scores = scores.unwrap();
    assert_eq!(scores.scores, [0.5, 0.1, 0.9]);
    assert_eq!(scores.request_id, Some(call.request_id));
    assert_eq!(scores.usage.unwrap().input_tokens, 42);
    let wanted = json!({
        "model": "rerank-v3.5", "query": "which?", "documents": ["one", "two", "three"], "top_n": 3
    });
    assert_eq!(call.request.body, wanted);
}

#[tokio::test]
async fn servers_that_call_things_otherwise_are_understood() {
    let body = json!([
        {"index": 1, "score": 3.5}, {"index": 0, "score": -1.0}, {"index": 2, "score": 0.0},
    ]);
    let (scores, call) = asked(Shape::TextEmbeddingsInference, body).await;
    let scores = scores.unwrap();
    assert_eq!((scores.scores, scores.usage), (vec![-1.0, 3.5, 0.0], None));
    let wanted = json!({"query": "which?", "texts": ["one", "two", "three"], "truncate": true});
    assert_eq!(call.request.body, wanted);
    let jina = json!({
        "model": "m", "usage": {"total_tokens": 7},
        "results": [
            {"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 2},
            {"index": 2, "relevance_score": 3},
        ],
    });
    let (scores, _) = asked(Shape::Cohere, jina).await;
    assert_eq!(scores.unwrap().usage.unwrap().input_tokens, 7);
}

#[tokio::test]
async fn what_is_no_order_is_refused_with_what_is_wrong() {
    let scored = |index: u32| json!({"index": index, "relevance_score": 0.5});
    for (body, said) in [
        (json!({"results": [scored(0), scored(1)]}), "fewer scores than passages"),
        (json!({"results": [scored(0), scored(0), scored(1)]}), "two scores for one passage"),
        (json!({"results": [scored(3)]}), "a passage that was not sent"),
        (json!({"results": [{"index": 0, "relevance_score": 1e300}]}), "no number"),
        (json!({"message": "secret words"}), ""),
        (json!("nothing"), ""),
    ] {
        let (refused, call) = asked(Shape::Cohere, body.clone()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.class, ErrorClass::Malformed, "{body}");
        assert!(error.to_string().contains(said), "{error} lacks {said}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(error.request_id, Some(call.request_id));
    }
}

#[tokio::test]
async fn a_refusal_tells_its_class_and_no_secret() {
    for (status, class) in [
        (400, ErrorClass::Refused),
        (401, ErrorClass::Credentials),
        (402, ErrorClass::Quota),
        (413, ErrorClass::TooLong),
        (429, ErrorClass::Overloaded),
        (500, ErrorClass::Unavailable),
        (503, ErrorClass::Overloaded),
        (302, ErrorClass::Refused),
    ] {
        let server = ModelServer::start().await;
        let body = r#"{"message": "the key co-very-secret may not ask which?"}"#;
        let reply = Reply::status(status, "application/json", body);
        server.push(reply.header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"));
        let refused =
            client(&server, Shape::Cohere).request("which?", &passages(), call_id()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.class, class, "{status}");
        let wait = class.is_transient().then_some(Duration::from_secs(10));
        assert_eq!(error.retry_after, wait, "{status}");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("secret") && !shown.contains("which"), "{shown}");
        assert_eq!(server.settled().await.len(), 1, "{status}: sent once");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let server = ModelServer::start().await;
    let client = client(&server, Shape::Cohere);
    drop(server);
    let error = client.request("which?", &passages(), call_id()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(!format!("{error:?}").contains("/v2/rerank"));
}

/// Answers after a signal, with what it is told.
#[derive(Debug, Default)]
struct Waiting {
    go: tokio::sync::Notify,
    asked: AtomicUsize,
    scores: Vec<f32>,
}

#[async_trait]
impl Reranker for Waiting {
    fn model(&self) -> &str {
        "test:waiting"
    }

    async fn rerank(
        &self,
        _query: &str,
        _passages: &[String],
        _scope: &CallScope,
    ) -> Result<Vec<f32>, ModelError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.go.notified().await;
        Ok(self.scores.clone())
    }
}

#[tokio::test]
async fn a_reranker_that_is_too_slow_is_not_waited_for() {
    let clock = ManualClock::at_millis(0);
    let waiting = Arc::new(Waiting { scores: vec![1.0, 2.0, 3.0], ..Waiting::default() });
    let limit = Duration::from_millis(500);
    let in_time = InTime::new(waiting.clone(), limit, Arc::new(clock.clone()));
    let (scope, passages) = (call_scope(), passages());
    let answer = async { in_time.rerank("which?", &passages, &scope).await };
    let late = async {
        tokio::task::yield_now().await;
        clock.advance(limit);
    };
    let (answered, ()) = tokio::join!(answer, late);
    let error = answered.unwrap_err();
    assert_eq!(error.class, ErrorClass::TooSlow);
    assert!(error.to_string().contains("500 ms"), "{error}");
    waiting.go.notify_one();
    assert_eq!(in_time.rerank("which?", &passages, &scope).await.unwrap(), [1.0, 2.0, 3.0]);
}

#[tokio::test]
async fn scores_that_do_not_fit_the_passages_are_an_error() {
    for scores in [vec![1.0], vec![1.0, f32::NAN, 2.0]] {
        let waiting = Arc::new(Waiting { scores, ..Waiting::default() });
        waiting.go.notify_one();
        let limit = Duration::from_secs(3600);
        let in_time = InTime::new(waiting.clone(), limit, Arc::new(SystemClock));
        let error = in_time.rerank("which?", &passages(), &call_scope()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Malformed);
        // Nothing to order is nothing to ask.
        assert!(in_time.rerank("which?", &[], &call_scope()).await.unwrap().is_empty());
        assert_eq!(waiting.asked.load(Ordering::Relaxed), 1);
    }
}
