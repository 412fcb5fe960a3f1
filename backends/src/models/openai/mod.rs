//! Models behind OpenAI's HTTP interface, at OpenAI or any server that speaks it.
//!
//! The shape of requests, their addresses and headers are those of `async-openai`; fields
//! of responses that are foreign to it are tolerated. How a stream is read is our own
//! (`wire`), since the crate's reader holds whatever comes in memory, reads on by itself
//! after the answer was dropped, and does not get over a byte order mark.

mod access;
mod chat;
mod dialect;
mod embed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Clock;
use quaestor_core::ports::model_error::ModelError;
use secrecy::SecretString;

pub(super) use access::{Access, secret_header};
pub use chat::OpenAiChat;
pub use embed::OpenAiEmbedder;

use super::wire::Remote;
use access::ByKey;

/// Where a model is and how to reach it.
#[derive(Clone)]
pub struct Endpoint {
    /// The provider's name as the configuration has it, such as `openai`.
    pub provider: String,
    /// The model's name at the provider.
    pub model: String,
    /// Up to and with the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; none is sent where it is empty.
    pub key: SecretString,
    /// How long the server may take to accept a connection.
    pub connect_timeout: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// What chat and embeddings share, at OpenAI and at Azure.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) remote: Remote,
    pub(super) access: Arc<dyn Access>,
    /// The model's name at the provider.
    pub(super) model: String,
    /// How a request limits its answer.
    pub(super) limit: LimitName,
}

/// OpenAI's newer models refuse the old name, most other servers know only that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitName {
    MaxTokens,
    MaxCompletionTokens,
}

impl Connection {
    fn new(endpoint: &Endpoint, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let name = format!("{}:{}", endpoint.provider, endpoint.model);
        let remote = Remote::new(&name, endpoint.connect_timeout, clock)?;
        let access = Arc::new(ByKey::new(&remote, &endpoint.base_url, &endpoint.key)?);
        let limit = if endpoint.base_url.starts_with("https://api.openai.com") {
            LimitName::MaxCompletionTokens
        } else {
            LimitName::MaxTokens
        };
        Ok(Self { remote, access, model: endpoint.model.clone(), limit })
    }
}
