//! What is said around a figure of an answer: words by how near they are, times, and
//! what the words say that the figure is.

use super::hints::{self, Hints};
use super::lines::Weights;
use super::number::{Number, Sign};
use super::period::{self, Mention, Period};
use super::statement::Statement;
use super::table::Range;
use super::times;
use super::words::{self, Word};

/// Words farther than this from a figure are not about it.
const REACH: usize = 60;

/// What is said around a figure.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Its words and how near they are.
    pub(super) words: Weights,
    /// Every word of the statement, alike: for what a derivation names.
    pub(super) all: Weights,
    /// The times it belongs to; any of them will do.
    pub(super) periods: Vec<Period>,
    /// Every time that the statement names, in order.
    pub(super) named: Vec<Period>,
    /// What the words say that it is.
    pub(super) hints: Hints,
    /// Its sign; none where words leave it open.
    pub(super) negative: Option<bool>,
    /// Where words first stand in the statement, for what is named first.
    pub(super) order: std::collections::HashMap<u64, usize>,
}

/// A statement with all that is read of it once.
pub(super) struct Read<'a> {
    answer: &'a str,
    statement: &'a Statement,
    words: Vec<Word>,
    mentions: Vec<Mention>,
    /// The figures of the statement, by bytes of its own text.
    places: Vec<Range>,
    about_words: Vec<(Vec<Word>, f32)>,
    about_times: Vec<Mention>,
    question: &'a Asked,
}

/// What is read of the question.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    words: Vec<Word>,
    periods: Vec<Period>,
}

impl Asked {
    /// Reads the question.
    pub(super) fn read(question: &str) -> Self {
        let periods = period::mentions(question).into_iter().map(|m| m.period).collect();
        Self { words: words::words(question), periods }
    }
}

impl<'a> Read<'a> {
    /// Reads a statement; `numbers` are its figures, by bytes of its own text.
    pub(super) fn new(
        answer: &'a str,
        statement: &'a Statement,
        mentions: Vec<Mention>,
        numbers: &[Number],
        question: &'a Asked,
    ) -> Self {
        let text = &answer[statement.at.0..statement.at.1];
        let about = |range: &Range| &answer[range.0..range.1];
        let mut about_times = Vec::new();
        for range in &statement.about[..statement.own] {
            about_times.extend(period::mentions(about(range)));
        }
        if about_times.is_empty() && mentions.is_empty() {
            for range in &statement.about[statement.own..] {
                about_times = period::mentions(about(range));
                if !about_times.is_empty() {
                    break;
                }
            }
        }
        Self {
            answer,
            statement,
            words: words::words(text),
            mentions,
            places: numbers.iter().map(|number| (number.start, number.end)).collect(),
            about_words: statement
                .about
                .iter()
                .enumerate()
                .map(|(n, range)| {
                    (words::words(about(range)), if n < statement.own { 1.0 } else { 0.3 })
                })
                .collect(),
            about_times,
            question,
        }
    }

