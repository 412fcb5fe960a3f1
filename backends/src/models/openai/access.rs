//! Where a request goes, and what lets it in.

use std::fmt;

use async_openai::config::{Config, OpenAIConfig};
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use secrecy::{ExposeSecret, SecretString};

use crate::models::wire::Remote;

/// What lets requests in at a server. Its `Debug` shows no secret.
#[async_trait]
pub(in crate::models) trait Access: Send + Sync + fmt::Debug {
    /// The whole address for a path such as `/embeddings`, and the headers to send.
    async fn to(&self, path: &str) -> Result<(String, HeaderMap), ModelError>;

    /// The server did not accept what the last request came with.
    async fn refused(&self) {}
}

/// A server that asks for a key, or for none.
pub(super) struct ByKey {
    config: OpenAIConfig,
    headers: HeaderMap,
}

impl fmt::Debug for ByKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").finish_non_exhaustive()
    }
}

impl ByKey {
    pub(super) fn new(
        remote: &Remote,
        base_url: &str,
        key: &SecretString,
    ) -> Result<Self, ModelError> {
        // Checked first: the crate panics at a key that no header can hold.
        let bearer = secret_header(remote, &format!("Bearer {}", key.expose_secret()))?;
        // The crate reads an organisation and a project from the environment by itself;
        // another server than OpenAI must not get to know them.
        let config = OpenAIConfig::new()
            .with_api_base(base_url.trim_end_matches('/'))
            .with_api_key(key.expose_secret())
            .with_org_id("")
            .with_project_id("");
        let mut headers = config.headers();
        if key.expose_secret().is_empty() {
            headers.remove(AUTHORIZATION);
        } else {
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(Self { config, headers })
    }
}

#[async_trait]
impl Access for ByKey {
    async fn to(&self, path: &str) -> Result<(String, HeaderMap), ModelError> {
        Ok((self.config.url(path), self.headers.clone()))
    }
}

/// A header's value that no `Debug` shows.
pub(in crate::models) fn secret_header(
    remote: &Remote,
    text: &str,
) -> Result<HeaderValue, ModelError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        remote
            .error(ErrorClass::Credentials)
            .because("the key holds characters that cannot be sent")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
