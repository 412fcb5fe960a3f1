//! How are models named in one line: `openai:gpt-5-mini,azure:desk,offline`?

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who serves a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProviderName {
    /// `[models.openai]`.
    OpenAi,
    /// `[models.azure]`.
    Azure,
    /// `[models.anthropic]`.
    Anthropic,
    /// `[models.servers.<name>]`.
    Server(String),
}

impl ProviderName {
    /// The names that are taken: a server cannot have them.
    pub(super) const TAKEN: [&str; 7] =
        ["offline", "openai", "azure", "anthropic", "auto", "none", "minilm"];

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "openai" => Self::OpenAi,
            "azure" => Self::Azure,
            "anthropic" => Self::Anthropic,
            name if Self::may_be_server(name) => Self::Server(name.to_owned()),
            _ => return None,
        })
    }

    /// Whether a server may be called so.
    pub(super) fn may_be_server(name: &str) -> bool {
        !Self::TAKEN.contains(&name)
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !name.contains("__")
            && !name.ends_with('_')
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::Server(name) => name,
        })
    }
}

/// A model at a provider: `openai:gpt-5-mini`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelAt {
    /// Who serves it.
    pub provider: ProviderName,
    /// Its name there; at Azure that of its deployment.
    pub model: String,
}

impl fmt::Display for ModelAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)
    }
}

impl ModelAt {
    /// Reads `provider:model`. None where the provider's name can be no provider's.
    fn read(text: &str, example: &str) -> Result<Option<Self>, String> {
        let (provider, model) = text.split_once(':').unwrap_or((text, ""));
        let Some(name) = ProviderName::of(provider) else { return Ok(None) };
        if model.is_empty() && !text.contains(':') && matches!(name, ProviderName::Server(_)) {
            return Ok(None);
        }
        if model.trim().is_empty() {
            return Err(format!("`{provider}` needs a model, such as `{provider}:{example}`"));
        }
        Ok(Some(Self { provider: name, model: model.to_owned() }))
    }
}

/// One link of a chat chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatProvider {
    /// Quotes the best passages; needs no model.
    Offline,
    /// This model of a provider.
    At(ModelAt),
}

/// A chat chain in short: `openai:gpt-5-mini,offline`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatChain(pub Vec<ChatProvider>);

impl ChatChain {
    /// The models of providers in it, in their order.
    pub fn models(&self) -> impl Iterator<Item = &ModelAt> {
        self.0.iter().filter_map(|link| match link {
            ChatProvider::At(model) => Some(model),
            ChatProvider::Offline => None,
        })
    }
}

impl fmt::Display for ChatChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, link) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match link {
                ChatProvider::Offline => write!(f, "{comma}offline")?,
                ChatProvider::At(model) => write!(f, "{comma}{model}")?,
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
            if link == "offline" {
                chain.push(ChatProvider::Offline);
                continue;
            }
            match ModelAt::read(link, "gpt-5-mini")? {
                Some(model) => chain.push(ChatProvider::At(model)),
                None => {
                    let name = link.split(':').next().unwrap_or(link);
                    return Err(format!(
                        "no chat provider is named `{name}`: offline, openai, azure, anthropic, \
                         or a server of [models.servers], each but the first with `:<model>`"
                    ));
                }
            }
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
    /// This model of a provider.
    At(ModelAt),
}

impl fmt::Display for EmbedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::MiniLm(None) => f.write_str("minilm"),
            Self::MiniLm(Some(dir)) => write!(f, "minilm:{}", dir.display()),
            Self::At(model) => write!(f, "{model}"),
        }
    }
}