    /// What is said around one of its figures.
    pub(super) fn around(&self, index: usize, number: &Number) -> Context {
        let text = &self.answer[self.statement.at.0..self.statement.at.1];
        let mut hints = hints::of_figure(text, &self.places, index);
        for range in &self.statement.about[..self.statement.own] {
            let of_label = hints::of_label(&self.answer[range.0..range.1]);
            hints.change |= of_label.change;
            hints.average |= of_label.average;
        }
        let near = near(&self.words, text, &self.places, index);
        let mut found = Weights::default();
        let mut all = Weights::default();
        let mut order = std::collections::HashMap::new();
        for (id, weight, at) in near {
            raise(&mut found, id, weight);
            all.insert(id, 1.0);
            order.entry(id).or_insert(at);
        }
        for (words, weight) in &self.about_words {
            for word in words {
                raise(&mut found, word.id, *weight);
                if *weight >= 1.0 {
                    all.insert(word.id, 1.0);
                }
            }
        }
        for word in &self.question.words {
            raise(&mut found, word.id, 0.2);
        }
        // A sentence of its own words alone may be too short to name its line.
        if all.is_empty() {
            for word in &self.question.words {
                all.insert(word.id, 1.0);
            }
        }
        // What says that a figure is computed names no line.
        for id in hints::computing_words(hints) {
            if let Some(weight) = found.get_mut(&id) {
                *weight *= 0.2;
            }
        }
        let mut periods = times::bind(text, &self.places, index, &self.mentions);
        let mut named: Vec<Period> = self.mentions.iter().map(|m| m.period.clone()).collect();
        if self.mentions.is_empty() {
            let from: Vec<Period> = self.about_times.iter().map(|m| m.period.clone()).collect();
            let from = if from.is_empty() { self.question.periods.clone() } else { from };
            let mut one = Period::default();
            from.iter().for_each(|period| one.complete(period));
            // A row's day and a column's year are one time.
            let joined = from.iter().all(|period| period.fit(&one) == period::Fit::Fits);
            periods = if joined && !from.is_empty() { vec![one] } else { from.clone() };
            named = from;
        }
        Context {
            words: found,
            all,
            periods,
            named,
            hints,
            negative: negative(text, number, hints),
            order,
        }
    }
}

fn raise(weights: &mut Weights, id: u64, weight: f32) {
    let held = weights.entry(id).or_insert(0.0);
    *held = held.max(weight);
}

/// The sign that a figure claims. A bracket is a minus where it stands in the place of a
/// value, and an aside else.
fn negative(text: &str, number: &Number, hints: Hints) -> Option<bool> {
    match number.sign {
        Sign::Minus => Some(true),
        Sign::Bracketed => {
            let before = text[..number.start].trim_end().to_ascii_lowercase();
            let verbs = [
                "was", "were", "is", "are", "of", "to", "from", "at", "and", "by", "|", ":",
                "reported", "$",
            ];
            let is_value = before.is_empty() || verbs.iter().any(|verb| before.ends_with(verb));
            let shown = &text[number.start..number.end];
            if is_value || !shown.starts_with('(') { Some(true) } else { None }
        }
        Sign::Plain | Sign::Plus => {
            if hints.down || hints.loss {
                None
            } else {
                Some(false)
            }
        }
    }
}

/// The words of a sentence by how near they are to one of its figures: id, weight, place.
/// Used for answers and documents alike.
pub(super) fn near(
    words: &[Word],
    text: &str,
    places: &[Range],
    index: usize,
) -> Vec<(u64, f32, usize)> {
    let (start, end) = places[index];
    let previous_end = index.checked_sub(1).map_or(0, |before| places[before].1);
    let next_start = places.get(index + 1).map_or(text.len(), |next| next.0);
    let before = &text[previous_end..start];
    let after = &text[end..next_start];
    // Where the clause of the figure begins and ends.
    let clause_start = if index == 0 { 0 } else { previous_end + last_break(before) };
    let clause_end = end + first_break(after);
    let at = words.partition_point(|word| word.end <= start);
    let from = at.saturating_sub(REACH);
    let to = (at + REACH).min(words.len());
    words[from..to]
        .iter()
        .map(|word| {
            let weight = if word.end <= start {
                if word.start >= clause_start {
                    1.0
                } else if word.start >= previous_end {
                    0.6
                } else {
                    0.5
                }
            } else if word.start < end {
                0.5
            } else if word.end <= clause_end {
                0.8
            } else if word.end <= next_start {
                0.35
            } else {
                0.25
            };
            (word.id, weight, word.start)
        })
        .collect()
}

const BREAKS: [&str; 12] = [
    ", and ",
    " and ",
    "; ",
    ", ",
    " while ",
    " compared ",
    " versus ",
    " against ",
    " but ",
    " whereas ",
    ": ",
    " (",
];

fn last_break(text: &str) -> usize {
    BREAKS
        .iter()
        .filter(|mark| **mark != ", ")
        .filter_map(|mark| text.rfind(mark).map(|at| at + mark.len()))
        .max()
        .unwrap_or(0)
}

fn first_break(text: &str) -> usize {
    BREAKS.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len())
}
