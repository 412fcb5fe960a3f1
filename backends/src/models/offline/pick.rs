//! Which sentences and rows of the passages answer the question?

use std::collections::{HashMap, HashSet};

use quaestor_core::ports::chat_model::GroundingPassage;
use quaestor_core::retrieval::analyse::terms;
use quaestor_core::retrieval::period::{Fit, Periods};
use quaestor_core::retrieval::{Question, document_field};

use super::row::{Choice, Row, is_figure, rows};
use super::sentence::sentences;

/// The most quotes that an answer holds.
pub(super) const MOST_QUOTES: usize = 3;
/// So many further passages are cited that hold the same words.
const MOST_REPEATED: usize = 2;
/// What a term counts that stands nowhere in the passages: it tells no piece from another.
const UNSEEN: f32 = 0.4;
/// A further quote is at least this good, in parts of the best one.
const NEXT_SHARE: f32 = 0.7;
/// What covers less of the question's words than this does not answer it.
const LEAST_COVER: f32 = 0.34;

/// A piece of a passage that may answer.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// The passage.
    pub(super) passage: &'a GroundingPassage,
    /// What is quoted, word for word.
    pub(super) text: &'a str,
    /// The row, where it is one.
    pub(super) row: Option<Row<'a>>,
    /// The row's cell that answers.
    pub(super) choice: Option<Choice>,
    /// Higher is better.
    pub(super) score: f32,
    cover: f32,
}

impl Piece<'_> {
    /// The passages that hold these words, the one they were found in first.
    pub(super) fn ordinals(&self, passages: &[GroundingPassage]) -> Vec<u32> {
        let own = self.passage.ordinal;
        let others = passages
            .iter()
            .filter(|passage| passage.ordinal != own && passage.text.contains(self.text))
            .map(|passage| passage.ordinal)
            .take(MOST_REPEATED);
        std::iter::once(own).chain(others).collect()
    }
}

/// The best pieces, best first; none where nothing fits.
pub(super) fn pick<'a>(question: &Question, passages: &'a [GroundingPassage]) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = passages.iter().flat_map(pieces).collect();
    let rarity = rarity(question, &pieces);
    let best_prior = passages.iter().map(|passage| passage.score).fold(f32::MIN_POSITIVE, f32::max);
    for piece in &mut pieces {
        score(piece, question, &rarity, best_prior);
    }
    pieces.retain(|piece| piece.cover >= LEAST_COVER);
    pieces.sort_by(|one, two| {
        two.score.total_cmp(&one.score).then(one.passage.ordinal.cmp(&two.passage.ordinal))
    });
    let Some(best) = pieces.first().map(|piece| piece.score) else { return pieces };
    let mut seen = HashSet::new();
    pieces.retain(|piece| {
        piece.score >= best * NEXT_SHARE && seen.insert(terms(piece.text).join(" "))
    });
    pieces.truncate(MOST_QUOTES);
    pieces
}

fn pieces(passage: &GroundingPassage) -> Vec<Piece<'_>> {
    let piece = |text, row| Piece { passage, text, row, choice: None, score: 0.0, cover: 0.0 };
    let mut found = Vec::new();
    for row in rows(&passage.header, &passage.text) {
        found.push(piece(row.line, Some(row)));
    }
    // Lines without cells are running text, in a passage with rows as well.
    let mut start = 0;
    let mut end = 0;
    for line in passage.text.split_inclusive('\n') {
        if line.contains(" | ") || line.trim_start().starts_with('|') {
            found.extend(
                sentences(&passage.text[start..end]).into_iter().map(|text| piece(text, None)),
            );
            start = end + line.len();
        }
        end += line.len();
    }
    found.extend(sentences(&passage.text[start..end]).into_iter().map(|text| piece(text, None)));
    found
}

