//! Who answers, and who makes vectors?

use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::models::chain::ChatChain;
use quaestor_backends::models::minilm::MiniLm;
use quaestor_backends::models::offline::OfflineModel;
use quaestor_backends::models::openai::{Endpoint, OpenAiChat, OpenAiEmbedder, Timeouts};
use quaestor_core::clock::Clock;
use quaestor_core::ports::chat_model::ChatModel;
use quaestor_core::ports::embedder::Embedder;

use crate::config::{ChatProvider, Config, EmbedderChoice, Settings};

pub(super) fn open_embedder(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    let threads = usize::try_from(settings.config.models.embed_threads).unwrap_or(1);
    Ok(match &settings.embedder {
        EmbedderChoice::None(_) => None,
        EmbedderChoice::MiniLm(folder) => {
            let model = MiniLm::open(folder, threads)
                .with_context(|| format!("opening the model folder {}", folder.display()))?;
            Some(Arc::new(model))
        }
        EmbedderChoice::OpenAi(model) => {
            let dimensions = settings.config.models.embed_dimensions().with_context(|| {
                format!("{model} is unknown here: set models.embed_dimensions to its length")
            })?;
            let endpoint = openai(&settings.config, model);
            Some(Arc::new(OpenAiEmbedder::new(endpoint, dimensions, clock.clone())?))
        }
    })
}

pub(super) fn open_chat(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn ChatModel>> {
    let mut chain: Vec<Arc<dyn ChatModel>> = Vec::new();
    for provider in &config.models.chat.0 {
        chain.push(match provider {
            ChatProvider::Offline => Arc::new(OfflineModel::new()),
            ChatProvider::OpenAi(model) => {
                Arc::new(OpenAiChat::new(openai(config, model), clock.clone())?)
            }
        });
    }
    ChatChain::of(chain).context("models.chat names no model: `offline` needs none")
}

fn openai(config: &Config, model: &str) -> Endpoint {
    Endpoint {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        base_url: config.models.openai.base_url.clone(),
        key: config.models.openai.api_key.clone().unwrap_or_default(),
        timeouts: Timeouts::default(),
    }
}

/// Their names, for people who look at the process's health.
pub(super) fn names(chat: &dyn ChatModel, embedder: Option<&dyn Embedder>) -> Vec<String> {
    let mut names = vec![format!("chat {}", chat.name())];
    names.extend(embedder.map(|embedder| format!("embed {}", embedder.model())));
    names
}
