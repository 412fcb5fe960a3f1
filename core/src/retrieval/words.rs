//! How well do the words of a passage answer a question?
//!
//! BM25 over weighted fields (Robertson, Zaragoza: "The Probabilistic Relevance
//! Framework: BM25 and Beyond", 2009, section 3.6), with a share for neighbouring words
//! of the question that are neighbours in the passage too.

use std::collections::HashMap;

use super::analyse::{Beginnings, analyse_for};
use super::question::Question;
use super::weights::Weights;
use crate::ports::store::TermStats;

/// The fields of a passage that are searched, in the order of their weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    /// The document's name and title.
    pub(super) document: &'a str,
    /// The headings above the passage.
    pub(super) section: &'a str,
    /// The table's caption and header lines.
    pub(super) header: &'a str,
    /// The passage.
    pub(super) text: &'a str,
}

/// How often each term of the question stands in each field.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// By field, then by term of the question.
    pub(super) by_field: [Vec<u16>; 4],
    /// Terms in each field.
    pub(super) lengths: [u32; 4],
    /// For each pair of neighbours in the question, whether they are neighbours in the
    /// passage or its header.
    pub(super) pairs: Vec<bool>,
    /// Stands for the text: equal where the terms of header and text are equal.
    pub(super) fingerprint: u64,
}

/// A question made ready for counting and scoring.
#[derive(Debug)]
pub(super) struct WordScorer<'a> {
    question: &'a Question,
    index: HashMap<&'a str, usize>,
    beginnings: Beginnings,
    /// Neighbouring terms of the question and how far apart they stand in it.
    pairs: Vec<(usize, usize)>,
    idf: Vec<f32>,
}

impl<'a> WordScorer<'a> {
    /// Makes a question ready, with how common its terms are.
    #[must_use]
    pub(super) fn new(question: &'a Question, stats: &TermStats, weights: &Weights) -> Self {
        let chunks = stats.chunks.max(1) as f32;
        let idf = (0..question.terms.len())
            .map(|at| {
                let with = stats.chunks_with.get(at).copied().unwrap_or(0) as f32;
                let with = with.min(chunks);
                let idf = ((chunks - with + 0.5) / (with + 0.5) + 1.0).ln();
                if question.times.get(at) == Some(&true) { idf * weights.time_terms } else { idf }
            })
            .collect();
        let pairs = question
            .sequence
            .windows(2)
            .filter(|pair| pair[1].1.saturating_sub(pair[0].1) <= 2 && pair[0].0 != pair[1].0)
            .map(|pair| (pair[0].0, pair[1].0))
            .collect();
        let index =
            question.terms.iter().enumerate().map(|(at, term)| (term.as_str(), at)).collect();
        Self { question, index, beginnings: Beginnings::of(&question.terms), pairs, idf }
    }

    /// How much each term of the question tells, by its rarity.
    #[must_use]
    pub(super) fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// Counts the question's terms in a passage.
    #[must_use]
    pub(super) fn count(&self, fields: &Fields<'_>) -> Counts {
        let mut counts = Counts { pairs: vec![false; self.pairs.len()], ..Counts::default() };
        let n_terms = self.question.terms.len();
        let mut hash = Fnv::new();
        let texts = [fields.document, fields.section, fields.header, fields.text];
        for (field, text) in texts.into_iter().enumerate() {
            let mut found = vec![0_u16; n_terms];
            let mut last: Option<(usize, u32)> = None;
            if field >= 2 {
                hash.add(text);
            }
            let length = analyse_for(text, &self.beginnings, |term, place| {
                let Some(&at) = self.index.get(term) else { return };
                found[at] = found[at].saturating_add(1);
                if let Some((before, place_before)) = last
                    && place.saturating_sub(place_before) <= 2
                    && let Some(pair) = self.pairs.iter().position(|pair| *pair == (before, at))
                {
                    counts.pairs[pair] = true;
                }
                last = Some((at, place));
            });
            counts.by_field[field] = found;
            counts.lengths[field] = length;
        }
        counts.fingerprint = hash.0;
        counts
    }

    /// What the terms that only say a time are worth where all of them are found.
    pub(super) fn times_worth(&self) -> f32 {
        self.idf
            .iter()
            .zip(&self.question.times)
            .filter(|(_, time)| **time)
            .map(|(idf, _)| idf)
            .sum()
    }

    /// The score of a passage among others whose fields have these mean lengths.
    /// `time_floor` is what the terms that only say a time score at least: a table's
    /// header says "Three Months Ended" where the question says "third quarter".
    pub(super) fn score(
        &self,
        counts: &Counts,
        mean: &[f32; 4],
        time_floor: f32,
        weights: &Weights,
    ) -> f32 {
        let mut score = 0.0;
        let mut times = 0.0;
        let mut covered = 0.0;
        let mut whole = 0.0;
        for (at, idf) in self.idf.iter().enumerate() {
            let mut frequency = 0.0;
            for (field, mean) in mean.iter().enumerate() {
                let found = f32::from(counts.by_field[field][at]);
                if found > 0.0 {
                    let b = weights.field_b[field];
                    let relative = counts.lengths[field] as f32 / mean.max(1.0);
                    frequency += weights.fields[field] * found / (1.0 - b + b * relative);
                }
            }
            whole += idf;
            if frequency > 0.0 {
                covered += idf;
                let gain = idf * frequency * (weights.k1 + 1.0) / (frequency + weights.k1);
                if self.question.times[at] {
                    times += gain;
                } else {
                    score += gain;
                }
            }
        }
        let neighbours: f32 = self
            .pairs
            .iter()
            .zip(&counts.pairs)
            .filter(|(_, found)| **found)
            .map(|((one, two), _)| self.idf[*one].min(self.idf[*two]))
            .sum();
        let coverage = if whole > 0.0 { covered / whole } else { 0.0 };
        let score = score + times.max(time_floor) + weights.neighbours * neighbours;
        score * (1.0 - weights.coverage * (1.0 - coverage))
    }
}

/// FNV-1a over the letters and digits of texts: enough to tell the passages of one
/// result apart.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, text: &str) {
        let mut between = true;
        for byte in text.bytes() {
            let counts = byte.is_ascii_alphanumeric() || byte >= 0x80;
            if counts || !between {
                let byte = if counts { byte.to_ascii_lowercase() } else { b' ' };
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            between = !counts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(question: &str, text: &str) -> f32 {
        let question = Question::read(question);
        let weights = Weights::default();
        let with = vec![10; question.terms.len()];
        let stats = TermStats { chunks: 1000, chunks_with: with };
        let scorer = WordScorer::new(&question, &stats, &weights);
        let counts = scorer.count(&Fields { document: "", section: "", header: "", text });
        scorer.score(&counts, &[1.0, 1.0, 1.0, 10.0], 0.0, &weights)
    }

    #[test]
    fn neighbours_of_the_question_count_more_together() {
        let together = score("total net sales", "total net sales rose by much here");
        let apart = score("total net sales", "sales in total rose by much here net");
        assert!(together > apart);
        assert!(apart > score("total net sales", "sales rose by much here"));
    }

    #[test]
    fn equal_words_have_equal_fingerprints() {
        let question = Question::read("sales");
        let stats = TermStats { chunks: 1, chunks_with: vec![1] };
        let scorer = WordScorer::new(&question, &stats, &Weights::default());
        let print = |text| {
            scorer.count(&Fields { document: "a", section: "", header: "", text }).fingerprint
        };
        assert_eq!(print("Net sales:  $ 10"), print("net sales 10"));
        assert_ne!(print("Net sales 10"), print("net sales 11"));
    }
}
