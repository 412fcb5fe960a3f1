//! Embeds on this machine, with a BERT model from a folder such as all-MiniLM-L6-v2.

use std::path::Path;

use async_trait::async_trait;
use futures::future::try_join_all;
use quaestor_bert::{BertError, Folder, Model};
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use tokio::sync::Semaphore;

use super::loaded::Loaded;
use super::pool::{Line, Pool};

/// What the model was trained to read at once, in word pieces; longer text is cut.
const MAX_PIECES: usize = 256;

/// The text that one thread takes at a time: enough to fill a pack, and little enough that
/// all threads are busy to the end.
const PORTION_BYTES: usize = 4 * 1024;

/// Callers whose passages are worked on at once. Further ones wait, so that each is done soon
/// after it has begun, however many there are.
const CALLERS: usize = 2;

/// An embedder that computes on threads of its own. Nothing is loaded before the first
/// text, so that a server that embeds elsewhere, or nothing, holds no model.
#[derive(Debug)]
pub struct MiniLm {
    name: String,
    folder: Folder,
    dimensions: u32,
    pool: Pool,
    /// Callers with passages that are worked on at once: one keeps the threads busy, and the
    /// next stands ready.
    passages: Semaphore,
    loaded: Loaded<Model>,
}

impl MiniLm {
    /// Looks at a folder with `config.json`, `tokenizer.json` and `model.safetensors`,
    /// and refuses one that cannot be used. The model is named as the folder is.
    pub fn open(folder: &Path, threads: usize) -> Result<Self, BertError> {
        let checked = Folder::open(folder)?;
        let unusable = |reason: &str| BertError::Unusable {
            path: folder.to_owned(),
            reason: reason.to_owned(),
        };
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| unusable("the folder needs a name, which becomes the model's"))?;
        let dimensions = u32::try_from(checked.config().hidden_size)
            .map_err(|_| unusable("its hidden_size is too large"))?;
        Ok(Self {
            name: name.to_owned(),
            folder: checked,
            dimensions,
            pool: Pool::new(threads),
            passages: Semaphore::new(CALLERS),
            loaded: Loaded::default(),
        })
    }
}

/// Cuts texts into portions for the threads, in their order.
fn portions(texts: &[String]) -> Vec<Vec<String>> {
    let mut portions: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        if portions.is_empty() || bytes + text.len() > PORTION_BYTES {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += text.len().max(1);
        if let Some(portion) = portions.last_mut() {
            portion.push(text.clone());
        }
    }
    portions
}

#[async_trait]
impl Embedder for MiniLm {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> u32 {
        self.dimensions
    }

    async fn embed(
        &self,
        kind: EmbedKind,
        texts: &[String],
        _: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let unavailable = |source: Box<dyn std::error::Error + Send + Sync>| {
            ModelError::new(&self.name, ErrorClass::Unavailable).caused_by(source)
        };
        let (line, _turn) = match kind {
            EmbedKind::Query => (Line::Urgent, None),
            EmbedKind::Passage => {
                let turn = self.passages.acquire().await;
                (Line::Ordinary, Some(turn.map_err(|error| unavailable(error.into()))?))
            }
        };
        let work = portions(texts).into_iter().map(|portion| {
            let (loaded, folder) = (self.loaded.clone(), self.folder.clone());
            self.pool.run(line, move || {
                loaded.or_load(|| Model::load(&folder, MAX_PIECES))?.embed(&portion)
            })
        });
        let mut vectors = Vec::with_capacity(texts.len());
        for portion in try_join_all(work).await.map_err(|error| unavailable(error.into()))? {
            match portion {
                Ok(portion) => vectors.extend(portion),
                Err(error @ BertError::Io { .. }) => return Err(unavailable(error.into())),
                Err(error) => {
                    return Err(
                        ModelError::new(&self.name, ErrorClass::Refused).because(error.to_string())
                    );
                }
            }
        }
        Ok(vectors)
    }
}
