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
///
/// At least `tables` of them are rows of tables, where the ranking holds so many: prose
/// that speaks of a figure all the time ranks above the one table that gives it.
pub(super) fn spread(ranked: Vec<Ranked>, limit: usize, tables: usize) -> Vec<ScoredPassage> {
    let cap = limit.div_ceil(2).max(1);
    let mut seen = HashSet::new();
    let mut taken: HashMap<_, usize> = HashMap::new();
    let mut kept = Vec::with_capacity(limit);
    let mut over = Vec::new();
    let mut later_tables = Vec::new();
    for candidate in ranked {
        if kept.len() >= limit {
            if later_tables.len() < tables && candidate.scored.passage.is_table {
                later_tables.extend(seen.insert(candidate.fingerprint).then_some(candidate.scored));
            }
            continue;
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
    let have = kept.iter().filter(|scored| scored.passage.is_table).count();
    for table in later_tables.into_iter().take(tables.saturating_sub(have)) {
        if let Some(last) = kept.iter().rposition(|scored| !scored.passage.is_table) {
            kept.remove(last);
            kept.push(table);
        }
    }
    kept.sort_by(|one, two| two.score.total_cmp(&one.score));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChunkId, CollectionId, DocumentId};
    use crate::model::Passage;
    use uuid::Uuid;

    fn ranked(document: u128, fingerprint: u64, score: f32, is_table: bool) -> Ranked {
        let passage = Passage {
            chunk_id: ChunkId(Uuid::from_u128(u128::from(fingerprint))),
            document_id: DocumentId(Uuid::from_u128(document)),
            version: 1,
            collection_id: CollectionId(Uuid::nil()),
            filename: String::new(),
            title: None,
            media_type: String::new(),
            document_date: None,
            ordinal: 0,
            page_ordinal: 0,
            page: None,
            char_start: 0,
            char_end: 0,
            section: String::new(),
            header: String::new(),
            text: String::new(),
            is_table,
            cells: None,
            tokens: 0,
        };
        Ranked { scored: ScoredPassage { passage, score }, fingerprint, named: false }
    }

    fn documents(kept: &[ScoredPassage]) -> Vec<u128> {
        kept.iter().map(|scored| scored.passage.document_id.0.as_u128()).collect()
    }

    #[test]
    fn equal_words_are_shown_once() {
        let kept = spread(vec![ranked(1, 7, 0.9, false), ranked(2, 7, 0.8, false)], 4, 0);
        assert_eq!(documents(&kept), [1]);
    }

    #[test]
    fn one_document_takes_no_more_than_half_unless_it_is_alone_or_named() {
        let mut all: Vec<Ranked> =
            (0..6).map(|n| ranked(1, n, 1.0 - n as f32 / 100.0, false)).collect();
        all.extend((6..9).map(|n| ranked(2, n, 0.5, false)));
        assert_eq!(documents(&spread(all.clone(), 4, 0)), [1, 1, 2, 2]);
        let alone = all[..6].to_vec();
        assert_eq!(documents(&spread(alone, 4, 0)), [1, 1, 1, 1]);
        all.iter_mut().for_each(|one| one.named = one.scored.score > 0.9);
        assert_eq!(documents(&spread(all, 4, 0)), [1, 1, 1, 1]);
    }

    #[test]
    fn tables_keep_a_share_of_the_places_where_figures_are_asked_for() {
        let mut all: Vec<Ranked> =
            (0..6).map(|n| ranked(u128::from(n), n, 1.0 - n as f32 / 100.0, false)).collect();
        all.push(ranked(9, 9, 0.1, true));
        let kept = spread(all, 3, 1);
        assert_eq!(documents(&kept), [0, 1, 9]);
    }
}
