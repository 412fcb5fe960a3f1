//! From word pieces to vectors: the layers of BERT, mean pooling and unit length; and from
//! pairs of texts to scores: the same layers, BERT's pooler and a classifier of one label.

use candle_core::{Device, Tensor};

use crate::BertError;
use crate::config::Config;
use crate::kernels::{AddBias, AddBiasGelu, AddNorm, Norm, ScaledSoftmax};
use crate::weights::{File, Name};

/// The weights of a model.
pub(crate) struct Bert {
    hidden: usize,
    heads: usize,
    words: Vec<f32>,
    /// The embedding of each position, with that of the first token type added.
    positions: Vec<f32>,
    /// What the second token type adds beyond the first; empty where the model has none.
    second_type: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    query_key_value: Linear,
    attended: Linear,
    attended_norm: Norm,
    inner: Linear,
    outer: Linear,
    outer_norm: Norm,
}

/// What makes a score of a pair: the first piece's row through the pooler, then the
/// classifier.
pub(crate) struct Head {
    pooler: Linear,
    classifier: Linear,
}

/// The word pieces of a text, or of two texts one behind the other.
pub(crate) struct Sequence {
    pub(crate) pieces: Vec<u32>,
    /// How many of them are of the first token type.
    pub(crate) first: usize,
}

impl Sequence {
    /// The pieces of one text.
    pub(crate) fn single(pieces: Vec<u32>) -> Self {
        Self { first: pieces.len(), pieces }
    }

    /// How many pieces there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }
}

/// A product with a matrix of `inputs` x `outputs`, and a bias.
struct Linear {
    weight: Tensor,
    bias: Vec<f32>,
}

const WORDS: &str = "embeddings.word_embeddings.weight";
const POSITIONS: &str = "embeddings.position_embeddings.weight";
const TYPES: &str = "embeddings.token_type_embeddings.weight";
const NORM: &str = "embeddings.LayerNorm";
const ATTENTION: [&str; 3] = ["attention.self.query", "attention.self.key", "attention.self.value"];
const ATTENDED: &str = "attention.output.dense";
const ATTENDED_NORM: &str = "attention.output.LayerNorm";
const INNER: &str = "intermediate.dense";
const OUTER: &str = "output.dense";
const OUTER_NORM: &str = "output.LayerNorm";
const POOLER: &str = "pooler.dense";
/// Stands beside the model's own weights: its name has no prefix.
const CLASSIFIER: &str = "classifier";

/// Every weight that a model needs, with its shape.
pub(crate) fn needed(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut all = vec![
        (WORDS.to_owned(), vec![config.vocab_size, hidden]),
        (POSITIONS.to_owned(), vec![config.max_position_embeddings, hidden]),
        (TYPES.to_owned(), vec![config.type_vocab_size, hidden]),
        (format!("{NORM}.weight"), vec![hidden]),
        (format!("{NORM}.bias"), vec![hidden]),
    ];
    for layer in 0..config.num_hidden_layers {
        let linear = [ATTENTION[0], ATTENTION[1], ATTENTION[2], ATTENDED]
            .map(|name| (name, hidden, hidden))
            .into_iter()
            .chain([(INNER, inner, hidden), (OUTER, hidden, inner)]);
        for (name, outputs, inputs) in linear {
            all.push((layer_name(layer, name, "weight"), vec![outputs, inputs]));
            all.push((layer_name(layer, name, "bias"), vec![outputs]));
        }
        for name in [ATTENDED_NORM, OUTER_NORM] {
            all.push((layer_name(layer, name, "weight"), vec![hidden]));
            all.push((layer_name(layer, name, "bias"), vec![hidden]));
        }
    }
    all
}

/// Every weight that the head of a cross-encoder needs beside, with its shape.
pub(crate) fn needed_head(config: &Config) -> [(Name, Vec<usize>); 4] {
    let hidden = config.hidden_size;
    [
        (Name::Of(format!("{POOLER}.weight")), vec![hidden, hidden]),
        (Name::Of(format!("{POOLER}.bias")), vec![hidden]),
        (Name::Beside(format!("{CLASSIFIER}.weight")), vec![1, hidden]),
        (Name::Beside(format!("{CLASSIFIER}.bias")), vec![1]),
    ]
}