/// How much each term of the question tells, by how few pieces hold it.
fn rarity(question: &Question, pieces: &[Piece<'_>]) -> Vec<f32> {
    let mut with: HashMap<&str, f32> = HashMap::new();
    for piece in pieces {
        let found: HashSet<String> = terms(piece.text).into_iter().collect();
        for term in &question.terms {
            if found.contains(term) {
                *with.entry(term).or_default() += 1.0;
            }
        }
    }
    let all = pieces.len() as f32;
    let of = |term: &String| match with.get(term.as_str()) {
        Some(with) => ((all - with + 0.5) / (with + 0.5) + 1.0).ln(),
        None => UNSEEN * (2.0 * all + 2.0).ln(),
    };
    question
        .terms
        .iter()
        .zip(&question.times)
        .map(|(term, time)| if *time { 0.4 * of(term) } else { of(term) })
        .collect()
}

fn score(piece: &mut Piece<'_>, question: &Question, rarity: &[f32], best_prior: f32) {
    let passage = piece.passage;
    let set = |text: &str| terms(text).into_iter().collect::<HashSet<String>>();
    let own = set(piece.text);
    let document = set(&document_field(&passage.filename, passage.title.as_deref()));
    let section = set(&passage.section);
    piece.choice = piece.row.as_ref().and_then(|row| row.choose(question));
    let mut near = set(piece.row.as_ref().map_or("", |row| row.group));
    let header = set(&passage.header);
    if let (Some(row), Some(choice)) = (&piece.row, piece.choice) {
        near.extend(terms(row.columns.get(choice.cell).copied().unwrap_or("")));
    }
    // "Three Months Ended October 29, 2023" says what "third quarter of fiscal year 2024"
    // asks, in other words.
    let column_says_time = piece.row.as_ref().zip(piece.choice).is_some_and(|(row, choice)| {
        let column = Periods::read(row.columns.get(choice.cell).copied().unwrap_or(""));
        let asked = &question.periods;
        asked.length_fit(&column) == Fit::Fits && asked.date_fit(&column) != Fit::Contradicts
    });
    let mut covered = 0.0;
    let mut whole = 0.0;
    for (at, term) in question.terms.iter().enumerate() {
        let named = question.names[at];
        let share = if own.contains(term) {
            1.0
        } else if named && document.contains(term) {
            0.95
        } else if near.contains(term) || (column_says_time && question.times[at]) {
            0.9
        } else if header.contains(term) || section.contains(term) {
            0.6
        } else if document.contains(term) {
            0.5
        } else {
            0.0
        };
        whole += rarity[at];
        covered += share * rarity[at];
    }
    piece.cover = if whole > 0.0 { covered / whole } else { 0.0 };
    let mut score = piece.cover + 0.3 * passage.score / best_prior;
    let content: Vec<usize> = (0..question.terms.len())
        .filter(|at| !question.times[*at])
        .filter(|at| !(question.names[*at] && document.contains(&question.terms[*at])))
        .collect();
    match &piece.row {
        Some(row) => {
            if question.wants_number && !row.has_figure(question) {
                score -= 0.5;
            }
            let label = row.label(question);
            let times = row.own_time_fit(question);
            // A row that is named by its time alone: the month of a summary.
            let is_time = terms(&label).iter().all(|word| {
                question.terms.iter().zip(&question.times).any(|(term, time)| *time && term == word)
            });
            score += 0.45
                * if is_time && !label.is_empty() {
                    0.45 * times.max(0.0)
                } else {
                    label_match(&label, row.group, question, &content, rarity)
                };
            score += piece.choice.map_or(-0.3, |choice| 0.3 * choice.fit);
            score += 0.3 * times;
        }
        None => {
            if question.wants_number && !has_value(piece.text) {
                score -= 0.5;
            }
            if piece.text.ends_with('?') || piece.text.chars().count() < 25 {
                score -= 0.2;
            }
            let of = |own_only: bool| -> f32 {
                content
                    .iter()
                    .filter(|at| !own_only || own.contains(&question.terms[**at]))
                    .map(|at| rarity[*at])
                    .sum()
            };
            let recall = if content.is_empty() { 0.0 } else { of(true) / of(false).max(1e-6) };
            // A sentence that speaks of much else beside answers less surely.
            let words = terms(piece.text);
            let asked = words.iter().filter(|word| question.terms.contains(word)).count();
            let density = (2.5 * asked as f32 / words.len().max(1) as f32).min(1.0);
            score += 0.45 * recall * (0.4 + 0.6 * density);
            score += 0.2 * period_fit(question, piece.text, &passage.header);
        }
    }
    piece.score = score;
}

/// How well a row's label says what the question asks, 0 to 1: how much of it the
/// question says, and how much of the question it says. `Total net sales` is meant
/// before `Total net sales of other segments`, and before `Sales`.
fn label_match(
    label: &str,
    group: &str,
    question: &Question,
    content: &[usize],
    rarity: &[f32],
) -> f32 {
    // Marks of footnotes name nothing.
    let mut words = terms(label);
    words.retain(|word| word.len() > 2 || word.bytes().any(|b| !b.is_ascii_digit()));
    if words.is_empty() {
        return 0.0;
    }
    let asked = words.iter().filter(|word| question.terms.contains(word)).count();
    let precision = asked as f32 / words.len() as f32;
    let above = terms(group);
    let of = |weight: &dyn Fn(&String) -> f32| -> f32 {
        content.iter().map(|at| rarity[*at] * weight(&question.terms[*at])).sum()
    };
    let whole = of(&|_| 1.0);
    let said = of(&|term| {
        if words.contains(term) {
            1.0
        } else if above.contains(term) {
            0.7
        } else {
            0.0
        }
    });
    let recall = if whole > 0.0 { said / whole } else { 0.0 };
    if precision + recall <= 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
}

/// Whether a sentence gives a figure that is no year, day or number of a note.
fn has_value(text: &str) -> bool {
    let mut before = String::new();
    for word in text.split_whitespace() {
        let bare =
            word.trim_matches(|c: char| !c.is_alphanumeric() && c != '$' && c != '%' && c != '€');
        let year = bare.len() == 4 && (bare.starts_with("19") || bare.starts_with("20"));
        let numbers_something = matches!(
            before.as_str(),
            "note" | "item" | "part" | "rule" | "section" | "form" | "page" | "level" | "topic"
        );
        let day =
            bare.len() <= 2 && !Periods::read(&format!("{before} {bare}")).month_days.is_empty();
        if is_figure(bare) && !year && !numbers_something && !day {
            return true;
        }
        before = bare.to_lowercase();
    }
    false
}

/// How the times of a sentence fit the question's, -1 to 1.
fn period_fit(question: &Question, text: &str, header: &str) -> f32 {
    let mut place = Periods::read(text);
    if place.is_empty() {
        place = Periods::read(header);
    }
    let value = |fit: Fit| match fit {
        Fit::Fits => 1.0,
        Fit::Silent => 0.0,
        Fit::Contradicts => -1.0_f32,
    };
    0.6 * value(question.periods.date_fit(&place))
        + 0.4 * value(question.periods.length_fit(&place))
}
