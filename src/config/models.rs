//! Which models answer questions and make vectors?

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::calls::{ModelBreaker, ModelRetry, ModelTimeouts};
use super::prompt::PromptShares;

/// The files that make a folder a model folder.
pub const MODEL_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// The name of the model that `make model` fetches.
pub const MINILM: &str = "all-MiniLM-L6-v2";
/// Where `OPENAI_BASE_URL` points unless it is set.
pub(super) const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// The `[models]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Who answers, tried in this order (`QUAESTOR_CHAT`).
    pub chat: ChatChain,
    /// Who makes vectors (`QUAESTOR_EMBED`).
    pub embed: EmbedSetting,
    /// A folder with a MiniLM model (`QUAESTOR_MODEL_DIR`).
    pub dir: Option<PathBuf>,
    /// How many threads the built-in embedder may use.
    pub embed_threads: u32,
    /// The length of the vectors of an `openai` embedding model that is not known here.
    pub embed_dimensions: Option<u32>,
    /// The `openai` provider.
    pub openai: OpenAi,
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
            dir: None,
            embed_threads: 2,
            embed_dimensions: None,
            openai: OpenAi::default(),
            prompt: PromptShares::default(),
            timeouts: ModelTimeouts::default(),
            retry: ModelRetry::default(),
            breaker: ModelBreaker::default(),
        }
    }
}

/// The `[models.openai]` section; any compatible server will do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAi {
    /// The key (`OPENAI_API_KEY`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub api_key: Option<SecretString>,
    /// The address up to and with `/v1` (`OPENAI_BASE_URL`).
    pub base_url: String,
}

impl Default for OpenAi {
    fn default() -> Self {
        Self { api_key: None, base_url: OPENAI_BASE_URL.to_owned() }
    }
}

/// One link of a chat chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatProvider {
    /// Quotes the best passages; needs no model.
    Offline,
    /// This model of the `openai` provider.
    OpenAi(String),
}

/// A chat chain in short: `openai:gpt-5-mini,offline`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatChain(pub Vec<ChatProvider>);

impl ChatChain {
    /// Whether any link is the `openai` provider.
    #[must_use]
    pub fn uses_openai(&self) -> bool {
        self.0.iter().any(|link| matches!(link, ChatProvider::OpenAi(_)))
    }
}

impl fmt::Display for ChatChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, link) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match link {
                ChatProvider::Offline => write!(f, "{comma}offline")?,
                ChatProvider::OpenAi(model) => write!(f, "{comma}openai:{model}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for ChatChain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut chain = Vec::new();
        for link in text.split(',').map(str::trim) {
            let (provider, model) = link.split_once(':').unwrap_or((link, ""));
            chain.push(match (provider, model) {
                ("offline", "") => ChatProvider::Offline,
                ("openai", "") => {
                    return Err("`openai` needs a model, such as `openai:gpt-5-mini`".to_owned());
                }
                ("openai", model) => ChatProvider::OpenAi(model.to_owned()),
                ("azure" | "anthropic", _) => {
                    return Err(format!(
                        "`{provider}` is not in this build: offline, openai:<model>"
                    ));
                }
                _ => {
                    return Err(format!("no chat provider is named `{provider}`: offline, openai"));
                }
            });
        }
        Ok(Self(chain))
    }
}

/// Who makes vectors, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbedSetting {
    /// The built-in MiniLM where its folder is found, else nobody.
    Auto,
    /// Nobody: search is by words alone.
    None,
    /// The built-in MiniLM from this folder, or from where it is looked for.
    MiniLm(Option<PathBuf>),
    /// This model of the `openai` provider.
    OpenAi(String),
}

impl fmt::Display for EmbedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::MiniLm(None) => f.write_str("minilm"),
            Self::MiniLm(Some(dir)) => write!(f, "minilm:{}", dir.display()),
            Self::OpenAi(model) => write!(f, "openai:{model}"),
        }
    }
}

impl FromStr for EmbedSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, rest) = text.split_once(':').unwrap_or((text, ""));
        match (provider, rest) {
            ("auto", "") => Ok(Self::Auto),
            ("none", "") => Ok(Self::None),
            ("minilm", "") => Ok(Self::MiniLm(None)),
            ("minilm", dir) => Ok(Self::MiniLm(Some(PathBuf::from(dir)))),
            ("openai", "") => {
                Err("`openai` needs a model, such as `openai:text-embedding-3-small`".to_owned())
            }
            ("openai", model) if model.contains(',') => {
                Err("one model makes all vectors of an index: name one, not a list".to_owned())
            }
            ("openai", model) => Ok(Self::OpenAi(model.to_owned())),
            _ => Err(format!(
                "no embedding provider is named `{provider}`: auto, minilm:<folder>, openai:<model>, none"
            )),
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
    /// This model of the `openai` provider.
    OpenAi(String),
}

impl fmt::Display for EmbedderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(why) => write!(f, "none: {why}"),
            Self::MiniLm(dir) => write!(f, "minilm:{}", dir.display()),
            Self::OpenAi(model) => write!(f, "openai:{model}"),
        }
    }
}

impl Models {
    /// The length of the vectors of the `openai` embedding model: as configured, or what
    /// the provider documents for the model.
    #[must_use]
    pub fn embed_dimensions(&self) -> Option<u32> {
        let EmbedSetting::OpenAi(model) = &self.embed else { return self.embed_dimensions };
        self.embed_dimensions.or(match model.as_str() {
            "text-embedding-3-small" | "text-embedding-ada-002" => Some(1536),
            "text-embedding-3-large" => Some(3072),
            _ => None,
        })
    }

    /// Who makes vectors. `searched` are the folders to look in where none is named, best
    /// first. A folder that is named and lacks a file is an error, told in a sentence.
    pub fn embedder(&self, searched: &[PathBuf]) -> Result<EmbedderChoice, String> {
        let named = match &self.embed {
            EmbedSetting::None => {
                return Ok(EmbedderChoice::None("switched off by `models.embed`".to_owned()));
            }
            EmbedSetting::OpenAi(model) => return Ok(EmbedderChoice::OpenAi(model.clone())),
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

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(ChatChain);
as_text!(EmbedSetting);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_in_short_and_written_back() {
        let chain: ChatChain = "openai:gpt-5-mini, offline".parse().unwrap();
        assert_eq!(chain.to_string(), "openai:gpt-5-mini,offline");
        assert!(chain.uses_openai());
        // A model's name may hold a colon, as local servers' names do.
        let chain: ChatChain = "openai:qwen3:8b".parse().unwrap();
        assert_eq!(chain.0, [ChatProvider::OpenAi("qwen3:8b".to_owned())]);
        for (text, part) in [
            ("openai", "needs a model"),
            ("anthropic:claude", "not in this build"),
            ("ofline", "no chat provider"),
            ("offline,", "no chat provider"),
        ] {
            let sentence = text.parse::<ChatChain>().unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }

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
