//! Each provider at the tests' own server, and what it says.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use quaestor_backends::models::anthropic::{AnthropicChat, AnthropicEndpoint};
use quaestor_backends::models::azure::{self, Credential, Deployment};
use quaestor_backends::models::openai::{Endpoint, OpenAiChat, OpenAiEmbedder};
use quaestor_backends::models::provider::{ChatProvider, EmbedProvider, ProviderStream};
use quaestor_contracts::call_id;
use quaestor_contracts::chat_model::request;
use quaestor_core::clock::{Clock, ManualClock};
use quaestor_core::ports::chat_model::{ChatDelta, FinishReason};
use quaestor_core::ports::model_error::ModelError;
use quaestor_model_server::ModelServer;

/// What every test's key is; it may stand in no error and no `Debug`.
pub(crate) const KEY: &str = "sk-very-secret";

/// A provider, in one of the forms in which it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenAi,
    AzureDated,
    AzureV1,
    Anthropic,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::OpenAi, Self::AzureDated, Self::AzureV1, Self::Anthropic];

    /// A chat model at the server, named `tiny`.
    pub(crate) fn chat(self, server: &ModelServer) -> Arc<dyn ChatProvider> {
        self.chat_at(&server.url(), clock())
    }

    pub(crate) fn chat_at(self, url: &str, clock: Arc<dyn Clock>) -> Arc<dyn ChatProvider> {
        match self {
            Self::OpenAi => Arc::new(OpenAiChat::new(&openai(url), clock).unwrap()),
            Self::AzureDated | Self::AzureV1 => {
                Arc::new(azure::chat(&self.deployment(url), clock).unwrap())
            }
            Self::Anthropic => {
                let endpoint = AnthropicEndpoint {
                    model: "tiny".to_owned(),
                    base_url: url.to_owned(),
                    key: KEY.to_owned().into(),
                    connect_timeout: Duration::from_secs(5),
                };
                Arc::new(AnthropicChat::new(&endpoint, clock).unwrap())
            }
        }
    }

    /// An embedding model at the server, with vectors of this length.
    pub(crate) fn embedder(self, server: &ModelServer, length: u32) -> Arc<dyn EmbedProvider> {
        let url = server.url();
        match self {
            Self::OpenAi => Arc::new(OpenAiEmbedder::new(&openai(&url), length, clock()).unwrap()),
            Self::AzureDated | Self::AzureV1 => {
                Arc::new(azure::embedder(&self.deployment(&url), length, clock()).unwrap())
            }
            Self::Anthropic => panic!("anthropic serves no embedding models"),
        }
    }

    fn deployment(self, url: &str) -> Deployment {
        let version = if self == Self::AzureV1 { "v1" } else { "2024-10-21" };
        deployment(url, version, Credential::Key(KEY.to_owned().into()))
    }
}

pub(crate) fn deployment(url: &str, version: &str, credential: Credential) -> Deployment {
    Deployment {
        name: "tiny".to_owned(),
        endpoint: url.to_owned(),
        api_version: version.to_owned(),
        credential,
        connect_timeout: Duration::from_secs(5),
    }
}

pub(crate) fn openai(url: &str) -> Endpoint {
    Endpoint {
        provider: "openai".to_owned(),
        model: "tiny".to_owned(),
        base_url: format!("{url}/v1/"),
        key: KEY.to_owned().into(),
        connect_timeout: Duration::from_secs(5),
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at_millis(1_445_412_470_000))
}

/// What came of one request: the text that was shown, and how it ended.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) pieces: usize,
    pub(crate) end: Result<ChatDelta, ModelError>,
}

/// Asks once, and reads to the end.
pub(crate) async fn ask(model: &dyn ChatProvider) -> Told {
    match model.stream(&request(), call_id()).await {
        Ok(stream) => read(stream).await,
        Err(error) => Told { text: String::new(), pieces: 0, end: Err(error) },
    }
}

pub(crate) async fn read(mut stream: ProviderStream) -> Told {
    let (mut text, mut pieces) = (String::new(), 0);
    loop {
        match stream.deltas.next().await {
            Some(Ok(ChatDelta::Text(piece))) => {
                text.push_str(&piece);
                pieces += 1;
            }
            Some(end) => {
                assert!(stream.deltas.next().await.is_none(), "nothing comes after the end");
                return Told { text, pieces, end };
            }
            None => panic!("the stream ended without saying how, after {text:?}"),
        }
    }
}

impl Told {
    /// The error that it ended in. No secret is in it.
    pub(crate) fn error(self) -> ModelError {
        let error = self.end.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
        error
    }

    /// Why it ended, if it ended well.
    pub(crate) fn reason(&self) -> FinishReason {
        match &self.end {
            Ok(ChatDelta::Finished { reason, .. }) => *reason,
            other => panic!("{other:?} after {:?}", self.text),
        }
    }

    /// Tokens in and out, where they were told.
    pub(crate) fn usage(&self) -> Option<(u64, u64)> {
        match &self.end {
            Ok(ChatDelta::Finished { usage, .. }) => {
                usage.map(|usage| (usage.input_tokens, usage.output_tokens))
            }
            other => panic!("{other:?}"),
        }
    }
}
