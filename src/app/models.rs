//! Who answers, and who makes vectors?

use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::models::limits::Limited;
use quaestor_backends::models::minilm::MiniLm;
use quaestor_backends::models::offline::OfflineModel;
use quaestor_backends::models::resilience::{
    ChatChain, ChatLink, GuardedEmbedder, Guards, Surroundings,
};
use quaestor_core::clock::Clock;
use quaestor_core::ports::chat_model::ChatModel;
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::provider_limits::ProviderLimits;
use secrecy::SecretString;

use super::providers;
use crate::config::{self, ChatProvider, Config, EmbedderChoice, Models, Settings};

/// What stands before every provider in this process.
pub(super) fn guards(
    config: &Config,
    clock: &Arc<dyn Clock>,
    limits: &Arc<dyn ProviderLimits>,
) -> Guards {
    let prices = config.models.prices.reckoned();
    let guards = Guards::new(Surroundings {
        policy: config.models.policy(),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
        cost_of: Arc::new(move |model, _, usage| prices.cost(model, usage)),
    });
    let (models, limits) = (config.models.clone(), limits.clone());
    guards.limited_by(Arc::new(move |model| {
        let (name, quota) = models.limits.of(model)?;
        let key = key_of(&models, model).cloned().unwrap_or_default();
        Some(Limited::new(limits.clone(), name, &key, quota))
    }))
}

/// What a provider knows us by, whose limits it sets.
fn key_of<'a>(models: &'a Models, model: &str) -> Option<&'a SecretString> {
    let azure = &models.azure;
    match model.split(':').next().unwrap_or(model) {
        "openai" => models.openai.api_key.as_ref(),
        "anthropic" => models.anthropic.api_key.as_ref(),
        "azure" => {
            azure.api_key.as_ref().or(azure.ad_token.as_ref()).or(azure.client_secret.as_ref())
        }
        server => models.servers.get(server)?.api_key.as_ref(),
    }
}

pub(super) fn open_embedder(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    guards: &Guards,
) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    let threads = usize::try_from(settings.config.models.embed_threads).unwrap_or(1);
    Ok(match &settings.embedder {
        EmbedderChoice::None(_) => None,
        EmbedderChoice::MiniLm(folder) => {
            let model = MiniLm::open(folder, threads)
                .with_context(|| format!("opening the model folder {}", folder.display()))?;
            Some(Arc::new(model))
        }
        EmbedderChoice::At(model) => {
            let config = &settings.config;
            let dimensions = config.models.embed_dimensions().with_context(|| {
                format!("{model} is unknown here: set models.embed_dimensions to its length")
            })?;
            let provider = providers::embedder(config, model, dimensions, clock)?;
            Some(Arc::new(GuardedEmbedder::new(provider, guards)))
        }
    })
}

pub(super) fn open_chat(
    config: &Config,
    named: &config::ChatChain,
    clock: &Arc<dyn Clock>,
    guards: &Guards,
) -> anyhow::Result<Arc<dyn ChatModel>> {
    let mut chain = Vec::new();
    for provider in &named.0 {
        chain.push(match provider {
            ChatProvider::Offline => ChatLink::Local(Arc::new(OfflineModel::new())),
            ChatProvider::At(model) => ChatLink::Provider(providers::chat(config, model, clock)?),
        });
    }
    let chain = ChatChain::of(chain, guards);
    Ok(Arc::new(chain.context("models.chat names no model: `offline` needs none")?))
}

/// Their names, for people who look at the process's health.
pub(super) fn names(chat: &dyn ChatModel, embedder: Option<&dyn Embedder>) -> Vec<String> {
    let mut names = vec![format!("chat {}", chat.name())];
    names.extend(embedder.map(|embedder| format!("embed {}", embedder.model())));
    names
}
