//! Which models answer questions, make vectors and put passages in order?

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::calls::{ModelBreaker, ModelRetry, ModelTimeouts};
use super::chain::{ChatChain, ChatProvider, EmbedAlso, EmbedSetting, ModelAt, ProviderName};
use super::money::{Limits, Prices};
use super::prompt::PromptShares;
use super::providers::{Anthropic, Azure, CompatibleServer, OpenAi};
use super::rerank::{COHERE_URL, RerankSetting};

/// The files that make a folder a model folder.
pub const MODEL_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// The name of the model that `make model` fetches.
pub const MINILM: &str = "all-MiniLM-L6-v2";

/// The `[models]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Who answers, tried in this order (`QUAESTOR_CHAT`).
    pub chat: ChatChain,
    /// Who makes vectors (`QUAESTOR_EMBED`).
    pub embed: EmbedSetting,
    /// Who else makes vectors, for collections that are reindexed (`QUAESTOR_EMBED_ALSO`).
    pub embed_also: Vec<EmbedAlso>,
    /// A folder with a MiniLM model (`QUAESTOR_MODEL_DIR`).
    pub dir: Option<PathBuf>,
    /// How many threads the built-in embedder may use.
    pub embed_threads: u32,
    /// The length of the vectors of a provider's embedding model that is not known here.
    pub embed_dimensions: Option<u32>,
    /// Who looks at the best passages again (`QUAESTOR_RERANK`).
    pub rerank: RerankSetting,
    /// How many passages that is.
    pub rerank_candidates: u32,
    /// How long that may take, in milliseconds; then the order of the search stands.
    pub rerank_ms: u64,
    /// Where a remote reranker is, up to and without `/rerank` (`QUAESTOR_RERANK_URL`).
    pub rerank_url: String,
    /// Its key (`COHERE_API_KEY`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub rerank_api_key: Option<SecretString>,
    /// Who answers beyond a soft budget; as `chat` where nobody is named.
    pub chat_cheap: Option<ChatChain>,
    /// What models cost, by `provider:model`.
    pub prices: Prices,
    /// What providers allow a key, by `provider` or `provider:model`.
    pub limits: Limits,
    /// The `openai` provider.
    pub openai: OpenAi,
    /// The `azure` provider.
    pub azure: Azure,
    /// The `anthropic` provider.
    pub anthropic: Anthropic,
    /// Other servers that speak OpenAI's protocol, by the names that chains call them.
    pub servers: BTreeMap<String, CompatibleServer>,
    /// How much a chat model reads and writes.
    pub prompt: PromptShares,
    /// How long a model is waited for.
    pub timeouts: ModelTimeouts,
    /// How often a request is sent again.
    pub retry: ModelRetry,
    /// When a model that fails is left alone.
    pub breaker: ModelBreaker,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            chat: ChatChain(vec![ChatProvider::Offline]),
            embed: EmbedSetting::Auto,
            embed_also: Vec::new(),
            dir: None,
            embed_threads: 2,
            embed_dimensions: None,
            rerank: RerankSetting::None,
            rerank_candidates: 40,
            rerank_ms: 2_000,
            rerank_url: COHERE_URL.to_owned(),
            rerank_api_key: None,
            chat_cheap: None,
            prices: Prices::default(),
            limits: Limits::default(),
            openai: OpenAi::default(),
            azure: Azure::default(),
            anthropic: Anthropic::default(),
            servers: BTreeMap::new(),
            prompt: PromptShares::default(),
            timeouts: ModelTimeouts::default(),
            retry: ModelRetry::default(),
            breaker: ModelBreaker::default(),
        }
    }
}

/// Who makes vectors, after the folders were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbedderChoice {
    /// Nobody; the sentence says why.
    None(String),
    /// The built-in MiniLM from this folder, which holds all of [`MODEL_FILES`].
    MiniLm(PathBuf),
    /// This model of a provider.
    At(ModelAt),
}

impl fmt::Display for EmbedderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(why) => write!(f, "none: {why}"),
            Self::MiniLm(dir) => write!(f, "minilm:{}", dir.display()),
            Self::At(model) => write!(f, "{model}"),
        }
    }
}

/// What OpenAI documents of its embedding models: the length of their vectors, and
/// whether they can give shorter ones.
pub(super) fn documented(model: &str) -> Option<(u32, bool)> {
    match model {
        "text-embedding-3-small" => Some((1536, true)),
        "text-embedding-3-large" => Some((3072, true)),
        "text-embedding-ada-002" => Some((1536, false)),
        _ => None,
    }
}

