//! OpenAI's models as Azure serves them: behind deployments, with a key or an Entra token,
//! in the dated form of the interface or in the undated one (`v1`).

mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_openai::config::{AzureConfig, Config, OpenAIConfig};
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use quaestor_core::clock::Clock;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use secrecy::{ExposeSecret, SecretString};

use super::openai::{Access, Connection, LimitName, OpenAiChat, OpenAiEmbedder, secret_header};
use super::wire::Remote;
use token::Tokens;

/// The version of the interface that has no date.
pub const V1: &str = "v1";

/// The first dated version that knows `max_completion_tokens`.
const NEW_LIMIT_SINCE: &str = "2024-12-01";

const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Where a deployment is and what lets requests in.
#[derive(Clone)]
pub struct Deployment {
    /// The deployment's name.
    pub name: String,
    /// The resource's address, such as `https://example.openai.azure.com`.
    pub endpoint: String,
    /// `v1`, or a date such as `2024-10-21`.
    pub api_version: String,
    /// What lets requests in.
    pub credential: Credential,
    /// How long the server may take to accept a connection.
    pub connect_timeout: Duration,
}

/// What lets requests in.
#[derive(Clone)]
pub enum Credential {
    /// A key of the resource.
    Key(SecretString),
    /// A token of Microsoft Entra that somebody else renews.
    Token(SecretString),
    /// An application of Microsoft Entra, which gets tokens itself.
    Application(Application),
}

/// An application that is registered with Microsoft Entra.
#[derive(Clone)]
pub struct Application {
    /// The service that gives tokens, such as `https://login.microsoftonline.com`.
    pub authority: String,
    /// The directory's id.
    pub tenant: String,
    /// The application's id.
    pub client: String,
    /// The application's secret.
    pub secret: SecretString,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A chat model behind a deployment. Nothing is sent yet.
pub fn chat(deployment: &Deployment, clock: Arc<dyn Clock>) -> Result<OpenAiChat, ModelError> {
    Ok(OpenAiChat::at(connection(deployment, clock)?))
}

/// An embedding model behind a deployment. Nothing is sent yet.
pub fn embedder(
    deployment: &Deployment,
    dimensions: u32,
    clock: Arc<dyn Clock>,
) -> Result<OpenAiEmbedder, ModelError> {
    Ok(OpenAiEmbedder::at(connection(deployment, clock)?, dimensions))
}

fn connection(deployment: &Deployment, clock: Arc<dyn Clock>) -> Result<Connection, ModelError> {
    let name = format!("azure:{}", deployment.name);
    let remote = Remote::new(&name, deployment.connect_timeout, clock)?;
    let endpoint = deployment.endpoint.trim_end_matches('/');
    let version = deployment.api_version.as_str();
    let form: Box<dyn Config> = if version == V1 {
        Box::new(OpenAIConfig::new().with_api_base(format!("{endpoint}/openai/v1")))
    } else {
        let config = AzureConfig::new()
            .with_api_base(endpoint)
            .with_deployment_id(&deployment.name)
            .with_api_version(version);
        Box::new(config)
    };
    let limit = if version == V1 || version >= NEW_LIMIT_SINCE {
        LimitName::MaxCompletionTokens
    } else {
        LimitName::MaxTokens
    };
    let entry = match &deployment.credential {
        Credential::Key(key) => Entry::Key(secret_header(&remote, key.expose_secret())?),
        Credential::Token(token) => Entry::Token(bearer(&remote, token.expose_secret())?),
        Credential::Application(application) => {
            Entry::Application(Tokens::new(application.clone(), remote.clone()))
        }
    };
    let access = Arc::new(AzureAccess { form, entry, remote: remote.clone() });
    Ok(Connection { remote, access, model: deployment.name.clone(), limit })
}

struct AzureAccess {
    form: Box<dyn Config>,
    entry: Entry,
    remote: Remote,
}

enum Entry {
    Key(HeaderValue),
    Token(HeaderValue),
    Application(Tokens),
}

impl fmt::Debug for AzureAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureAccess").finish_non_exhaustive()
    }
}

fn bearer(remote: &Remote, token: &str) -> Result<HeaderValue, ModelError> {
    secret_header(remote, &format!("Bearer {token}"))
}

#[async_trait]
impl Access for AzureAccess {
    async fn to(&self, path: &str) -> Result<(String, HeaderMap), ModelError> {
        let address = reqwest::Url::parse_with_params(&self.form.url(path), self.form.query());
        let mut address = address.map_err(|_| {
            self.remote.error(ErrorClass::Refused).because(
                "models.azure.endpoint is no address, such as https://example.openai.azure.com",
            )
        })?;
        if address.query().is_some_and(str::is_empty) {
            address.set_query(None);
        }
        let (name, value) = match &self.entry {
            Entry::Key(key) => (API_KEY, key.clone()),
            Entry::Token(token) => (AUTHORIZATION, token.clone()),
            Entry::Application(tokens) => {
                (AUTHORIZATION, bearer(&self.remote, tokens.token().await?.expose_secret())?)
            }
        };
        Ok((address.into(), HeaderMap::from_iter([(name, value)])))
    }

    async fn refused(&self) {
        if let Entry::Application(tokens) = &self.entry {
            tokens.forget().await;
        }
    }
}