fn layer_name(layer: usize, part: &str, kind: &str) -> String {
    format!("encoder.layer.{layer}.{part}.{kind}")
}

impl Bert {
    /// Reads the weights out of a file.
    pub(crate) fn load(file: &mut File, config: &Config) -> Result<Self, BertError> {
        let hidden = config.hidden_size;
        let words = file.read(WORDS, &[config.vocab_size, hidden])?;
        let mut positions = file.read(POSITIONS, &[config.max_position_embeddings, hidden])?;
        let types = file.read(TYPES, &[config.type_vocab_size, hidden])?;
        let (first_type, others) = types.split_at(hidden);
        let second_type = others.get(..hidden).unwrap_or_default();
        let second_type = second_type.iter().zip(first_type).map(|(two, one)| two - one).collect();
        for row in positions.chunks_exact_mut(hidden) {
            for (x, kind) in row.iter_mut().zip(first_type) {
                *x += kind;
            }
        }
        let norm = Norm {
            weight: file.read(&format!("{NORM}.weight"), &[hidden])?,
            bias: file.read(&format!("{NORM}.bias"), &[hidden])?,
            eps: config.layer_norm_eps,
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::load(file, config, layer))
            .collect::<Result<_, _>>()?;
        let heads = config.num_attention_heads;
        Ok(Self { hidden, heads, words, positions, second_type, norm, layers })
    }

    /// The last layer's row of each word piece, the sequences one behind the other. No
    /// sequence is longer than the model's positions, and no piece is beyond its words:
    /// the tokenizer sees to both.
    fn rows(&self, sequences: &[Sequence]) -> Result<Tensor, BertError> {
        let lengths: Vec<usize> = sequences.iter().map(Sequence::len).collect();
        let mut x = self.embeddings(sequences)?;
        for layer in &self.layers {
            x = layer.forward(&x, &lengths, self.heads)?;
        }
        Ok(x)
    }

    /// The vector of each sequence: the mean of its rows, of unit length.
    pub(crate) fn vectors(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>, BertError> {
        let x = self.rows(sequences)?;
        let mut begin = 0;
        let mut vectors = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let mean = x.narrow(0, begin, sequence.len())?.mean(0)?;
            vectors.push(unit(mean.to_vec1::<f32>()?));
            begin += sequence.len();
        }
        Ok(vectors)
    }

    /// The score of each sequence: the classifier's only logit.
    pub(crate) fn scores(
        &self,
        head: &Head,
        sequences: &[Sequence],
    ) -> Result<Vec<f32>, BertError> {
        let x = self.rows(sequences)?;
        let mut begin = 0;
        let mut firsts = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            firsts.push(x.narrow(0, begin, 1)?);
            begin += sequence.len();
        }
        let pooled = head.pooler.product(&Tensor::cat(&firsts, 0)?)?;
        pooled.inplace_op1(&AddBias(&head.pooler.bias))?;
        let logits = head.classifier.product(&pooled.tanh()?)?;
        logits.inplace_op1(&AddBias(&head.classifier.bias))?;
        Ok(logits.flatten_all()?.to_vec1::<f32>()?)
    }

    /// The sum of word and position of each piece, normed.
    fn embeddings(&self, sequences: &[Sequence]) -> Result<Tensor, BertError> {
        let pieces = sequences.iter().map(Sequence::len).sum::<usize>();
        let mut rows = Vec::with_capacity(pieces * self.hidden);
        for sequence in sequences {
            let positions = self.positions.chunks_exact(self.hidden);
            for (at, (piece, position)) in sequence.pieces.iter().zip(positions).enumerate() {
                let from = *piece as usize * self.hidden;
                let word = &self.words[from..from + self.hidden];
                let begin = rows.len();
                rows.extend(word.iter().zip(position).map(|(word, position)| word + position));
                if at >= sequence.first {
                    for (x, kind) in rows[begin..].iter_mut().zip(&self.second_type) {
                        *x += kind;
                    }
                }
                self.norm.apply(&mut rows[begin..]);
            }
        }
        Ok(Tensor::from_vec(rows, (pieces, self.hidden), &Device::Cpu)?)
    }
}

