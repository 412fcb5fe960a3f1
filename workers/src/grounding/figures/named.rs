//! Which cells of the documents does a statement name, by their lines and times?

use super::belong::{Belonging, LINE_MARGIN, fit_any};
use super::context::Context;
use super::facts::{Evidence, Fact, Place};
use super::period::Fit;

/// The most lines of a table that one statement is taken to name.
pub(super) const MAX_LINES: usize = 6;

/// The most labels that others are compared with.
const MAX_COMPARED: usize = 64;

/// A label is named where this much of it stands in the statement.
pub(super) const NAMED: f32 = 0.6;

/// The most operands that are tried: pairs grow with the square.
const MAX_OPERANDS: usize = 48;

/// A figure in a cell, with how well its line is named.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub(super) fact: usize,
    pub(super) source: usize,
    pub(super) table: usize,
    pub(super) row: usize,
    pub(super) column: usize,
    /// Whether the line is the one that the statement names best.
    pub(super) best: bool,
}

/// The cells in lines that the statement names, of times that it does not exclude.
pub(super) fn named_cells(
    evidence: &Evidence<'_>,
    context: &Context,
    belonging: &mut Belonging<'_, '_>,
    sources: &[usize],
) -> Vec<Operand> {
    let mut lines: Vec<(usize, usize, usize, bool)> = Vec::new();
    for source in sources.iter().copied() {
        for (table, read) in evidence.sources[source].tables.iter().enumerate() {
            let near = belonging.spoken_rows(source, table).clone();
            let all = read.lines.speak(&context.all);
            let mut ranked: Vec<(f32, usize, bool)> = (0..read.rows.len())
                .filter_map(|row| {
                    let timed = read.rows[row].words.is_empty()
                        && fit_any(&context.named, std::slice::from_ref(&read.rows[row].period))
                            == Fit::Fits;
                    let best = near.means(row, LINE_MARGIN) || all.coverage[row] > 0.99 || timed;
                    let named = all.coverage[row] >= NAMED;

                    (best || named).then_some((all.coverage[row] + near.scores[row], row, best))
                })
                .collect();
            // A label that is part of a longer one, all of which is named, is not meant,
            // unless two lines are.
            let hints = context.hints;
            let of_two = hints.ratio || hints.share || hints.sum || hints.unsigned;

            let whole: Vec<usize> = (0..read.rows.len())
                .filter(|row| all.coverage[*row] > 0.99)
                .take(MAX_COMPARED)
                .collect();
            ranked.retain(|(_, row, _)| {
                let words = &read.rows[*row].words;
                of_two
                    || near.means(*row, 0.0)
                    || !whole.iter().any(|other| {
                        let longer = &read.rows[*other].words;
                        longer.len() > words.len() && words.iter().all(|id| longer.contains(id))
                    })
            });
            if context.hints.change {
                // "Decrease in payables" is a line's own name.
                ranked.retain(|(_, row, _)| {
                    let label = &read.rows[*row].label;
                    let first = label.split([' ', '/', '(']).find(|word| !word.is_empty());
                    !super::hints::of_label(first.unwrap_or("")).change
                });
            }
            ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            // A statement that names no line may mean all of a short table.
            let keep = if near.best <= 0.0 { 2 * MAX_LINES } else { MAX_LINES };
            lines.extend(
                ranked.into_iter().take(keep).map(|(_, row, best)| (source, table, row, best)),
            );
        }
    }
    let mut cells = Vec::new();
    for (index, fact) in evidence.facts.iter().enumerate() {
        let Place::Cell { table, row, column } = fact.place else { continue };
        let line = lines.iter().find(|line| (line.0, line.1, line.2) == (fact.source, table, row));
        if let Some((source, .., best)) = line {
            cells.push(Operand { fact: index, source: *source, table, row, column, best: *best });
        }
        if cells.len() >= MAX_OPERANDS * 4 {
            break;
        }
    }
    let timed = |operand: &Operand| fits_named(evidence, context, operand);
    let (mut kept, rest): (Vec<Operand>, Vec<Operand>) = cells.into_iter().partition(timed);
    // "Sales rose 5 % in 2019" compares with a year that it does not name.
    if context.named.len() <= 1 {
        kept.extend(rest);
    }
    kept.truncate(MAX_OPERANDS);
    kept
}

/// Whether a cell is of a time that the statement names, or of none.
pub(super) fn fits_named(evidence: &Evidence<'_>, context: &Context, operand: &Operand) -> bool {
    let periods = &evidence.facts[operand.fact].periods;
    match context.named.as_slice() {
        [] => true,
        named => match fit_any(named, periods) {
            Fit::Fits => true,
            Fit::Silent => periods.is_empty(),
            // "From 2017 to 2019" is 2018 too.
            Fit::Contradicts => in_range(context, &evidence.facts[operand.fact]),
        },
    }
}

fn in_range(context: &Context, fact: &Fact) -> bool {
    let years: Vec<i32> =
        context.named.iter().flat_map(|period| period.years.iter().copied()).collect();
    let (Some(first), Some(last)) = (years.iter().min(), years.iter().max()) else { return false };
    let averaged = context.hints.average || context.hints.sum;
    averaged
        && fact
            .periods
            .iter()
            .any(|period| period.years.iter().any(|year| first < year && year < last))
}
