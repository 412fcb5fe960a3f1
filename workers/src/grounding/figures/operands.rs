//! Which figures of the documents may a statement compute with? Those in lines it names,
//! of times it names, and those that support its other figures.

use super::belong::{Belonging, fit_any};
use super::context::Context;
use super::derive::{is_named, share_table};
use super::facts::{Evidence, Fact};
use super::named::{MAX_LINES, NAMED, Operand, fits_named, named_cells};
use super::period::Fit;
use super::units::Unit;

/// What may be computed with.
#[derive(Clone, Debug, Default)]
pub(super) struct Operands {
    /// New and old, to be subtracted.
    pub(super) changes: Vec<(usize, usize)>,
    /// One and the other, in the order in which they are named.
    pub(super) ratios: Vec<(usize, usize)>,
    /// A part and its whole.
    pub(super) shares: Vec<(usize, usize)>,
    /// What may be summed or averaged.
    pub(super) groups: Vec<Vec<usize>>,
}

/// Gathers what a statement may compute with, from the given sources.
pub(super) fn gather(
    evidence: &Evidence<'_>,
    context: &Context,
    belonging: &mut Belonging<'_, '_>,
    stated: &[usize],
    sources: &[usize],
    unit: Unit,
) -> Operands {
    let mut cells = named_cells(evidence, context, belonging, sources);
    // Shares are computed with shares, amounts with amounts; a share may come of both.
    if !unit.is_share() {
        cells.retain(|cell| !evidence.facts[cell.fact].held.unit.is_share());
    }
    let mut found = Operands::default();
    pairs_of_stated(evidence, stated, &mut found);
    for left in &cells {
        for right in &cells {
            if left.fact == right.fact || !share_table(evidence, left.fact, right.fact) {
                continue;
            }
            if left.row == right.row {
                along_row(evidence, context, belonging, left, right, &mut found);
            } else if left.column == right.column {
                down_column(evidence, context, left, right, &mut found);
            }
        }
    }
    groups(evidence, context, &cells, &mut found);
    if stated.len() >= 2 {
        found.groups.push(stated.to_vec());
    }
    found
}

/// Two figures of one line, `left` and `right`.
fn along_row(
    evidence: &Evidence<'_>,
    context: &Context,
    belonging: &mut Belonging<'_, '_>,
    left: &Operand,
    right: &Operand,
    found: &mut Operands,
) {
    if !left.best {
        return;
    }
    let (new, old) = (&evidence.facts[left.fact], &evidence.facts[right.fact]);
    let of_change = |fact: &Fact| {
        evidence.column(fact).is_some_and(|column| super::hints::of_label(&column.name).change)
    };
    if of_change(new) || of_change(old) {
        return;
    }
    let order = |fact: &Fact| fact.periods.first().and_then(super::period::Period::order);
    match (order(new), order(old)) {
        (Some(later), Some(earlier)) if later != earlier => {
            // The statement's own times decide which two; with one, the one before it.
            let both =
                is_named(evidence, context, left.fact) && is_named(evidence, context, right.fact);
            let one = context.named.len() <= 1
                && (context.named.is_empty() || is_named(evidence, context, left.fact))
                && follows(evidence, left, right);
            if later > earlier && (both || one) {
                found.changes.push((left.fact, right.fact));
            }
            if both {
                // A ratio of two years goes in the order in which they are named.
                let place = |fact: &Fact| {
                    context.named.iter().position(|period| {
                        fit_any(std::slice::from_ref(period), &fact.periods) == Fit::Fits
                    })
                };
                if place(new) < place(old) {
                    found.ratios.push((left.fact, right.fact));
                }
            }
        }
        _ => {
            // Columns that are no times: both must be named.
            let columns = belonging.spoken_columns(left.source, left.table);
            let named = |operand: &Operand| {
                columns.coverage.get(operand.column).is_some_and(|c| *c >= NAMED)
            };
            if named(left) && named(right) || columns.scores.len() <= 3 {
                let names = &evidence.sources[left.source].tables[left.table].columns;
                if let (Some(first), Some(second)) =
                    (names.get(left.column), names.get(right.column))
                {
                    let earlier = first_place(context, &first.words, &second.words)
                        <= first_place(context, &second.words, &first.words);
                    if earlier {
                        found.ratios.push((left.fact, right.fact));
                        found.shares.push((left.fact, right.fact));
                    }
                    found.changes.push((left.fact, right.fact));
                }
            }
        }
    }
}

/// Whether no other time of the line lies between the two.
fn follows(evidence: &Evidence<'_>, new: &Operand, old: &Operand) -> bool {
    let order =
        |fact: usize| evidence.facts[fact].periods.first().and_then(super::period::Period::order);
    let (Some(later), Some(earlier)) = (order(new.fact), order(old.fact)) else { return false };
    let table = &evidence.sources[new.source].tables[new.table];
    !table
        .columns
        .iter()
        .filter_map(|column| column.period.order())
        .any(|other| earlier < other && other < later)
}