impl Layer {
    fn load(file: &mut File, config: &Config, layer: usize) -> Result<Self, BertError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str, kind: &str| layer_name(layer, part, kind);
        let norm = |file: &mut File, part: &str| -> Result<Norm, BertError> {
            Ok(Norm {
                weight: file.read(&name(part, "weight"), &[hidden])?,
                bias: file.read(&name(part, "bias"), &[hidden])?,
                eps: config.layer_norm_eps,
            })
        };
        let linear = |file: &mut File, parts: &[&str], outputs: usize, inputs: usize| {
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for part in parts {
                weight.extend(file.read(&name(part, "weight"), &[outputs, inputs])?);
                bias.extend(file.read(&name(part, "bias"), &[outputs])?);
            }
            Linear::new(weight, bias, inputs)
        };
        Ok(Self {
            // One product instead of three: the rows are read once.
            query_key_value: linear(file, &ATTENTION, hidden, hidden)?,
            attended: linear(file, &[ATTENDED], hidden, hidden)?,
            attended_norm: norm(file, ATTENDED_NORM)?,
            inner: linear(file, &[INNER], inner, hidden)?,
            outer: linear(file, &[OUTER], hidden, inner)?,
            outer_norm: norm(file, OUTER_NORM)?,
        })
    }

    /// `x` holds one row per word piece, the sequences one behind the other.
    fn forward(&self, x: &Tensor, lengths: &[usize], heads: usize) -> Result<Tensor, BertError> {
        let projected = self.query_key_value.product(x)?;
        projected.inplace_op1(&AddBias(&self.query_key_value.bias))?;
        let attended = attention(&projected, lengths, heads)?;
        let attended = self.attended.product(&attended)?;
        let ends = AddNorm { added: &self.attended.bias, norm: &self.attended_norm };
        attended.inplace_op2(x, &ends)?;
        let inner = self.inner.product(&attended)?;
        inner.inplace_op1(&AddBiasGelu(&self.inner.bias))?;
        let outer = self.outer.product(&inner)?;
        outer
            .inplace_op2(&attended, &AddNorm { added: &self.outer.bias, norm: &self.outer_norm })?;
        Ok(outer)
    }
}

impl Head {
    /// Reads the weights out of a file.
    pub(crate) fn load(file: &mut File, config: &Config) -> Result<Self, BertError> {
        let hidden = config.hidden_size;
        let [pooler, pooler_bias, classifier, classifier_bias] = needed_head(config);
        let mut read = |(name, shape): (Name, Vec<usize>)| file.read_named(&name, &shape);
        Ok(Self {
            pooler: Linear::new(read(pooler)?, read(pooler_bias)?, hidden)?,
            classifier: Linear::new(read(classifier)?, read(classifier_bias)?, hidden)?,
        })
    }
}

impl Linear {
    /// `weight` holds one row per output.
    fn new(weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Result<Self, BertError> {
        let weight = Tensor::from_vec(weight, (bias.len(), inputs), &Device::Cpu)?;
        // Dense in the order in which the product reads it: otherwise every product
        // rearranges it first, which costs a short question a third of its time.
        Ok(Self { weight: weight.t()?.contiguous()?, bias })
    }

    /// The product, without the bias.
    fn product(&self, x: &Tensor) -> Result<Tensor, BertError> {
        Ok(x.matmul(&self.weight)?)
    }
}

/// Attention of each sequence within itself. `projected` holds query, key and value of
/// each piece side by side.
fn attention(projected: &Tensor, lengths: &[usize], heads: usize) -> Result<Tensor, BertError> {
    let hidden = projected.dim(1)? / 3;
    let size = hidden / heads;
    let mut begin = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        // To query-key-value, heads, pieces, size: views, nothing is copied.
        let sequence = projected
            .narrow(0, begin, *length)?
            .reshape((*length, 3, heads, size))?
            .permute((1, 2, 0, 3))?;
        let (query, key, value) = (sequence.get(0)?, sequence.get(1)?, sequence.get(2)?);
        let weights = query.matmul(&key.t()?)?;
        let scale = 1.0 / (size as f32).sqrt();
        weights.inplace_op1(&ScaledSoftmax { width: *length, scale })?;
        parts.push(weights.matmul(&value)?.transpose(0, 1)?.reshape((*length, hidden))?);
        begin += length;
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// The vector in its direction of length 1; a zero vector stays what it is.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}
