//! What the cited passages hold: every figure with its line, column, time, unit and scale.

use quaestor_core::model::Passage;

use super::agree::{Held, sign_in_document};
use super::context;
use super::hints::{self, Hints};
use super::lines::Weights;
use super::number::{self, Number, Sign};
use super::period::{self, Mention, Period};
use super::scale::{self, Basis};
use super::table::{self, Layout, Range, Table};
use super::times;
use super::units::{self, Unit};
use super::words;

/// The most figures that are read of one passage. Passages are cut at some 1,500
/// characters; this only bounds what a passage from elsewhere may cost.
const MAX_FACTS: usize = 4_000;

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
    /// In a sentence, by its place in the source.
    Sentence(usize),
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

fn read_table(
    text: &str,
    source: usize,
    index: usize,
    table: &Table,
    basis: Basis,
    facts: &mut Vec<Fact>,
) {
    let columns: Vec<Basis> =
        table.columns.iter().map(|column| Basis::read(&column.name)).collect();
    let about = period::whole(&table.above);
    // A currency in any cell is the table's: filings write it in the first row only.
    let currency = basis.currency.or_else(|| {
        table
            .rows
            .iter()
            .flat_map(|row| &row.cells)
            .find_map(|cell| units::currency_in(&text[cell.at.0..cell.at.1]))
    });
    for (row_index, row) in table.rows.iter().enumerate() {
        let of_row = Basis::read(&row.label).or(Basis::read(&row.parent));
        let lower = format!("{} {}", row.label, row.parent).to_lowercase();
        for cell in &row.cells {
            if facts.len() >= MAX_FACTS {
                return;
            }
            let column = table.columns.get(cell.column);
            let column_name = column.map_or("", |column| column.name.as_str());
            let of_column = columns.get(cell.column).copied().unwrap_or_default();
            let named = format!("{} {}", lower, column_name.to_lowercase());
            let named_rate = is_rate(&named);
            let per_share = named.contains("per share") || named.contains("per common share");
            let counts_shares = named.contains("share")
                && !per_share
                && ![
                    "share-based",
                    "price",
                    "value",
                    "income",
                    "earnings",
                    "market share",
                    "expense",
                ]
                .iter()
                .any(|word| named.contains(word));
            let period = own_period(&row.period, column.map(|column| &column.period), &about);
            let words = format!("{} {} {}", row.parent, row.label, column_name);
            let hints = hints::of_label(&words);
            let place = Place::Cell { table: index, row: row_index, column: cell.column };
            for number in cell_numbers(text, cell.at) {
                // A share of more than tenfold says so itself.
                let is_rate = named_rate && number.value < 1_000.0;
                let is_plain = number.unit.is_share() || number.unit == Unit::Times;
                let mut scale = number
                    .scale
                    .or(of_column.scale.filter(|_| !is_plain))
                    .or(of_row.scale.filter(|_| !is_plain));
                if scale.is_none() {
                    scale = if number.unit.is_share() || number.unit == Unit::Times || per_share {
                        Some(0)
                    } else if counts_shares && basis.except_shares {
                        None
                    } else if is_rate && basis.scale.is_some() && number.unit == Unit::None {
                        // A rate among amounts is not in millions, an amount of "share-based" is.
                        if number.value < 1_000.0 && number.decimals > 0 {
                            Some(0)
                        } else {
                            basis.scale
                        }
                    } else {
                        basis.scale
                    };
                }
                facts.push(Fact {
                    source,
                    place,
                    held: Held {
                        number,
                        negative: sign_in_document(&number, true),
                        scale,
                        unit: number.unit,
                        currency: of_column.currency.or(of_row.currency).or(currency),
                        is_rate,
                        counts_shares,
                    },
                    periods: if period.is_empty() { Vec::new() } else { vec![period.clone()] },
                    hints,
                    near: Vec::new(),
                });
            }
        }
    }
}

