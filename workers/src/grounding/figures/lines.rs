//! Which lines of a table do the words of a statement speak of?
//!
//! A line is scored as Tversky's index has it: words of its label that the statement
//! shares, against words of the label that the statement lacks, and words of the
//! statement that name other lines. Words that few lines have count more.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::words;

/// What a word of the label that the statement lacks costs.
const MISSING: f32 = 0.35;

/// What a word of the statement costs that names another line.
const FOREIGN: f32 = 0.55;

/// Words between a figure and the one before it weigh at least this.
const NEAR: f32 = 0.55;

/// What words count that stand in many labels, or are about the whole table.
const GENERIC: f32 = 0.5;

/// Word ids are hashes already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

/// Words with weights.
pub(super) type Weights = HashMap<u64, f32, BuildHasherDefault<AsIs>>;

/// Labels that compete, with the weights of their words.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    labels: Vec<Vec<u64>>,
    parents: Vec<Vec<u64>>,
    weights: Weights,
}

/// How a statement speaks of lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoken {
    /// The score of each line, 0 to 1.
    pub(super) scores: Vec<f32>,
    /// How much of each label the statement has, 0 to 1.
    pub(super) coverage: Vec<f32>,
    /// How many words of each label stand in the figure's own clause; none where any is
    /// missing there.
    pub(super) whole_near: Vec<Option<usize>>,
    /// The best score.
    pub(super) best: f32,
    /// The best score of a line of two words or more that stand near, all of them.
    best_whole: f32,
    /// The most words of a label that stand near, all of them.
    longest: usize,
}

impl Spoken {
    /// Whether a line is one that the statement may mean: it scores about as well as the
    /// best, or its whole label stands in the figure's clause, and no longer one does.
    pub(super) fn means(&self, line: usize, margin: f32) -> bool {
        let Some(score) = self.scores.get(line) else { return true };
        let whole = self.whole_near[line];
        if self.best - score <= margin {
            // Where another label stands there whole, one with a word too many is not meant.
            return self.best_whole <= *score || self.coverage[line] > 0.99 || whole.is_some();
        }
        whole.is_some_and(|length| length == self.longest && length >= 2)
    }
}

impl Lines {
    /// Weighs labels against each other. `about` are words that all of them share.
    pub(super) fn new(labels: Vec<Vec<u64>>, parents: Vec<Vec<u64>>, about: &[u64]) -> Self {
        let mut counts: HashMap<u64, u32, BuildHasherDefault<AsIs>> = HashMap::default();
        for (label, parent) in labels.iter().zip(&parents) {
            for id in label.iter().chain(parent.iter().filter(|id| !label.contains(id))) {
                *counts.entry(*id).or_default() += 1;
            }
        }
        let generic = words::generic_ids();
        let all = labels.len() as f32;
        let weights = counts
            .into_iter()
            .map(|(id, count)| {
                let rare = (1.0 + all / count as f32).ln();
                let factor = if generic.contains(&id) || about.binary_search(&id).is_ok() {
                    GENERIC
                } else {
                    1.0
                };
                (id, rare * factor)
            })
            .collect();
        Self { labels, parents, weights }
    }

    /// Scores every line for a statement.
    pub(super) fn speak(&self, statement: &Weights) -> Spoken {
        let mut said = 0.0;
        for (id, weight) in &self.weights {
            if let Some(strength) = statement.get(id) {
                said += weight * strength;
            }
        }
        let mut spoken = Spoken {
            scores: vec![0.0; self.labels.len()],
            coverage: vec![0.0; self.labels.len()],
            whole_near: vec![None; self.labels.len()],
            best: 0.0,
            best_whole: 0.0,
            longest: 0,
        };
        if said <= 0.0 {
            return spoken;
        }
        for (line, label) in self.labels.iter().enumerate() {
            let (mut shared, mut full, mut missing, mut whole) =
                (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
            for id in label {
                let weight = self.weights.get(id).copied().unwrap_or_default();
                whole += weight;
                match statement.get(id) {
                    Some(strength) => {
                        shared += weight * strength;
                        full += weight;
                    }
                    None => missing += weight,
                }
            }
            let near =
                label.iter().all(|id| statement.get(id).is_some_and(|strength| *strength >= NEAR));
            spoken.whole_near[line] = (near && !label.is_empty()).then_some(label.len());
            let own = shared;
            for id in self.parents[line].iter().filter(|id| !label.contains(id)) {
                if let Some(strength) = statement.get(id) {
                    shared += self.weights.get(id).copied().unwrap_or_default() * strength;
                }
            }
            if own <= 0.0 {
                // The label above alone names a line only faintly.
                spoken.scores[line] = 0.2 * shared / (said + missing);
                continue;
            }
            let foreign = (said - shared).max(0.0);
            spoken.scores[line] = shared / (shared + MISSING * missing + FOREIGN * foreign);
            spoken.coverage[line] = if whole > 0.0 { full / whole } else { 0.0 };
        }
        spoken.best = spoken.scores.iter().copied().fold(0.0, f32::max);
        for (score, whole) in spoken.scores.iter().zip(&spoken.whole_near) {
            let length = whole.unwrap_or(0);
            spoken.longest = spoken.longest.max(length);
            if length >= 2 {
                spoken.best_whole = spoken.best_whole.max(*score);
            }
        }
        spoken
    }
}
