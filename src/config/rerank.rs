//! Who looks at the best passages again?

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check_models::{address, refused, sendable};
use super::models::{Models, missing_file};

/// Where Cohere's models are.
pub(super) const COHERE_URL: &str = "https://api.cohere.com/v2";
/// More passages than this would not be read in time by anybody.
const MOST_RERANKED: u32 = 500;

/// Who puts passages in order, in short: `cohere:rerank-v3.5`, `cross-encoder:/folder`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RerankSetting {
    /// Nobody: the order is that of the search.
    #[default]
    None,
    /// A cross-encoder from this folder, on this machine.
    CrossEncoder(PathBuf),
    /// This model behind Cohere's interface.
    Cohere(String),
    /// The model of a server of text-embeddings-inference; the name is for people.
    Tei(String),
}

impl RerankSetting {
    /// Whether it is a model at a server.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Cohere(_) | Self::Tei(_))
    }
}

impl fmt::Display for RerankSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::CrossEncoder(folder) => write!(f, "cross-encoder:{}", folder.display()),
            Self::Cohere(model) => write!(f, "cohere:{model}"),
            Self::Tei(model) => write!(f, "tei:{model}"),
        }
    }
}

impl FromStr for RerankSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, rest) = text.split_once(':').unwrap_or((text, ""));
        match (provider, rest) {
            ("none", "") => Ok(Self::None),
            ("cross-encoder", "") => Err("`cross-encoder` needs a folder, such as \
                                          `cross-encoder:/srv/ms-marco-MiniLM-L-6-v2`"
                .to_owned()),
            ("cross-encoder", folder) => Ok(Self::CrossEncoder(PathBuf::from(folder))),
            ("cohere", "") => {
                Err("`cohere` needs a model, such as `cohere:rerank-v3.5`".to_owned())
            }
            ("cohere", model) => Ok(Self::Cohere(model.to_owned())),
            ("tei", "") => Err("`tei` needs a name for its model, such as `tei:bge`".to_owned()),
            ("tei", model) => Ok(Self::Tei(model.to_owned())),
            _ => Err(format!(
                "nobody who reranks is named `{provider}`: cohere:<model>, tei:<model>, \
                 cross-encoder:<folder>, none"
            )),
        }
    }
}

impl Serialize for RerankSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RerankSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Refuses what cannot work, by the key.
pub(super) fn check(models: &Models) -> Result<(), (String, String)> {
    if models.rerank_candidates > MOST_RERANKED {
        let candidates = models.rerank_candidates;
        let sentence = format!("{candidates} is too many to read again: at most {MOST_RERANKED}");
        return refused("models.rerank_candidates", sentence);
    }
    address("models.rerank_url", &models.rerank_url, COHERE_URL)?;
    sendable("models.rerank_api_key", models.rerank_api_key.as_ref())?;
    let at_cohere = models.rerank_url == COHERE_URL;
    match &models.rerank {
        RerankSetting::Cohere(_) if at_cohere && models.rerank_api_key.is_none() => {
            let sentence = "`models.rerank` names `cohere`, which needs a key: set \
                            COHERE_API_KEY, or QUAESTOR_RERANK_URL to a server of yours";
            refused("models.rerank_api_key", sentence.to_owned())
        }
        RerankSetting::Tei(_) if at_cohere => {
            let sentence = "`models.rerank` names a server of yours: say where it is, such as \
                            http://127.0.0.1:8081";
            refused("models.rerank_url", sentence.to_owned())
        }
        RerankSetting::CrossEncoder(folder) => match missing_file(folder) {
            Some(file) => {
                let folder = folder.display();
                let sentence = format!(
                    "the model folder {folder} has no {file}; a cross-encoder is config.json, \
                     tokenizer.json and model.safetensors"
                );
                refused("models.rerank", sentence)
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reranker_is_read_in_short_and_written_back() {
        for text in ["none", "cohere:rerank-v3.5", "cross-encoder:/srv/a:b", "tei:bge"] {
            assert_eq!(text.parse::<RerankSetting>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("cohere", "needs a model"),
            ("cross-encoder", "needs a folder"),
            ("jina:x", "nobody who reranks is named `jina`"),
            ("none:x", "cohere:<model>"),
        ] {
            let sentence = text.parse::<RerankSetting>().unwrap_err();
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
}
