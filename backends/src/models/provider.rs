//! What a provider of models does for the rest: it sends one request, once, and tells what
//! came of it. Retries, breakers, failover and accounts are above it (`resilience`).

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use quaestor_core::ids::CallId;
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{ChatDelta, ChatRequest};
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_error::ModelError;

/// What a provider tells in its headers about what the key may still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsTold {
    /// Requests that are left.
    pub requests_left: Option<u64>,
    /// When they are all there again.
    pub requests_whole_in: Option<Duration>,
    /// Tokens that are left.
    pub tokens_left: Option<u64>,
    /// When they are all there again.
    pub tokens_whole_in: Option<Duration>,
}

/// An answer that a provider has begun to stream.
pub struct ProviderStream {
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// What its headers say of its limits.
    pub limits: LimitsTold,
    /// The pieces; dropping them ends the request. A stream that ends without
    /// `ChatDelta::Finished` was cut off.
    pub deltas: BoxStream<'static, Result<ChatDelta, ModelError>>,
}

impl std::fmt::Debug for ProviderStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderStream")
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// A chat model at a provider. Requests are sent under our own name for them, by which one is
/// found whose answer never came.
#[async_trait]
pub trait ChatProvider: Send + Sync + std::fmt::Debug {
    /// `provider:model`.
    fn name(&self) -> &str;

    /// Sends the request. Comes back when the answer's head is there; how long that and
    /// each piece may take is watched by the caller.
    async fn stream(
        &self,
        request: &ChatRequest,
        call: CallId,
    ) -> Result<ProviderStream, ModelError>;
}

/// Vectors as a provider sent them, checked and of unit length.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderVectors {
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// What its headers say of its limits.
    pub limits: LimitsTold,
    /// What it cost; none where the provider does not tell.
    pub usage: Option<Usage>,
}

/// What goes into one request for vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Texts at most.
    pub texts: usize,
    /// Bytes of text at most, however few texts that are; one text always goes.
    pub bytes: usize,
}

/// An embedding model at a provider.
#[async_trait]
pub trait EmbedProvider: Send + Sync + std::fmt::Debug {
    /// `provider:model`, as an index generation keeps it.
    fn model(&self) -> &str;

    /// The length of the vectors.
    fn dimensions(&self) -> u32;

    /// What goes into one request.
    fn limits(&self) -> RequestLimits;

    /// How many of the texts, from the first on, go into one request: at least one.
    fn fits(&self, texts: &[String]) -> usize {
        let (limits, mut bytes) = (self.limits(), 0);
        let fits = texts.iter().take(limits.texts).take_while(|text| {
            bytes += text.len();
            bytes <= limits.bytes
        });
        fits.count().max(1)
    }

    /// Sends one request for no more texts than fit.
    async fn request(
        &self,
        kind: EmbedKind,
        texts: &[String],
        call: CallId,
    ) -> Result<ProviderVectors, ModelError>;
}

/// Scores as a provider sent them, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderScores {
    /// One for each passage, in their order.
    pub scores: Vec<f32>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// What its headers say of its limits.
    pub limits: LimitsTold,
    /// What it cost; none where the provider does not tell.
    pub usage: Option<Usage>,
}

/// A reranking model at a provider.
#[async_trait]
pub trait RerankProvider: Send + Sync + std::fmt::Debug {
    /// `provider:model`.
    fn model(&self) -> &str;

    /// Sends one request.
    async fn request(
        &self,
        query: &str,
        passages: &[String],
        call: CallId,
    ) -> Result<ProviderScores, ModelError>;
}
