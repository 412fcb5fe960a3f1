//! How is a ranking kept from saying the same thing many times?
//!
//! Passages of equal words are shown once. No document takes more than half of the
//! places, unless the question names it or nothing else was found.

use std::collections::{HashMap, HashSet};

use super::ScoredPassage;

/// A ranked candidate.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    /// The passage and its score.
    pub(super) scored: ScoredPassage,
    /// Equal for passages of equal words.
    pub(super) fingerprint: u64,
    /// Whether the question names its document.
    pub(super) named: bool,
}

/// The first `limit` of a ranking, repetitions and too large shares passed over. Places
/// that stay free for that are filled with what was passed over for its share.
pub(super) fn spread(ranked: Vec<Ranked>, limit: usize) -> Vec<ScoredPassage> {
    let cap = limit.div_ceil(2).max(1);
    let mut seen = HashSet::new();
    let mut taken: HashMap<_, usize> = HashMap::new();
    let mut kept = Vec::with_capacity(limit);
    let mut over = Vec::new();
    for candidate in ranked {
        if kept.len() >= limit {
            break;
        }
        if !seen.insert(candidate.fingerprint) {
            continue;
        }
        let share = taken.entry(candidate.scored.passage.document_id).or_default();
        if *share >= cap && !candidate.named {
            over.push(candidate.scored);
            continue;
        }
        *share += 1;
        kept.push(candidate.scored);
    }
    let free = limit.saturating_sub(kept.len());
    kept.extend(over.into_iter().take(free));
    kept.sort_by(|one, two| two.score.total_cmp(&one.score));
    kept
}