/// Two figures of one column.
fn down_column(
    evidence: &Evidence<'_>,
    context: &Context,
    left: &Operand,
    right: &Operand,
    found: &mut Operands,
) {
    // What is told of one time is computed of figures of that time.
    let off = |operand: &Operand| {
        fit_any(&context.periods, &evidence.facts[operand.fact].periods) == Fit::Contradicts
    };
    if off(left) || off(right) {
        let by_time = |operand: &Operand| {
            evidence.sources[operand.source].tables[operand.table].rows[operand.row].period.order()
        };
        if by_time(left).is_none() || by_time(right).is_none() {
            return;
        }
    }
    let table = &evidence.sources[left.source].tables[left.table];
    let (first, second) = (&table.rows[left.row], &table.rows[right.row]);
    let order = |row: &super::table::Row| row.period.order();
    if let (Some(later), Some(earlier)) = (order(first), order(second))
        && later != earlier
    {
        if later > earlier {
            found.changes.push((left.fact, right.fact));
        }
        if is_named(evidence, context, left.fact) && is_named(evidence, context, right.fact) {
            found.ratios.push((left.fact, right.fact));
        }
        return;
    }
    let zero = |operand: &Operand| evidence.facts[operand.fact].held.number.value == 0.0;
    if zero(left) || zero(right) {
        return;
    }
    let earlier = first_place(context, &first.words, &second.words)
        <= first_place(context, &second.words, &first.words);
    if earlier {
        found.ratios.push((left.fact, right.fact));
        found.changes.push((left.fact, right.fact));
    }
    let is_whole = |row: &super::table::Row| {
        row.words.is_empty() || row.label.to_ascii_lowercase().contains("total")
    };
    let (part, whole) = (&evidence.facts[left.fact].held, &evidence.facts[right.fact].held);
    if part.number.value <= whole.number.value && (earlier || !is_whole(first)) {
        found.shares.push((left.fact, right.fact));
    }
}

/// Where a label is first named in the statement, by words that the other lacks.
fn first_place(context: &Context, words: &[u64], other: &[u64]) -> usize {
    let own = words.iter().filter(|id| !other.contains(id));
    let place = own.filter_map(|id| context.order.get(id)).min().copied();
    // A label all of whose words the other has too.
    let any = || words.iter().filter_map(|id| context.order.get(id)).min().copied();
    place.or_else(any).unwrap_or(usize::MAX)
}

/// Figures that the statement itself tells and the documents hold.
fn pairs_of_stated(evidence: &Evidence<'_>, stated: &[usize], found: &mut Operands) {
    for (n, left) in stated.iter().enumerate() {
        for right in &stated[n + 1..] {
            let order = |fact: usize| {
                evidence.facts[fact].periods.first().and_then(super::period::Period::order)
            };
            match (order(*left), order(*right)) {
                (Some(first), Some(second)) if first > second => {
                    found.changes.push((*left, *right));
                }
                (Some(first), Some(second)) if first < second => {
                    found.changes.push((*right, *left));
                }
                _ => found.changes.extend([(*right, *left), (*left, *right)]),
            }
            found.ratios.push((*left, *right));
            found.shares.extend([(*left, *right), (*right, *left)]);
        }
    }
}

/// What may be summed or averaged: the named times of a line, the named lines of a
/// column, or all lines of a column.
fn groups(evidence: &Evidence<'_>, context: &Context, cells: &[Operand], found: &mut Operands) {
    let mut push = |group: Vec<usize>| {
        if group.len() >= 2 && !found.groups.contains(&group) {
            found.groups.push(group);
        }
    };
    let of_change = |operand: &&Operand| {
        !evidence
            .column(&evidence.facts[operand.fact])
            .is_some_and(|c| super::hints::of_label(&c.name).change)
    };
    let mut rows: Vec<(usize, usize, usize)> = cells
        .iter()
        .filter(|cell| cell.best)
        .map(|cell| (cell.source, cell.table, cell.row))
        .collect();
    rows.dedup();
    for (source, table, row) in rows {
        let line: Vec<&Operand> = cells
            .iter()
            .filter(|cell| (cell.source, cell.table, cell.row) == (source, table, row))
            .filter(of_change)
            .collect();
        let named: Vec<usize> = line
            .iter()
            .filter(|cell| is_named(evidence, context, cell.fact))
            .map(|cell| cell.fact)
            .collect();
        push(named);
        push(line.iter().map(|cell| cell.fact).collect());
    }
    let mut columns: Vec<(usize, usize, usize)> =
        cells.iter().map(|cell| (cell.source, cell.table, cell.column)).collect();
    columns.sort_unstable();
    columns.dedup();
    for (source, table, column) in columns {
        let mut line: Vec<&Operand> = cells
            .iter()
            .filter(|cell| (cell.source, cell.table, cell.column) == (source, table, column))
            .filter(|cell| context.named.is_empty() || fits_named(evidence, context, cell))
            .collect();
        line.truncate(MAX_LINES);
        subsets(&line, &mut push);
    }
}

/// Every choice of two or more, the largest first.
fn subsets(line: &[&Operand], push: &mut impl FnMut(Vec<usize>)) {
    let mut choices: Vec<u32> =
        (0..(1_u32 << line.len())).filter(|set| set.count_ones() >= 2).collect();
    choices.sort_by_key(|set| std::cmp::Reverse(set.count_ones()));
    for set in choices {
        push(
            line.iter()
                .enumerate()
                .filter(|(n, _)| set & (1 << n) != 0)
                .map(|(_, o)| o.fact)
                .collect(),
        );
    }
}
