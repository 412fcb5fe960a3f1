//! Reranks on this machine, with a cross-encoder from a folder such as
//! ms-marco-MiniLM-L-6-v2.

use std::path::Path;

use async_trait::async_trait;
use futures::future::try_join_all;
use quaestor_bert::{BertError, CrossEncoder, Folder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::reranker::Reranker;

use super::loaded::Loaded;
use super::pool::{Line, Pool};

/// What such models were trained to read at once, in word pieces; longer pairs are cut.
const MAX_PIECES: usize = 512;

/// The text that one thread takes at a time: enough to fill a pack.
const PORTION_BYTES: usize = 4 * 1024;

/// A cross-encoder that computes on threads of its own. Nothing is loaded before the
/// first passage.
#[derive(Debug)]
pub struct LocalReranker {
    name: String,
    folder: Folder,
    pool: Pool,
    loaded: Loaded<CrossEncoder>,
}

impl LocalReranker {
    /// Looks at a folder with `config.json`, `tokenizer.json` and `model.safetensors`,
    /// and refuses one that holds no cross-encoder with one label.
    pub fn open(folder: &Path, threads: usize) -> Result<Self, BertError> {
        let checked = Folder::open_cross_encoder(folder)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: format!("cross-encoder:{name}"),
            folder: checked,
            pool: Pool::new(threads),
            loaded: Loaded::default(),
        })
    }
}

/// Cuts passages into portions for the threads, in their order. Each passage is read with
/// the query.
fn portions(query: &str, passages: &[String]) -> Vec<Vec<String>> {
    let mut portions: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for passage in passages {
        let more = query.len() + passage.len();
        if portions.is_empty() || bytes + more > PORTION_BYTES {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += more.max(1);
        if let Some(portion) = portions.last_mut() {
            portion.push(passage.clone());
        }
    }
    portions
}

#[async_trait]
impl Reranker for LocalReranker {
    fn model(&self) -> &str {
        &self.name
    }

    /// Scores from 0 to 1: the logistic function of what the model says.
    async fn rerank(
        &self,
        query: &str,
        passages: &[String],
        _: &CallScope,
    ) -> Result<Vec<f32>, ModelError> {
        let unavailable = |source: Box<dyn std::error::Error + Send + Sync>| {
            ModelError::new(&self.name, ErrorClass::Unavailable).caused_by(source)
        };
        let work = portions(query, passages).into_iter().map(|portion| {
            let (loaded, folder, query) =
                (self.loaded.clone(), self.folder.clone(), query.to_owned());
            // Somebody waits for the answer.
            self.pool.run(Line::Urgent, move || {
                let model = loaded.or_load(|| CrossEncoder::load(&folder, MAX_PIECES))?;
                model.score(&query, &portion)
            })
        });
        let mut scores = Vec::with_capacity(passages.len());
        for portion in try_join_all(work).await.map_err(|error| unavailable(error.into()))? {
            match portion {
                Ok(portion) => scores.extend(portion.into_iter().map(logistic)),
                Err(error @ BertError::Io { .. }) => return Err(unavailable(error.into())),
                Err(error) => {
                    let refused = ModelError::new(&self.name, ErrorClass::Refused);
                    return Err(refused.because(error.to_string()));
                }
            }
        }
        Ok(scores)
    }
}

fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
