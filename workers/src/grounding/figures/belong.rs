//! Does a figure of a document belong to what the answer says of it: the same line, the
//! same column, the same time?

use super::context::Context;
use super::facts::{Evidence, Fact, Place};
use super::lines::{Lines, Spoken, Weights};
use super::period::{Fit, Period};

/// A line may score this much less than the best one and still be the one that is meant.
pub(super) const LINE_MARGIN: f32 = 0.12;

/// The same for columns, whose names are short.
const COLUMN_MARGIN: f32 = 0.12;

/// The same for sentences.
const SENTENCE_MARGIN: f32 = 0.2;

/// A line that scores this is named without doubt.
const CERTAIN: f32 = 0.7;

/// Whether a figure belongs, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Belongs {
    /// Another line or sentence is meant.
    OtherLine,
    /// Another column is meant.
    OtherColumn,
    /// It is of another time.
    OtherPeriod,
    /// It belongs.
    Yes,
}

/// What a statement says of every line of every table, worked out when it is asked for.
pub(super) struct Belonging<'a, 'p> {
    evidence: &'a Evidence<'p>,
    context: &'a Context,
    rows: Vec<Vec<Option<Spoken>>>,
    columns: Vec<Vec<Option<Spoken>>>,
    sentences: Option<Sentences>,
}

/// How well the surroundings of each figure in running text fit the statement.
struct Sentences {
    scores: Vec<f32>,
    /// The best of each kind, once it is asked for.
    best: [Option<f32>; 3],
}

impl<'a, 'p> Belonging<'a, 'p> {
    /// For one figure of an answer.
    pub(super) fn new(evidence: &'a Evidence<'p>, context: &'a Context) -> Self {
        let empty: Vec<Vec<Option<Spoken>>> =
            evidence.sources.iter().map(|source| vec![None; source.tables.len()]).collect();
        Self { evidence, context, rows: empty.clone(), columns: empty, sentences: None }
    }

    /// Whether a figure belongs.
    pub(super) fn judge(&mut self, index: usize) -> Belongs {
        let fact = &self.evidence.facts[index];
        match fact.place {
            Place::Cell { table, row, column } => self.judge_cell(fact, table, row, column),
            Place::Sentence => self.judge_sentence(index),
        }
    }

    /// How sure it is that the answer speaks of the place of this figure, 0 to 1.
    pub(super) fn certainty(&mut self, index: usize) -> f32 {
        let fact = &self.evidence.facts[index];
        match fact.place {
            Place::Cell { table, row, .. } => self.spoken_rows(fact.source, table).scores[row],
            Place::Sentence => self.sentence_scores()[index],
        }
    }

    /// What the statement says of the rows of a table.
    pub(super) fn spoken_rows(&mut self, source: usize, table: usize) -> &Spoken {
        let context = self.context;
        let evidence = self.evidence;
        self.rows[source][table].get_or_insert_with(|| {
            evidence.sources[source].tables[table].lines.speak(&context.words)
        })
    }

    /// What the statement says of the columns of a table.
    pub(super) fn spoken_columns(&mut self, source: usize, table: usize) -> &Spoken {
        let context = self.context;
        let evidence = self.evidence;
        self.columns[source][table].get_or_insert_with(|| {
            evidence.sources[source].tables[table].names.speak(&context.words)
        })
    }

    fn judge_cell(&mut self, fact: &Fact, table: usize, row: usize, column: usize) -> Belongs {
        if !self.time_fits(fact, table) {
            return Belongs::OtherPeriod;
        }
        let source = fact.source;
        // A table that the statement does not speak of, where it speaks of another.
        if self.spoken_rows(source, table).best < 0.3 && self.a_table_says_otherwise(fact) {
            return Belongs::OtherLine;
        }

        if !self.spoken_rows(source, table).means(row, LINE_MARGIN)
            && !self.is_named_by_time(fact, table, row)
        {
            return Belongs::OtherLine;
        }
        let columns = self.spoken_columns(source, table);
        let own = columns.scores.get(column).copied().unwrap_or_default();
        if columns.best - own > COLUMN_MARGIN && self.rivals_in_row(fact, table, row, column) {
            return Belongs::OtherColumn;
        }
        // A level is not told by a column of changes.
        let level = !self.context.hints.change && !fact.held.unit.is_share();
        let of_change = self
            .evidence
            .column(fact)
            .is_some_and(|column| super::hints::of_label(&column.name).change);
        let label_change = self
            .evidence
            .row(fact)
            .is_some_and(|(_, row)| super::hints::of_label(&row.label).change);
        if level && of_change && !label_change && !self.context.periods.is_empty() {
            return Belongs::OtherColumn;
        }
        Belongs::Yes
    }

