//! Anthropic's models behind its Messages interface.
//!
//! <https://docs.anthropic.com/en/api/messages>

mod dialect;
mod prompt;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use quaestor_core::clock::Clock;
use quaestor_core::ids::CallId;
use quaestor_core::ports::chat_model::ChatRequest;
use quaestor_core::ports::model_error::ModelError;
use secrecy::{ExposeSecret, SecretString};

use super::openai::secret_header;
use super::provider::{ChatProvider, ProviderStream};
use super::wire::{Remote, deltas};
use dialect::AnthropicDialect;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The version of the interface that this speaks; there is no later one.
const SPOKEN: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Where a model is and how to reach it.
#[derive(Clone)]
pub struct AnthropicEndpoint {
    /// The model's name, such as `claude-sonnet-4-5`.
    pub model: String,
    /// The address without the version, such as `https://api.anthropic.com`.
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// How long the server may take to accept a connection.
    pub connect_timeout: Duration,
}

impl fmt::Debug for AnthropicEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnthropicEndpoint").field("model", &self.model).finish_non_exhaustive()
    }
}

/// A chat model at an endpoint.
#[derive(Debug)]
pub struct AnthropicChat {
    remote: Remote,
    model: String,
    url: String,
    headers: HeaderMap,
}

impl AnthropicChat {
    /// Makes the client; nothing is sent yet.
    pub fn new(endpoint: &AnthropicEndpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let name = format!("anthropic:{}", endpoint.model);
        let remote = Remote::new(&name, endpoint.connect_timeout, clock)?;
        let key = secret_header(&remote, endpoint.key.expose_secret())?;
        let base = endpoint.base_url.trim_end_matches('/').trim_end_matches("/v1");
        Ok(Self {
            remote,
            model: endpoint.model.clone(),
            url: format!("{base}/v1/messages"),
            headers: HeaderMap::from_iter([(API_KEY, key), (VERSION, SPOKEN)]),
        })
    }
}

#[async_trait]
impl ChatProvider for AnthropicChat {
    fn name(&self) -> &str {
        &self.remote.name
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        call: CallId,
    ) -> Result<ProviderStream, ModelError> {
        let body = prompt::body(&self.model, request);
        let opened = self.remote.post(&self.url, self.headers.clone(), &body, call).await?;
        Ok(ProviderStream {
            request_id: opened.told.request_id.clone(),
            limits: opened.told.limits,
            deltas: deltas(opened.events(), AnthropicDialect::default()),
        })
    }
}