impl Models {
    /// The length of the vectors of a provider's embedding model: as configured, or what
    /// is documented for the model.
    #[must_use]
    pub fn embed_dimensions(&self) -> Option<u32> {
        let EmbedSetting::At(at) = &self.embed else { return self.embed_dimensions };
        self.embed_dimensions.or(documented(&at.model).map(|(length, _)| length))
    }

    /// The further embedding models, with the lengths of vectors that are not the folder's. A
    /// folder that lacks a file, and a length that is not known, are errors, told in a sentence.
    pub fn further_embedders(&self) -> Result<Vec<(EmbedderChoice, Option<u32>)>, String> {
        let further = self.embed_also.iter().map(|also| match &also.model {
            EmbedSetting::MiniLm(Some(dir)) => match missing_file(dir) {
                None => Ok((EmbedderChoice::MiniLm(dir.clone()), None)),
                Some(file) => Err(format!("the model folder {} has no {file}", dir.display())),
            },
            EmbedSetting::At(model) => {
                let known = documented(&model.model).map(|(length, _)| length);
                match also.dimensions.or(known) {
                    Some(length) => Ok((EmbedderChoice::At(model.clone()), Some(length))),
                    None => Err(format!(
                        "the length of the vectors of `{model}` is not known here: write \
                         `{model}=<length>`"
                    )),
                }
            }
            other => Err(format!("`{other}` names no model")),
        });
        further.collect()
    }

    /// Where a provider is.
    #[must_use]
    pub fn address(&self, provider: &ProviderName) -> Option<&str> {
        match provider {
            ProviderName::OpenAi => Some(&self.openai.base_url),
            ProviderName::Azure => self.azure.endpoint.as_deref(),
            ProviderName::Anthropic => Some(&self.anthropic.base_url),
            ProviderName::Server(name) => Some(&self.servers.get(name)?.base_url),
        }
    }

    /// Who makes vectors. `searched` are the folders to look in where none is named, best
    /// first. A folder that is named and lacks a file is an error, told in a sentence.
    pub fn embedder(&self, searched: &[PathBuf]) -> Result<EmbedderChoice, String> {
        let named = match &self.embed {
            EmbedSetting::None => {
                return Ok(EmbedderChoice::None("switched off by `models.embed`".to_owned()));
            }
            EmbedSetting::At(model) => return Ok(EmbedderChoice::At(model.clone())),
            EmbedSetting::MiniLm(Some(dir)) => Some(dir),
            EmbedSetting::MiniLm(None) | EmbedSetting::Auto => self.dir.as_ref(),
        };
        if let Some(dir) = named {
            return match missing_file(dir) {
                None => Ok(EmbedderChoice::MiniLm(dir.clone())),
                Some(file) => Err(format!(
                    "the model folder {} has no {file}; `make model` fetches the model",
                    dir.display()
                )),
            };
        }
        if let Some(dir) = searched.iter().find(|dir| missing_file(dir).is_none()) {
            return Ok(EmbedderChoice::MiniLm(dir.clone()));
        }
        let places: Vec<String> = searched.iter().map(|dir| dir.display().to_string()).collect();
        let sentence =
            format!("no model folder at {}; `make model` fetches one", places.join(" or "));
        match self.embed {
            EmbedSetting::Auto => Ok(EmbedderChoice::None(sentence)),
            _ => Err(sentence),
        }
    }
}

/// The first of [`MODEL_FILES`] that the folder lacks.
#[must_use]
pub fn missing_file(dir: &Path) -> Option<&'static str> {
    MODEL_FILES.into_iter().find(|file| !dir.join(file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedder_is_the_first_whole_model_folder() {
        let home = tempfile::tempdir().unwrap();
        let (partial, whole) = (home.path().join("a"), home.path().join("b"));
        for (dir, files) in [(&partial, &MODEL_FILES[..1]), (&whole, &MODEL_FILES[..])] {
            std::fs::create_dir(dir).unwrap();
            for file in files {
                std::fs::write(dir.join(file), "{}").unwrap();
            }
        }
        let mut models = Models::default();
        let searched = [partial.clone(), whole.clone()];
        assert_eq!(models.embedder(&searched), Ok(EmbedderChoice::MiniLm(whole.clone())));
        assert!(matches!(models.embedder(&searched[..1]), Ok(EmbedderChoice::None(_))));
        models.dir = Some(partial);
        assert!(models.embedder(&searched).unwrap_err().contains("tokenizer.json"));
        models.embed = EmbedSetting::MiniLm(Some(whole.clone()));
        assert_eq!(models.embedder(&[]), Ok(EmbedderChoice::MiniLm(whole)));
        models.embed = EmbedSetting::None;
        assert!(matches!(models.embedder(&searched), Ok(EmbedderChoice::None(_))));
    }
}