impl FromStr for EmbedSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("auto", "") => return Ok(Self::Auto),
            ("none", "") => return Ok(Self::None),
            ("minilm", "") => return Ok(Self::MiniLm(None)),
            ("minilm", dir) => return Ok(Self::MiniLm(Some(PathBuf::from(dir)))),
            _ => {}
        }
        match ModelAt::read(text, "text-embedding-3-small")? {
            Some(ModelAt { provider: ProviderName::Anthropic, .. }) => {
                Err("anthropic serves no embedding models: name another provider".to_owned())
            }
            Some(at) if at.model.contains(',') => {
                Err("one model makes all vectors of an index: name one, not a list".to_owned())
            }
            Some(at) => Ok(Self::At(at)),
            None => Err(format!(
                "no embedding provider is named `{}`: auto, minilm:<folder>, openai:<model>, \
                 azure:<deployment>, a server of [models.servers] with `:<model>`, or none",
                text.split(':').next().unwrap_or(text)
            )),
        }
    }
}

/// A further embedding model: `openai:text-embedding-3-large=1024`, with the length of its
/// vectors where that is not known here, or is to be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedAlso {
    /// Who makes them: never `auto` or `none`.
    pub model: EmbedSetting,
    /// Their length.
    pub dimensions: Option<u32>,
}

impl fmt::Display for EmbedAlso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dimensions {
            Some(length) => write!(f, "{}={length}", self.model),
            None => write!(f, "{}", self.model),
        }
    }
}

impl FromStr for EmbedAlso {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (model, length) = match text.trim().rsplit_once('=') {
            Some((model, length)) => (model, Some(length)),
            None => (text.trim(), None),
        };
        let dimensions = match length {
            None => None,
            Some(length) => {
                Some(length.parse().ok().filter(|length| *length > 0).ok_or_else(|| {
                    format!("`{length}` is no length of vectors: a whole number such as `=1024`")
                })?)
            }
        };
        match model.parse()? {
            EmbedSetting::Auto | EmbedSetting::None | EmbedSetting::MiniLm(None) => {
                Err(format!("`{model}` names no model: `minilm:<folder>` or `<provider>:<model>`"))
            }
            EmbedSetting::MiniLm(_) if dimensions.is_some() => {
                Err(format!("the folder of `{model}` says how long its vectors are: leave it out"))
            }
            model => Ok(Self { model, dimensions }),
        }
    }
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
as_text!(EmbedAlso);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_in_short_and_written_back() {
        let text =
            "openai:gpt-5-mini,azure:desk,anthropic:claude-sonnet-4-5,local:qwen3:8b,offline";
        let chain: ChatChain = text.replace(',', ", ").parse().unwrap();
        assert_eq!(chain.to_string(), text);
        // A model's name may hold a colon, as local servers' names do.
        let last = chain.models().last().unwrap();
        assert_eq!(last.provider, ProviderName::Server("local".to_owned()));
        assert_eq!(last.model, "qwen3:8b");
        for (text, part) in [
            ("openai", "needs a model"),
            ("anthropic:", "needs a model"),
            ("local:", "needs a model"),
            ("ofline", "no chat provider"),
            ("offline,", "no chat provider"),
            ("Local:m", "no chat provider"),
            ("none:m", "no chat provider"),
        ] {
            let sentence = text.parse::<ChatChain>().unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }

    #[test]
    fn an_embedder_is_one_model_of_a_provider_that_has_them() {
        for text in ["auto", "none", "minilm", "minilm:/m", "openai:e", "azure:e", "local:bge:m3"] {
            assert_eq!(text.parse::<EmbedSetting>().unwrap().to_string(), text);
        }
        for text in ["openai:e", "local:bge:m3=1024", "minilm:/m"] {
            assert_eq!(text.parse::<EmbedAlso>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("auto", "names no model"),
            ("none=3", "names no model"),
            ("openai:e=x", "no length"),
            ("openai:e=0", "no length"),
            ("minilm:/m=384", "leave it out"),
            ("anthropic:claude", "no embedding models"),
        ] {
            let sentence = text.parse::<EmbedAlso>().unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
        for (text, part) in [
            ("anthropic:claude", "no embedding models"),
            ("openai:a,openai:b", "not a list"),
            ("azure", "needs a model"),
            ("offline", "no embedding provider"),
        ] {
            let sentence = text.parse::<EmbedSetting>().unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
}
