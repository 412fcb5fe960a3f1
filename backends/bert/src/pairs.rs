//! How well does a passage answer a query? A cross-encoder reads both at once.

use tokenizers::Tokenizer;

use crate::forward::{Bert, Head, Sequence};
use crate::{BertError, Folder, MAX_TEXT_BYTES, PACK_PIECES, cut, tokenizer, weights};

/// A loaded cross-encoder. Sharing it between threads is cheap: it is never written to.
pub struct CrossEncoder {
    tokenizer: Tokenizer,
    bert: Bert,
    head: Head,
}

impl std::fmt::Debug for CrossEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrossEncoder").finish_non_exhaustive()
    }
}

impl CrossEncoder {
    /// Loads the tokenizer and the weights of a folder that
    /// [`Folder::open_cross_encoder`] found usable. A pair is cut to `max_pieces` word
    /// pieces, including the three marks, from the end of whichever text is longer.
    pub fn load(folder: &Folder, max_pieces: usize) -> Result<Self, BertError> {
        let tokenizer = tokenizer(folder, max_pieces)?;
        let mut weights = weights::File::open(&folder.path().join("model.safetensors"))?;
        let bert = Bert::load(&mut weights, folder.config())?;
        let head = Head::load(&mut weights, folder.config())?;
        Ok(Self { tokenizer, bert, head })
    }

    /// The score of each passage for the query, in their order: the model's logit, which
    /// is higher the better the passage answers, and comparable between calls.
    pub fn score<T: AsRef<str>>(&self, query: &str, passages: &[T]) -> Result<Vec<f32>, BertError> {
        let query = cut(query, MAX_TEXT_BYTES);
        let mut scores = Vec::with_capacity(passages.len());
        let mut pack: Vec<Sequence> = Vec::new();
        let mut pieces = 0;
        for passage in passages {
            let pair = self.pair(query, cut(passage.as_ref(), MAX_TEXT_BYTES))?;
            if !pack.is_empty() && pieces + pair.len() > PACK_PIECES {
                scores.extend(self.bert.scores(&self.head, &pack)?);
                pack.clear();
                pieces = 0;
            }
            pieces += pair.len();
            pack.push(pair);
        }
        if !pack.is_empty() {
            scores.extend(self.bert.scores(&self.head, &pack)?);
        }
        Ok(scores)
    }

    fn pair(&self, query: &str, passage: &str) -> Result<Sequence, BertError> {
        let encoding = self
            .tokenizer
            .encode_fast((query, passage), true)
            .map_err(|error| BertError::Tokenize(error.to_string()))?;
        let first = encoding.get_type_ids().iter().take_while(|kind| **kind == 0).count();
        Ok(Sequence { pieces: encoding.get_ids().to_vec(), first })
    }
}
