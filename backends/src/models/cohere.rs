//! Reranking behind Cohere's HTTP interface (`POST …/rerank`, version 2): at Cohere, or at
//! any server that speaks it, as Jina's and vLLM's do. Servers of Hugging Face's
//! text-embeddings-inference differ in the names of a few fields.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use quaestor_core::clock::Clock;
use quaestor_core::ids::CallId;
use quaestor_core::model::Usage;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::openai::secret_header;
use super::provider::{ProviderScores, RerankProvider};
use super::wire::Remote;

/// What a server calls the fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `documents`, and a model's name.
    Cohere,
    /// `texts`: the server has one model.
    TextEmbeddingsInference,
}

/// Where a model is and how to reach it.
#[derive(Clone)]
pub struct RerankEndpoint {
    /// The provider's name as the configuration has it, such as `cohere`.
    pub provider: String,
    /// The model's name at the provider.
    pub model: String,
    /// Up to and without `/rerank`, such as `https://api.cohere.com/v2`.
    pub base_url: String,
    /// The key; none for servers that ask for none.
    pub key: Option<SecretString>,
    /// What it calls things.
    pub shape: Shape,
    /// How long the server may take to accept a connection.
    pub connect_timeout: Duration,
}

impl fmt::Debug for RerankEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RerankEndpoint")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A reranking model at an endpoint.
#[derive(Debug)]
pub struct CohereReranker {
    remote: Remote,
    asked_for: String,
    shape: Shape,
    url: String,
    headers: HeaderMap,
}

impl CohereReranker {
    /// Makes the client; nothing is sent yet.
    pub fn new(endpoint: &RerankEndpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let name = format!("{}:{}", endpoint.provider, endpoint.model);
        let remote = Remote::new(&name, endpoint.connect_timeout, clock)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &endpoint.key {
            let bearer = format!("Bearer {}", key.expose_secret());
            headers.insert(AUTHORIZATION, secret_header(&remote, &bearer)?);
        }
        Ok(Self {
            remote,
            asked_for: endpoint.model.clone(),
            shape: endpoint.shape,
            url: format!("{}/rerank", endpoint.base_url.trim_end_matches('/')),
            headers,
        })
    }

    fn body(&self, query: &str, passages: &[String]) -> Value {
        match self.shape {
            Shape::Cohere => json!({
                "model": self.asked_for,
                "query": query,
                "documents": passages,
                // All of them: some servers give only a few otherwise.
                "top_n": passages.len(),
            }),
            Shape::TextEmbeddingsInference => {
                json!({ "query": query, "texts": passages, "truncate": true })
            }
        }
    }
}

/// A list of results, bare or in an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Whole(Whole),
    Bare(Vec<Scored>),
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    id: Option<String>,
    results: Vec<Scored>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    meta: Value,
}

#[derive(Deserialize)]
struct Scored {
    index: usize,
    #[serde(alias = "score")]
    relevance_score: f32,
}

impl Whole {
    /// What was read, where the server counts it in tokens.
    fn usage(&self) -> Option<Usage> {
        let told = [
            self.usage.get("total_tokens"),
            self.usage.get("prompt_tokens"),
            self.meta.pointer("/tokens/input_tokens"),
            self.meta.pointer("/billed_units/input_tokens"),
        ];
        let tokens = told.into_iter().flatten().find_map(Value::as_f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let count = |tokens: f64| tokens.clamp(0.0, 1e15) as u64;
        tokens.map(|tokens| Usage { input_tokens: count(tokens), ..Usage::default() })
    }
}

#[async_trait]
impl RerankProvider for CohereReranker {
    fn model(&self) -> &str {
        &self.remote.name
    }

    async fn request(
        &self,
        query: &str,
        passages: &[String],
        call: CallId,
    ) -> Result<ProviderScores, ModelError> {
        let body = self.body(query, passages);
        let mut opened = self.remote.post(&self.url, self.headers.clone(), &body, call).await?;
        let answer: Answer = opened.json().await?;
        let malformed = |reason: &str| opened.error(ErrorClass::Malformed).because(reason);
        let (results, usage, id) = match answer {
            Answer::Whole(whole) => {
                let usage = whole.usage();
                (whole.results, usage, whole.id)
            }
            Answer::Bare(results) => (results, None, None),
        };
        let mut scores: Vec<Option<f32>> = vec![None; passages.len()];
        for scored in results {
            match scores.get_mut(scored.index) {
                Some(free @ None) if scored.relevance_score.is_finite() => {
                    *free = Some(scored.relevance_score);
                }
                Some(None) => return Err(malformed("a score that is no number")),
                Some(Some(_)) => return Err(malformed("two scores for one passage")),
                None => return Err(malformed("a score for a passage that was not sent")),
            }
        }
        let scores = scores.into_iter().collect::<Option<Vec<f32>>>();
        Ok(ProviderScores {
            scores: scores.ok_or_else(|| malformed("fewer scores than passages"))?,
            request_id: opened.told.request_id.clone().or(id),
            limits: opened.told.limits,
            usage,
        })
    }
}
