//! Which client speaks to the provider of a model?

use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::models::anthropic::{AnthropicChat, AnthropicEndpoint};
use quaestor_backends::models::azure::{self, Application, Credential, Deployment};
use quaestor_backends::models::openai::{Endpoint, OpenAiChat, OpenAiEmbedder};
use quaestor_backends::models::provider::{ChatProvider, EmbedProvider};
use quaestor_core::clock::Clock;

use crate::config::{Config, ModelAt, ProviderName};

/// A chat model. What is missing for it was refused when the configuration was read.
pub(super) fn chat(
    config: &Config,
    at: &ModelAt,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn ChatProvider>> {
    let clock = clock.clone();
    Ok(match &at.provider {
        ProviderName::Azure => Arc::new(azure::chat(&deployment(config, at)?, clock)?),
        ProviderName::Anthropic => {
            let anthropic = &config.models.anthropic;
            let endpoint = AnthropicEndpoint {
                model: at.model.clone(),
                base_url: anthropic.base_url.clone(),
                key: anthropic.api_key.clone().unwrap_or_default(),
                connect_timeout: config.models.timeouts.connect(),
            };
            Arc::new(AnthropicChat::new(&endpoint, clock)?)
        }
        ProviderName::OpenAi | ProviderName::Server(_) => {
            Arc::new(OpenAiChat::new(&endpoint(config, at)?, clock)?)
        }
    })
}

/// An embedding model with vectors of this length.
pub(super) fn embedder(
    config: &Config,
    at: &ModelAt,
    dimensions: u32,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn EmbedProvider>> {
    let clock = clock.clone();
    Ok(match &at.provider {
        ProviderName::Azure => {
            Arc::new(azure::embedder(&deployment(config, at)?, dimensions, clock)?)
        }
        ProviderName::Anthropic => anyhow::bail!("anthropic serves no embedding models"),
        ProviderName::OpenAi | ProviderName::Server(_) => {
            Arc::new(OpenAiEmbedder::new(&endpoint(config, at)?, dimensions, clock)?)
        }
    })
}

fn endpoint(config: &Config, at: &ModelAt) -> anyhow::Result<Endpoint> {
    let models = &config.models;
    let (base_url, key) = match &at.provider {
        ProviderName::Server(name) => {
            let server = models.servers.get(name);
            let server = server.with_context(|| format!("there is no [models.servers.{name}]"))?;
            (&server.base_url, &server.api_key)
        }
        _ => (&models.openai.base_url, &models.openai.api_key),
    };
    Ok(Endpoint {
        provider: at.provider.to_string(),
        model: at.model.clone(),
        base_url: base_url.clone(),
        key: key.clone().unwrap_or_default(),
        connect_timeout: config.models.timeouts.connect(),
    })
}

fn deployment(config: &Config, at: &ModelAt) -> anyhow::Result<Deployment> {
    let azure = &config.models.azure;
    let credential = match (&azure.api_key, &azure.ad_token) {
        (Some(key), _) => Credential::Key(key.clone()),
        (None, Some(token)) => Credential::Token(token.clone()),
        (None, None) => Credential::Application(Application {
            authority: azure.authority_host.clone(),
            tenant: azure.tenant_id.clone().context("AZURE_TENANT_ID is not set")?,
            client: azure.client_id.clone().context("AZURE_CLIENT_ID is not set")?,
            secret: azure.client_secret.clone().context("AZURE_CLIENT_SECRET is not set")?,
        }),
    };
    Ok(Deployment {
        name: at.model.clone(),
        endpoint: azure.endpoint.clone().context("AZURE_OPENAI_ENDPOINT is not set")?,
        api_version: azure.api_version.clone(),
        credential,
        connect_timeout: config.models.timeouts.connect(),
    })
}
