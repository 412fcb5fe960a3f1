//! Which passages would a store's full text and vectors find? Computed in memory.

use std::collections::HashMap;

use quaestor_core::model::Passage;
use quaestor_core::ports::store::TermStats;
use quaestor_core::retrieval::{Question, document_field, index_terms};

/// Passages with what is needed to find them.
pub struct MemoryIndex {
    pub passages: Vec<Passage>,
    postings: HashMap<String, Vec<(u32, u32)>>,
    lengths: Vec<f32>,
    mean: f32,
}

/// BM25 as SQLite's FTS5 computes it.
pub const FTS5: (f32, f32) = (1.2, 0.75);

impl MemoryIndex {
    pub fn new(passages: Vec<Passage>) -> Self {
        let mut postings: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
        let mut lengths = Vec::new();
        for (at, passage) in (0_u32..).zip(&passages) {
            let document = document_field(&passage.filename, passage.title.as_deref());
            let terms = index_terms(&document, &passage.section, &passage.header, &passage.text);
            let mut counts: HashMap<&str, u32> = HashMap::new();
            for term in terms.split(' ').filter(|term| !term.is_empty()) {
                *counts.entry(term).or_default() += 1;
            }
            lengths.push(counts.values().sum::<u32>() as f32);
            for (term, count) in counts {
                postings.entry(term.to_owned()).or_default().push((at, count));
            }
        }
        let mean = lengths.iter().sum::<f32>() / lengths.len().max(1) as f32;
        Self { passages, postings, lengths, mean }
    }

    pub fn stats(&self, terms: &[String]) -> TermStats {
        let with = |term: &String| self.postings.get(term).map_or(0, |found| found.len() as u64);
        TermStats {
            chunks: self.passages.len() as u64,
            chunks_with: terms.iter().map(with).collect(),
        }
    }

    /// The best passages by BM25 with `k1` and `b`, best first.
    pub fn by_words(&self, terms: &[String], (k1, b): (f32, f32), limit: usize) -> Vec<(u32, f32)> {
        let all = self.passages.len() as f32;
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for term in terms {
            let Some(found) = self.postings.get(term) else { continue };
            let with = found.len() as f32;
            let idf = ((all - with + 0.5) / (with + 0.5) + 1.0).ln();
            for (at, count) in found {
                let length = self.lengths[*at as usize] / self.mean;
                let count = *count as f32;
                *scores.entry(*at).or_default() +=
                    idf * count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length));
            }
        }
        best(scores.into_iter().collect(), limit)
    }
}

impl MemoryIndex {
    /// The candidates by words, as the product asks a store for them.
    pub fn candidates(&self, question: &Question) -> Vec<u32> {
        let searches = question.searches();
        let limit = 200 / searches.len().max(1);
        let mut chosen = Vec::new();
        for terms in searches {
            for (at, _) in self.by_words(&terms, FTS5, limit) {
                if !chosen.contains(&at) {
                    chosen.push(at);
                }
            }
        }
        chosen
    }
}

/// The best of scored passages, best first.
pub fn best(mut scored: Vec<(u32, f32)>, limit: usize) -> Vec<(u32, f32)> {
    scored.sort_by(|one, two| two.1.total_cmp(&one.1).then(one.0.cmp(&two.0)));
    scored.truncate(limit);
    scored
}
