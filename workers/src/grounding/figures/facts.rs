//! What the cited passages hold: every figure with its line, column, time, unit and scale.

use quaestor_core::model::Passage;

use super::agree::Held;
use super::hints::Hints;
use super::lines::Weights;
use super::period::{self, Mention, Period};
use super::reading::{read_prose, read_table};
use super::scale::{self, Basis};
use super::table::{self, Layout, Range, Table};
use super::units;

/// The most figures that are read of one passage. Passages are cut at some 1,500
/// characters; this only bounds what a passage from elsewhere may cost.
pub(super) const MAX_FACTS: usize = 4_000;

/// Where a figure of a document stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a cell: table, row and column by their places.
    Cell {
        /// The table in its source.
        table: usize,
        /// The row in the table.
        row: usize,
        /// The column.
        column: usize,
    },
    /// In a sentence.
    Sentence,
}

/// A figure of a document.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// The source it stands in.
    pub(super) source: usize,
    /// Where.
    pub(super) place: Place,
    /// What it says.
    pub(super) held: Held,
    /// The time it belongs to, or the times where that is open.
    pub(super) periods: Vec<Period>,
    /// What the words around it say that it is: a change, an average.
    pub(super) hints: Hints,
    /// The words around it in its sentence, by how near they are; empty in a table.
    pub(super) near: Vec<(u64, f32)>,
}

/// A sentence of a document.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    /// Its words.
    pub(super) words: Vec<u64>,
}

/// A passage, read.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// The passage.
    pub(super) passage: &'a Passage,
    /// The citations that point at it, with the bytes they quote.
    pub(super) ordinals: Vec<(u32, Range)>,
    /// Its tables.
    pub(super) tables: Vec<Table>,
    /// Its sentences.
    pub(super) sentences: Vec<Sentence>,
    /// Every time it names, and those that its header, section, name or date does; whether
    /// it stands in the passage's own text.
    pub(super) times: Vec<(Mention, bool)>,
}

/// All that is read of the cited passages.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// The passages, each once.
    pub(super) sources: Vec<Source<'a>>,
    /// Their figures.
    pub(super) facts: Vec<Fact>,
    /// The words of their sentences: what few sentences say weighs more.
    pub(super) common: Weights,
}

/// A passage to read, with what stands above it on its page.
pub(super) struct Reading<'a> {
    /// The passage.
    pub(super) passage: &'a Passage,
    /// The citations that point at it.
    pub(super) ordinals: Vec<(u32, Range)>,
    /// The text before it on its page, or its end; empty where it is not known.
    pub(super) above: &'a str,
    /// The text after it, or its beginning.
    pub(super) below: &'a str,
}

impl<'a> Evidence<'a> {
    /// Reads passages.
    pub(super) fn read(readings: Vec<Reading<'a>>) -> Self {
        let mut evidence =
            Self { sources: Vec::new(), facts: Vec::new(), common: Weights::default() };
        // A scale that a neighbour in the same document states holds where none is nearer.
        let stated: Vec<(quaestor_core::ids::DocumentId, Basis)> = readings
            .iter()
            .map(|reading| {
                let passage = reading.passage;
                let whole = format!("{}\n{}", passage.header, passage.text);
                let scale = scale::last(&whole);
                (
                    passage.document_id,
                    Basis { scale, currency: units::currency_in(&whole), except_shares: false },
                )
            })
            .collect();
        for reading in readings {
            let mine = reading.passage.document_id;
            let neighbours = stated
                .iter()
                .filter(|(document, _)| *document == mine)
                .fold(Basis::default(), |basis, (_, stated)| basis.or(*stated));
            evidence.add(reading, neighbours);
        }
        evidence.weigh();
        evidence
    }

    fn add(&mut self, reading: Reading<'a>, neighbours: Basis) {
        let passage = reading.passage;
        let source = self.sources.len();
        let Layout { tables, prose } =
            table::lay_out(&passage.text, &passage.header, &passage.section);
        let above = Basis { scale: scale::last(reading.above), ..Basis::read(reading.above) };
        let below = Basis { scale: scale::first(reading.below), ..Basis::default() };
        let mut facts = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let own = Basis { scale: scale::last(&table.above), ..Basis::read(&table.above) };
            let basis = own.or(above).or(neighbours).or(below);
            read_table(&passage.text, source, index, table, basis, &mut facts);
        }
        let mut sentences = Vec::new();
        for piece in prose {
            read_prose(&passage.text, source, piece, &mut sentences, &mut facts);
        }
        facts.truncate(MAX_FACTS);
        let title = passage.title.as_deref().unwrap_or_default();
        let mut times: Vec<(Mention, bool)> =
            period::mentions(&passage.text).into_iter().map(|mention| (mention, true)).collect();
        let mut besides = |text: &str| {
            times.extend(period::mentions(text).into_iter().map(|mention| (mention, false)));
        };
        for text in
            [passage.header.as_str(), &passage.section, title, &passage.filename, reading.above]
        {
            besides(text);
        }
        for table in &tables {
            table.columns.iter().for_each(|column| besides(&column.name));
        }
        if let Some(date) = passage.document_date {
            besides(&date.to_string());
        }
        self.facts.extend(facts);
        self.sources.push(Source { passage, ordinals: reading.ordinals, tables, sentences, times });
    }

    /// Weighs the words of all sentences.
    fn weigh(&mut self) {
        let sentences = self.sources.iter().flat_map(|source| &source.sentences);
        let mut all = 0.0_f32;
        for sentence in sentences {
            all += 1.0;
            let mut words = sentence.words.clone();
            words.sort_unstable();
            words.dedup();
            for id in words {
                *self.common.entry(id).or_insert(0.0) += 1.0;
            }
        }
        for count in self.common.values_mut() {
            *count = (1.0 + all / *count).ln();
        }
    }

    /// The row of a fact in a table.
    pub(super) fn row(&self, fact: &Fact) -> Option<(&Table, &table::Row)> {
        let Place::Cell { table, row, .. } = fact.place else { return None };
        let table = self.sources.get(fact.source)?.tables.get(table)?;
        Some((table, table.rows.get(row)?))
    }

    /// The column of a fact in a table.
    pub(super) fn column(&self, fact: &Fact) -> Option<&table::Column> {
        let Place::Cell { table, column, .. } = fact.place else { return None };
        self.sources.get(fact.source)?.tables.get(table)?.columns.get(column)
    }
}
