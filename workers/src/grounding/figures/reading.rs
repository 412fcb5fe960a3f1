//! Reads the figures of tables and of running text, with what their places say of them.

use super::agree::{Held, sign_in_document};
use super::context;
use super::facts::{Fact, MAX_FACTS, Place, Sentence};
use super::hints;
use super::number::{self, Number, Sign};
use super::period::{self, Period};
use super::scale::Basis;
use super::statement;
use super::table::{self, Range, Table};
use super::times;
use super::units::{self, Unit};
use super::words;

/// Reads the figures of a table.
pub(super) fn read_table(
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

/// Reads the sentences and the figures of a piece of running text.
pub(super) fn read_prose(
    text: &str,
    source: usize,
    (start, end): Range,
    sentences: &mut Vec<Sentence>,
    facts: &mut Vec<Fact>,
) {
    // Lines of a paragraph are one text; a line break is as long as a space.
    let flat = text[start..end].replace('\n', " ");
    let mut from = 0;
    let sentences_of = crate::grounding::quote::sentence_ends(&flat).chain([flat.len()]);
    let mut ends: Vec<usize> = Vec::new();
    for end in sentences_of {
        let start = ends.last().copied().unwrap_or(0);
        ends.extend(statement::pieces(&flat[start..end]).into_iter().map(|(_, stop)| start + stop));
    }
    for end in ends {
        let piece = &flat[from..end];
        if !piece.trim().is_empty() {
            let place = Place::Sentence;
            let offset = start + from;
            let mut numbers = number::numbers(piece);
            numbers.extend(number::word_numbers(piece));
            let mut numbers = number::apart(numbers);
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