    /// Whether a line without words is of the very time that is asked for.
    fn is_named_by_time(&self, fact: &Fact, table: usize, row: usize) -> bool {
        let line = &self.evidence.sources[fact.source].tables[table].rows[row];
        line.words.is_empty()
            && !line.period.is_empty()
            && fit_any(&self.context.periods, std::slice::from_ref(&line.period)) == Fit::Fits
    }

    /// Whether a column that the statement names better has a figure in this row.
    fn rivals_in_row(&mut self, fact: &Fact, table: usize, row: usize, column: usize) -> bool {
        let evidence = self.evidence;
        let columns = self.spoken_columns(fact.source, table);
        let own = columns.scores.get(column).copied().unwrap_or_default();
        let table = &evidence.sources[fact.source].tables[table];
        // A column of percentages is no rival of amounts.
        let is_share =
            |name: &str| name.contains('%') || name.to_ascii_lowercase().contains("percent");
        let shares = fact.held.unit.is_share()
            || table.columns.get(column).is_some_and(|column| is_share(&column.name));
        table.rows[row].cells.iter().any(|cell| {
            let name = table.columns.get(cell.column).map_or("", |column| column.name.as_str());
            is_share(name) == shares
                && columns.scores.get(cell.column).is_some_and(|score| score - own > COLUMN_MARGIN)
        })
    }

    fn time_fits(&self, fact: &Fact, table: usize) -> bool {
        let asked = &self.context.periods;
        if asked.is_empty() {
            return true;
        }
        let fit = fit_any(asked, &fact.periods);
        let computed = self.context.hints.is_computed();
        if fit == Fit::Fits
            || asked.iter().all(|period| period.prior)
            || (computed && fit == Fit::Silent)
        {
            return true;
        }
        let table = &self.evidence.sources[fact.source].tables[table];
        if fit == Fit::Silent {
            // Where a column of this row is of that very time, this one is not.
            return !table.columns.iter().any(|column| {
                !column.period.years.is_empty()
                    && asked.iter().any(|asked| asked.fit(&column.period) == Fit::Fits)
            });
        }
        // Quarters of fiscal 2024 may lie in 2023, where nothing is called 2024.
        let shifted = asked.iter().filter(|asked| asked.fiscal).any(|asked| {
            let mut shifted = asked.clone();
            shifted.years.iter_mut().for_each(|year| *year -= 1);
            fit_any(std::slice::from_ref(&shifted), &fact.periods) != Fit::Contradicts
        });
        let columns = table.columns.iter().map(|column| &column.period);
        let mut all = columns.chain(table.rows.iter().map(|row| &row.period));
        shifted && !all.any(|period| asked.iter().any(|asked| asked.fit(period) == Fit::Fits))
    }

    fn judge_sentence(&mut self, index: usize) -> Belongs {
        let fact = &self.evidence.facts[index];
        if fit_any(&self.context.periods, &fact.periods) == Fit::Contradicts {
            return Belongs::OtherPeriod;
        }
        let own = self.sentence_scores()[index];
        let best = self.best_of_kind(kind(fact));
        if best - own > SENTENCE_MARGIN {
            return Belongs::OtherLine;
        }
        if own < 0.5 && self.a_table_says_otherwise(fact) {
            return Belongs::OtherLine;
        }
        Belongs::Yes
    }

