//! The suites of the ports, on every provider as the program uses it: behind its guard.

use std::sync::Arc;

use async_trait::async_trait;
use quaestor_backends::models::resilience::{
    ChatChain, ChatLink, GuardedEmbedder, Guards, Policy, Surroundings,
};
use quaestor_contracts::{chat_model_contract, embedder_contract};
use quaestor_core::clock::SystemClock;
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::IdSource;
use quaestor_core::ports::chat_model::{ChatModel, ChatRequest, ChatStream};
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::ModelError;
use quaestor_model_server::ModelServer;

use crate::providers::Kind;

/// A model with the server that it asks, which serves while it lives.
#[derive(Debug)]
struct Served<M>(M, #[expect(dead_code, reason = "it serves while it lives")] ModelServer);

fn guards() -> Guards {
    Guards::new(Surroundings {
        policy: Policy::default(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(1)),
        cost_of: Arc::new(|_, _, _| 0),
        ids: IdSource::new(Arc::new(SystemClock), Arc::new(SeededEntropy::new(2))),
        ledger: None,
    })
}

async fn chat(kind: Kind) -> Served<ChatChain> {
    let server = ModelServer::start().await;
    let link = ChatLink::Provider(kind.chat(&server));
    Served(ChatChain::of(vec![link], &guards()).unwrap(), server)
}

async fn embedder(kind: Kind) -> Served<GuardedEmbedder> {
    let server = ModelServer::start().await;
    let provider = kind.embedder(&server, 8);
    Served(GuardedEmbedder::new(provider, &guards()), server)
}

#[async_trait]
impl ChatModel for Served<ChatChain> {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn stream(
        &self,
        request: ChatRequest,
        scope: &CallScope,
    ) -> Result<ChatStream, ModelError> {
        self.0.stream(request, scope).await
    }
}

#[async_trait]
impl Embedder for Served<GuardedEmbedder> {
    fn model(&self) -> &str {
        self.0.model()
    }

    fn dimensions(&self) -> u32 {
        self.0.dimensions()
    }

    async fn embed(
        &self,
        kind: EmbedKind,
        texts: &[String],
        scope: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.0.embed(kind, texts, scope).await
    }
}

/// The suites on one provider.
macro_rules! provider {
    ($name:ident, $kind:expr, [$($suite:ident),*]) => {
        mod $name {
            use super::*;

            $(provider!(@$suite $kind);)*
        }
    };
    (@chat $kind:expr) => {
        async fn served_chat() -> Served<ChatChain> {
            chat($kind).await
        }

        chat_model_contract!(served_chat);
    };
    (@embed $kind:expr) => {
        async fn served_embedder() -> Served<GuardedEmbedder> {
            embedder($kind).await
        }

        embedder_contract!(served_embedder);
    };
}

provider!(openai, Kind::OpenAi, [chat, embed]);
provider!(azure_dated, Kind::AzureDated, [chat, embed]);
provider!(azure_v1, Kind::AzureV1, [chat, embed]);
provider!(anthropic, Kind::Anthropic, [chat]);
