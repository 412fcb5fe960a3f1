//! Models behind OpenAI's HTTP interface, at OpenAI or any server that speaks it.

mod chat;
mod embed;
mod failure;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use quaestor_core::clock::Clock;
use quaestor_core::ports::model_error::ModelError;
use secrecy::{ExposeSecret, SecretString};

pub use chat::OpenAiChat;
pub use embed::OpenAiEmbedder;
use failure::Failures;
use transport::Transport;

/// Where a model is and how to reach it.
#[derive(Clone)]
pub struct Endpoint {
    /// The provider's name as the configuration has it, such as `openai`.
    pub provider: String,
    /// The model's name at the provider.
    pub model: String,
    /// Up to and with the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; servers without keys ignore it.
    pub key: SecretString,
    /// How long the server may take to accept a connection.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// What chat and embeddings share: the client, and how its errors are told.
#[derive(Clone)]
struct Connection {
    client: Client<OpenAIConfig>,
    endpoint: Endpoint,
    failures: Failures,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl Connection {
    fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let failures = Failures::new(format!("{}:{}", endpoint.provider, endpoint.model));
        // No redirects: the key would go wherever a server points.
        let http = reqwest::Client::builder()
            .connect_timeout(endpoint.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failures.unavailable(error))?;
        let config = OpenAIConfig::new()
            .with_api_base(endpoint.base_url.trim_end_matches('/'))
            .with_api_key(endpoint.key.expose_secret());
        let client =
            Client::build(http.clone(), config).with_http_service(Transport::new(http, clock));
        Ok(Self { client, endpoint, failures })
    }
}