    /// The best score of a figure of one kind in running text, of the time asked for.
    fn best_of_kind(&mut self, of: usize) -> f32 {
        self.sentence_scores();
        let (evidence, context) = (self.evidence, self.context);
        let Some(sentences) = &mut self.sentences else { return 0.0 };
        let scores = &sentences.scores;
        *sentences.best[of].get_or_insert_with(|| {
            let rivals = evidence.facts.iter().zip(scores).filter(|(other, _)| {
                matches!(other.place, Place::Sentence)
                    && kind(other) == of
                    && fit_any(&context.periods, &other.periods) != Fit::Contradicts
            });
            rivals.map(|(_, score)| *score).fold(0.0, f32::max)
        })
    }

    /// Whether a line of a table is named without doubt, of the right time, and of the
    /// same sort of figure: then a figure from a sentence about something else is not it.
    fn a_table_says_otherwise(&mut self, fact: &Fact) -> bool {
        for source in 0..self.evidence.sources.len() {
            for table in 0..self.evidence.sources[source].tables.len() {
                let rows = self.spoken_rows(source, table);
                if rows.best < CERTAIN {
                    continue;
                }
                let best: Vec<bool> =
                    rows.scores.iter().map(|score| rows.best - score <= LINE_MARGIN).collect();
                // The table may say the very same, without its scale.
                let repeats = self.evidence.facts.iter().any(|cell| {
                    matches!(cell.place, Place::Cell { table: t, row, .. }
                        if cell.source == source && t == table && best.get(row) == Some(&true))
                        && cell.held.number.value == fact.held.number.value
                });
                if !repeats {
                    return true;
                }
            }
        }
        false
    }

    fn sentence_scores(&mut self) -> &[f32] {
        let (evidence, context) = (self.evidence, self.context);
        let sentences = self.sentences.get_or_insert_with(|| Sentences {
            scores: likenesses(&context.words, evidence),
            best: [None; 3],
        });
        &sentences.scores
    }
}

/// What sorts of figures compete: shares with shares, money with money.
fn kind(fact: &Fact) -> usize {
    let unit = fact.held.unit;
    if unit.is_share() {
        1
    } else if unit.is_money() {
        2
    } else {
        0
    }
}

/// How much of what is said in the statement is said around each figure, 0 to 1.
fn likenesses(statement: &Weights, evidence: &Evidence<'_>) -> Vec<f32> {
    let mut whole = 0.0;
    for (id, strength) in statement {
        if let Some(weight) = evidence.common.get(id) {
            whole += weight * strength;
        }
    }
    let likeness = |fact: &Fact| {
        let shared =
            fact.near.iter().map(|(id, near)| match (statement.get(id), evidence.common.get(id)) {
                (Some(strength), Some(weight)) => weight * strength.min(*near),
                _ => 0.0,
            });
        if whole > 0.0 { shared.sum::<f32>() / whole } else { 0.0 }
    };
    evidence.facts.iter().map(likeness).collect()
}

/// How a place's times fit any of those asked for.
pub(super) fn fit_any(asked: &[Period], held: &[Period]) -> Fit {
    if asked.is_empty() || held.is_empty() {
        return Fit::Silent;
    }
    asked
        .iter()
        .flat_map(|asked| held.iter().map(|held| asked.fit(held)))
        .max()
        .unwrap_or(Fit::Silent)
}

/// The lines of a table that compete, and its columns.
pub(super) fn lines_of(table: &super::table::Table) -> (Lines, Lines) {
    let total = vec![super::words::word_id("total")];
    let labels = table
        .rows
        .iter()
        .map(|row| {
            if row.words.is_empty() && row.period.is_empty() {
                total.clone()
            } else {
                row.words.clone()
            }
        })
        .collect();
    let parents = table.rows.iter().map(|row| row.parents.clone()).collect();
    let names: Vec<Vec<u64>> = table.columns.iter().map(|column| column.words.clone()).collect();
    let none = vec![Vec::new(); names.len()];
    (Lines::new(labels, parents, &table.about), Lines::new(names, none, &table.about))
}
