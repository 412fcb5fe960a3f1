//! Sentence embeddings by BERT models such as all-MiniLM-L6-v2, and scores of pairs of texts
//! by cross-encoders such as ms-marco-MiniLM-L-6-v2, on the CPU.
//!
//! A package of its own, so that it is compiled with optimisation in every build:
//! without, one passage takes seconds. Texts are packed one behind the other without
//! padding; only attention looks at each text alone.

mod config;
mod forward;
mod kernels;
mod pairs;
mod weights;

use std::path::{Path, PathBuf};

use tokenizers::{Tokenizer, TruncationParams};

pub use config::Config;
use forward::{Bert, Sequence};
pub use pairs::CrossEncoder;

/// The sequences that one pass of the model takes together, in word pieces. Larger packs
/// gain little and hold the memory of their activations.
const PACK_PIECES: usize = 1024;

/// More text than this cannot be within the limit of word pieces in any writing we know;
/// it is cut before the tokenizer sees it, so that a huge text costs no more.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// Why a model could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum BertError {
    /// A file of the model cannot be read.
    #[error("could not read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of the model is not what it should be.
    #[error("{path} is not usable: {reason}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what is expected.
        reason: String,
    },
    /// The tokenizer refused a text.
    #[error("could not split a text into word pieces: {0}")]
    Tokenize(String),
    /// The arithmetic failed.
    #[error("could not run the model")]
    Compute(#[from] candle_core::Error),
}

/// A model folder whose files have been looked at, but not loaded.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    config: Config,
}

impl Folder {
    /// Looks at a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    /// Reads the configuration and the table of the weights, and refuses what
    /// [`Model::load`] could not use.
    pub fn open(path: &Path) -> Result<Self, BertError> {
        let config = Config::read(&path.join("config.json"))?;
        let tokenizer = path.join("tokenizer.json");
        std::fs::metadata(&tokenizer)
            .map_err(|source| BertError::Io { path: tokenizer.clone(), source })?;
        weights::File::open(&path.join("model.safetensors"))?.check(&config)?;
        Ok(Self { path: path.to_owned(), config })
    }

    /// The same for a cross-encoder: a `BertForSequenceClassification` with one label.
    /// Refuses what [`CrossEncoder::load`] could not use.
    pub fn open_cross_encoder(path: &Path) -> Result<Self, BertError> {
        let folder = Self::open(path)?;
        weights::File::open(&path.join("model.safetensors"))?.check_head(&folder.config)?;
        Ok(folder)
    }

    /// What the model is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A loaded model. Sharing it between threads is cheap: it is never written to.
pub struct Model {
    tokenizer: Tokenizer,
    bert: Bert,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

impl Model {
    /// Loads the tokenizer and the weights. Texts are cut after `max_pieces` word
    /// pieces, including the two marks around them.
    pub fn load(folder: &Folder, max_pieces: usize) -> Result<Self, BertError> {
        let tokenizer = tokenizer(folder, max_pieces)?;
        let mut weights = weights::File::open(&folder.path.join("model.safetensors"))?;
        let bert = Bert::load(&mut weights, &folder.config)?;
        Ok(Self { tokenizer, bert })
    }

    /// The vector of each text, of unit length, in the order of the texts.
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>, BertError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut pack: Vec<Sequence> = Vec::new();
        let mut pieces = 0;
        for text in texts {
            let text = cut(text.as_ref(), MAX_TEXT_BYTES);
            let encoding = self
                .tokenizer
                .encode_fast(text, true)
                .map_err(|error| BertError::Tokenize(error.to_string()))?;
            let ids = encoding.get_ids().to_vec();
            if !pack.is_empty() && pieces + ids.len() > PACK_PIECES {
                vectors.extend(self.bert.vectors(&pack)?);
                pack.clear();
                pieces = 0;
            }
            pieces += ids.len();
            pack.push(Sequence::single(ids));
        }
        if !pack.is_empty() {
            vectors.extend(self.bert.vectors(&pack)?);
        }
        Ok(vectors)
    }
}

/// The tokenizer of a folder, which cuts texts after `max_pieces` word pieces.
fn tokenizer(folder: &Folder, max_pieces: usize) -> Result<Tokenizer, BertError> {
    let path = folder.path.join("tokenizer.json");
    let unusable = |reason: tokenizers::Error| BertError::Unusable {
        path: path.clone(),
        reason: reason.to_string(),
    };
    let mut tokenizer = Tokenizer::from_file(&path).map_err(unusable)?;
    // The file asks for padding to a fixed length, which packing makes needless.
    tokenizer.with_padding(None);
    let truncation = TruncationParams {
        max_length: max_pieces.min(folder.config.max_position_embeddings),
        ..TruncationParams::default()
    };
    tokenizer.with_truncation(Some(truncation)).map_err(unusable)?;
    let words = tokenizer.get_vocab_size(true);
    if words > folder.config.vocab_size {
        return Err(BertError::Unusable {
            reason: format!(
                "it knows {words} word pieces, the model only {}: the files do not belong \
                 together",
                folder.config.vocab_size
            ),
            path,
        });
    }
    Ok(tokenizer)
}

/// The beginning of a text, at most `limit` bytes, ending at a character.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