/// Whether a label, in lower case, names something that is told in percent.
fn is_rate(label: &str) -> bool {
    const RATES: [&str; 14] = [
        "percent",
        "percentage",
        "pct",
        "rate",
        "rates",
        "margin",
        "margins",
        "ratio",
        "yield",
        "proportion",
        "growth",
        "weighting",
        "volatility",
        "return",
    ];
    label.contains('%') || words::tokens(label).iter().any(|token| RATES.contains(&token.of(label)))
}

/// The time of a cell: its column's, its row's, or what the whole table is about, the
/// nearer before the wider.
fn own_period(row: &Period, column: Option<&Period>, about: &Period) -> Period {
    let column = column.cloned().unwrap_or_default();
    // Both name a year: a row such as `Maturity 2025` is no time of the column.
    let near = if column.years.is_empty() { row.clone().or(&column) } else { column.or(row) };
    if near.years.is_empty() && about.years.len() == 1 { near.or(about) } else { near }
}

/// The figures of a cell. A dash is 0.
fn cell_numbers(text: &str, (start, end): Range) -> Vec<Number> {
    let cell = &text[start..end];
    if table::is_nil(cell) {
        return vec![Number {
            start,
            end,
            value: 0.0,
            step: 1.0,
            decimals: 0,
            sign: Sign::Plain,
            unit: Unit::None,
            scale: None,
            claim: number::Claim::Exact,
            in_words: false,
        }];
    }
    let times = period::mentions(cell);
    let mut numbers = number::numbers(cell);
    numbers.retain(|number| !times.iter().any(|m| m.start < number.end && number.start < m.end));
    for number in &mut numbers {
        number.start += start;
        number.end += start;
        number.claim = number::Claim::Exact;
        // `(42` and `)` may stand apart.
        if number.sign == Sign::Plain && cell.starts_with('(') && !cell.contains(')') {
            number.sign = Sign::Bracketed;
        }
    }
    numbers
}

fn read_prose(
    text: &str,
    source: usize,
    (start, end): Range,
    sentences: &mut Vec<Sentence>,
    facts: &mut Vec<Fact>,
) {
    // Lines of a paragraph are one text; a line break is as long as a space.
    let flat = text[start..end].replace('\n', " ");
    let mut from = 0;
    let ends: Vec<usize> =
        crate::grounding::quote::sentence_ends(&flat).chain([flat.len()]).collect();
    for end in ends {
        let piece = &flat[from..end];
        if !piece.trim().is_empty() {
            let place = Place::Sentence(sentences.len());
            let offset = start + from;
            let mut numbers = number::numbers(piece);
            numbers.extend(number::word_numbers(piece));
            numbers.sort_by_key(|number| number.start);
            let mentions = period::mentions(piece);
            numbers.retain(|number| {
                !mentions.iter().any(|m| m.start < number.end && number.start < m.end)
            });
            let read = words::words(piece);
            let places: Vec<Range> =
                numbers.iter().map(|number| (number.start, number.end)).collect();
            for (index, number) in numbers.iter().enumerate() {
                if facts.len() >= MAX_FACTS {
                    return;
                }
                let periods = times::bind(piece, &places, index, &mentions);
                let hints = hints::of_figure(piece, &places, index);
                let mut held = *number;
                held.start += offset;
                held.end += offset;
                facts.push(Fact {
                    source,
                    place,
                    held: Held {
                        number: held,
                        // What falls may be told with or without a minus.
                        negative: if hints.down || hints.loss {
                            None
                        } else {
                            sign_in_document(number, false)
                        },
                        scale: number.scale.or(Some(0)),
                        unit: number.unit,
                        currency: None,
                        is_rate: false,
                        counts_shares: false,
                    },
                    periods,
                    hints,
                    near: context::near(&read, piece, &places, index)
                        .into_iter()
                        .map(|(id, weight, _)| (id, weight))
                        .collect(),
                });
            }
            sentences.push(Sentence { words: read.iter().map(|word| word.id).collect() });
        }
        from = end;
    }
}
