//! Which of the candidates are the best passages, and in which order?

use chrono::Datelike;

use super::ScoredPassage;
use super::documents::document_fits;
use super::period::{Fit, Periods};
use super::question::Question;
use super::spread::{Ranked, spread};
use super::weights::Weights;
use super::words::{Counts, Fields, WordScorer};
use crate::model::Passage;
use crate::ports::store::TermStats;

/// A passage that words or meaning found.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The passage.
    pub passage: Passage,
    /// Cosine similarity to the question, where its vector was found.
    pub similarity: Option<f32>,
}

/// The best candidates, best first, at most `limit`.
///
/// `stats` speaks of the question's terms, in their order.
#[must_use]
pub fn rank(
    question: &Question,
    stats: &TermStats,
    candidates: Vec<Candidate>,
    weights: &Weights,
    limit: usize,
) -> Vec<ScoredPassage> {
    let ranked = order(question, stats, candidates, weights);
    best(question, ranked, weights, limit)
}

/// The first `limit` of a ranking that are worth showing.
pub(super) fn best(
    question: &Question,
    ranked: Vec<Ranked>,
    weights: &Weights,
    limit: usize,
) -> Vec<ScoredPassage> {
    let tables = match weights.table_share {
        share if share > 0 && question.wants_number => limit / share,
        _ => 0,
    };
    spread(ranked, limit, tables)
}

/// All candidates, best first.
pub(super) fn order(
    question: &Question,
    stats: &TermStats,
    candidates: Vec<Candidate>,
    weights: &Weights,
) -> Vec<Ranked> {
    let scorer = WordScorer::new(question, stats, weights);
    let documents: Vec<String> =
        candidates.iter().map(|candidate| document_name(&candidate.passage)).collect();
    let counts: Vec<Counts> = candidates
        .iter()
        .zip(&documents)
        .map(|(candidate, document)| {
            let passage = &candidate.passage;
            scorer.count(&Fields {
                document,
                section: &passage.section,
                header: &passage.header,
                text: &passage.text,
            })
        })
        .collect();
    let mean = mean_lengths(&counts);
    let times: Vec<Times> = candidates
        .iter()
        .zip(&documents)
        .map(|(candidate, document)| Times::of(question, &candidate.passage, document))
        .collect();
    let worth = scorer.times_worth();
    let words: Vec<f32> = counts
        .iter()
        .zip(&times)
        .map(|(of, times)| scorer.score(of, &mean, worth * times.said, weights))
        .collect();
    let best = words.iter().copied().fold(0.0_f32, f32::max).max(f32::MIN_POSITIVE);
    let meaning = meaning(&candidates);
    let fits = document_fits(question, scorer.idf(), &candidates, &documents);
    let share = match (&meaning, question.wants_number) {
        (None, _) => 0.0,
        (Some(_), true) => weights.meaning_of_figures,
        (Some(_), false) => weights.meaning,
    };
    let mut ranked: Vec<Ranked> = candidates
        .into_iter()
        .enumerate()
        .map(|(at, candidate)| {
            let similar = meaning.as_ref().map_or(0.0, |all| all[at]);
            let document = fits.get(&candidate.passage.document_id).copied().unwrap_or_default();
            let score = (1.0 - share) * words[at] / best
                + share * similar
                + weights.named_document * document.named
                + weights.document_period * document.period
                + weights.latest_document * document.latest
                + weights.period * times[at].fit
                + if question.wants_number && candidate.passage.is_table {
                    weights.table
                } else {
                    0.0
                };
            Ranked {
                scored: ScoredPassage { passage: candidate.passage, score },
                fingerprint: counts[at].fingerprint,
                named: document.named > 0.99,
            }
        })
        .collect();
    // Equal scores keep the order of document and place, so that a search is repeatable.
    ranked.sort_by(|one, two| {
        let place =
            |ranked: &Ranked| (ranked.scored.passage.document_id, ranked.scored.passage.ordinal);
        two.scored.score.total_cmp(&one.scored.score).then_with(|| place(one).cmp(&place(two)))
    });
    ranked
}

/// The name and title of a passage's document, as they are indexed.
fn document_name(passage: &Passage) -> String {
    super::document_field(&passage.filename, passage.title.as_deref())
}

fn mean_lengths(counts: &[Counts]) -> [f32; 4] {
    let n = counts.len().max(1) as f32;
    let mut mean = [0.0; 4];
    for of in counts {
        for (sum, length) in mean.iter_mut().zip(of.lengths) {
            *sum += length as f32 / n;
        }
    }
    mean
}

/// Similarities stretched to 0 to 1 over the candidates; those without one get the
/// lowest. None where no candidate has one.
fn meaning(candidates: &[Candidate]) -> Option<Vec<f32>> {
    let known = || candidates.iter().filter_map(|candidate| candidate.similarity);
    let lowest = known().fold(f32::INFINITY, f32::min);
    let highest = known().fold(f32::NEG_INFINITY, f32::max);
    if !lowest.is_finite() {
        return None;
    }
    let range = (highest - lowest).max(1e-6);
    Some(
        candidates
            .iter()
            .map(|candidate| candidate.similarity.map_or(0.0, |found| (found - lowest) / range))
            .collect(),
    )
}

/// How a passage's times fit those of the question.
struct Times {
    /// 1 where they fit, -1 where they contradict, between where only a part does.
    fit: f32,
    /// Which share of the question's times the passage says, in whatever words.
    said: f32,
}

impl Times {
    fn of(question: &Question, passage: &Passage, document: &str) -> Self {
        if question.periods.is_empty() {
            return Self { fit: 0.0, said: 0.0 };
        }
        let value = |fit: Fit| -> f32 {
            match fit {
                Fit::Fits => 1.0,
                Fit::Silent => 0.0,
                Fit::Contradicts => -1.0,
            }
        };
        let mut near = Periods::read(&passage.header);
        if near.is_empty() {
            near = Periods::read(&passage.text);
        }
        let mut far = Periods::read(document);
        if let Some(date) = passage.document_date {
            far.dates.push(date);
            far.years.push(date.year());
        }
        let asked = &question.periods;
        let (date, length) = (value(asked.date_fit(&near)), value(asked.length_fit(&near)));
        // A filing also tells of the year before, so its own date only favours.
        let whole = value(asked.date_fit(&far)).max(0.0) * 0.15
            + value(asked.quarter_fit(&far)).max(0.0) * 0.1;
        let said = if date < 0.0 { 0.0 } else { date * 0.5 + length.max(0.0) * 0.4 };
        Self { fit: date * 0.5 + length * 0.25 + whole, said }
    }
}
