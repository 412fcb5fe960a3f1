//! Which BERT a folder holds, and whether this package can run it.

use std::path::Path;

use serde::Deserialize;

use crate::BertError;

/// The shape of a model, as `config.json` tells it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Config {
    /// Word pieces.
    pub vocab_size: usize,
    /// The length of the vectors.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer's attention.
    pub num_attention_heads: usize,
    /// The width of each layer's inner part.
    pub intermediate_size: usize,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Kinds of token; only the first is used.
    pub type_vocab_size: usize,
    /// Keeps the norm of a layer away from a division by zero.
    pub layer_norm_eps: f32,
    hidden_act: String,
    model_type: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    /// Reads and checks a `config.json`.
    pub(crate) fn read(path: &Path) -> Result<Self, BertError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BertError::Io { path: path.to_owned(), source })?;
        let unusable = |reason| BertError::Unusable { path: path.to_owned(), reason };
        let config: Self =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        config.check().map_err(unusable)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let expect = |field: &str, found: &str, wanted: &str| {
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{field} is {found:?}; this program runs only {wanted:?}"))
            }
        };
        expect("model_type", &self.model_type, "bert")?;
        expect("hidden_act", &self.hidden_act, "gelu")?;
        expect("position_embedding_type", &self.position_embedding_type, "absolute")?;
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        if sizes.contains(&0) {
            return Err("a size in it is 0".to_owned());
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is no multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        Ok(())
    }
}
