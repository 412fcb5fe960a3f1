//! Who answers, who makes vectors, and who puts passages in order?

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use quaestor_backends::models::cohere::{CohereReranker, RerankEndpoint, Shape};
use quaestor_backends::models::cross_encoder::LocalReranker;
use quaestor_backends::models::in_time::InTime;
use quaestor_backends::models::limits::Limited;
use quaestor_backends::models::minilm::MiniLm;
use quaestor_backends::models::offline::OfflineModel;
use quaestor_backends::models::resilience::{
    ChatChain, ChatLink, GuardedEmbedder, GuardedReranker, Guards, Surroundings,
};
use quaestor_core::clock::Clock;
use quaestor_core::embedders::Embedders;
use quaestor_core::ports::chat_model::ChatModel;
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::reranker::Reranker;
use quaestor_core::ports::store::Money;
use quaestor_core::retrieval::Reranking;

use quaestor_core::ports::provider_limits::ProviderLimits;
use secrecy::SecretString;

use super::{World, providers};
use crate::config::{self, ChatProvider, Config, EmbedderChoice, Models, RerankSetting, Settings};

/// What stands before every provider in this process.
pub(super) fn guards(
    config: &Config,
    world: &World,
    limits: &Arc<dyn ProviderLimits>,
    ledger: Option<Arc<dyn Money>>,
) -> Guards {
    let prices = config.models.prices.reckoned();
    let guards = Guards::new(Surroundings {
        policy: config.models.policy(),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
        cost_of: Arc::new(move |model, _, usage| prices.cost(model, usage)),
        ids: world.ids.clone(),
        ledger,
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

/// Who makes vectors: the model of new collections first.
pub(super) fn open_embedders(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    guards: &Guards,
) -> anyhow::Result<Embedders> {
    let models = &settings.config.models;
    let first = (settings.embedder.clone(), models.embed_dimensions());
    let mut opened: Vec<Arc<dyn Embedder>> = Vec::new();
    for (choice, length) in std::iter::once(&first).chain(&settings.further_embedders) {
        let embedder = open_embedder(&settings.config, choice, *length, clock, guards)?;
        opened.extend(embedder);
    }
    Ok(Embedders::new(opened))
}

fn open_embedder(
    config: &Config,
    choice: &EmbedderChoice,
    length: Option<u32>,
    clock: &Arc<dyn Clock>,
    guards: &Guards,
) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    let threads = usize::try_from(config.models.embed_threads).unwrap_or(1);
    Ok(match choice {
        EmbedderChoice::None(_) => None,
        EmbedderChoice::MiniLm(folder) => {
            let model = MiniLm::open(folder, threads)
                .with_context(|| format!("opening the model folder {}", folder.display()))?;
            Some(Arc::new(model))
        }
        EmbedderChoice::At(model) => {
            let dimensions = length.with_context(|| {
                format!("{model} is unknown here: set models.embed_dimensions to its length")
            })?;
            let provider = providers::embedder(config, model, dimensions, clock)?;
            Some(Arc::new(GuardedEmbedder::new(provider, guards)))
        }
    })
}

/// Who looks at the best passages again, where anybody does.
pub(super) fn open_reranking(
    config: &Config,
    clock: &Arc<dyn Clock>,
    guards: &Guards,
) -> anyhow::Result<Option<Reranking>> {
    let models = &config.models;
    let remote = |model: &str, provider: &str, shape| -> anyhow::Result<Arc<dyn Reranker>> {
        let endpoint = RerankEndpoint {
            provider: provider.to_owned(),
            model: model.to_owned(),
            base_url: models.rerank_url.clone(),
            key: models.rerank_api_key.clone(),
            shape,
            connect_timeout: models.timeouts.connect(),
        };
        let provider = CohereReranker::new(&endpoint, clock.clone())?;
        Ok(Arc::new(GuardedReranker::new(Arc::new(provider), guards)))
    };
    let reranker: Arc<dyn Reranker> = match &models.rerank {
        RerankSetting::None => return Ok(None),
        RerankSetting::Cohere(model) => remote(model, "cohere", Shape::Cohere)?,
        RerankSetting::Tei(model) => remote(model, "tei", Shape::TextEmbeddingsInference)?,
        RerankSetting::CrossEncoder(folder) => {
            let threads = usize::try_from(models.embed_threads).unwrap_or(1);
            let model = LocalReranker::open(folder, threads)
                .with_context(|| format!("opening the model folder {}", folder.display()))?;
            Arc::new(model)
        }
    };
    let limit = Duration::from_millis(models.rerank_ms);
    Ok(Some(Reranking {
        reranker: Arc::new(InTime::new(reranker, limit, clock.clone())),
        candidates: models.rerank_candidates,
    }))
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
pub(super) fn names(
    chat: &dyn ChatModel,
    embedders: &Embedders,
    reranking: Option<&Reranking>,
) -> Vec<String> {
    let mut names = vec![format!("chat {}", chat.name())];
    names.extend(embedders.all().map(|embedder| format!("embed {}", embedder.model())));
    names.extend(reranking.map(|reranking| format!("rerank {}", reranking.reranker.model())));
    names
}
