//! Which names does a table's header give to its columns?

use crate::content::words::Rule;

use super::grid::{Cell, column_of};
use super::rows::{Row, Segment, Source};
use super::text::is_years;

/// A header: its rows as cells, and the composed lines.
#[derive(Debug, Default)]
pub(crate) struct Heading {
    pub(crate) rows: Vec<Vec<Cell>>,
    /// The full name of every column, parted by ` | `; empty without a header.
    pub(crate) lines: Vec<String>,
}

/// Reads the rows above the values. A heading over several columns belongs to each.
pub(crate) fn read(
    source: &Source<'_>,
    rows: &[Row],
    columns: &[(f32, f32)],
    horizontals: &[Rule],
) -> Heading {
    let mut names: Vec<Vec<String>> = vec![Vec::new(); columns.len()];
    let mut out = Vec::with_capacity(rows.len());
    let mut reaches: Vec<Vec<(usize, usize)>> =
        rows.iter().map(|row| spans(row, columns, horizontals)).collect();
    stack(rows, &mut reaches);
    for (row, spans) in rows.iter().zip(reaches) {
        let mut cells: Vec<Cell> = vec![Vec::new(); columns.len()];
        for (segment, &(from, to)) in row.segments.iter().zip(&spans) {
            let text = source.segment(segment);
            match cells[from].last_mut() {
                Some(line) => line.extend_from_slice(&segment.words),
                None => cells[from].push(segment.words.clone()),
            }
            // A unit over all columns says more beside the label than in each column.
            if text.starts_with('(') && to > from {
                names[0].push(text);
                continue;
            }
            for name in &mut names[from..=to] {
                name.push(text.clone());
            }
        }
        out.push(cells);
    }
    share_periods(&mut names);
    let lines = if names.iter().all(Vec::is_empty) {
        Vec::new()
    } else {
        vec![names.iter().map(|parts| parts.join(" ")).collect::<Vec<_>>().join(" | ")]
    };
    Heading { rows: out, lines }
}

/// The lines of one heading reach equally far: only the lowest has the rule below it.
fn stack(rows: &[Row], reaches: &mut [Vec<(usize, usize)>]) {
    for upper in (0..rows.len().saturating_sub(1)).rev() {
        if rows[upper + 1].base - rows[upper].base > 1.5 * rows[upper].size {
            continue;
        }
        for (at, segment) in rows[upper].segments.iter().enumerate() {
            let below =
                rows[upper + 1].segments.iter().zip(&reaches[upper + 1]).find(|(other, _)| {
                    let overlap = other.x1.min(segment.x1) - other.x0.max(segment.x0);
                    overlap > 0.6 * (segment.x1 - segment.x0).min(other.x1 - other.x0)
                });
            let here = reaches[upper][at];
            if let Some((_, &wider)) = below
                && wider.0 <= here.0
                && wider.1 >= here.1
            {
                reaches[upper][at] = wider;
            }
        }
    }
}

/// A period set right over the last of its years ("Three Months Ended" over "2022" only)
/// holds for the year before it too.
fn share_periods(names: &mut [Vec<String>]) {
    for at in (0..names.len().saturating_sub(1)).rev() {
        let (left, right) = names.split_at_mut(at + 1);
        let (here, next) = (&mut left[at], &right[0]);
        let years = |parts: &[String]| parts.last().is_some_and(|part| is_years(part));
        if here.len() == 1
            && years(here)
            && next.len() > 1
            && years(next)
            && here.last() != next.last()
        {
            let mut shared = next[..next.len() - 1].to_vec();
            shared.append(here);
            *here = shared;
        }
    }
}

/// For every segment of a header row, the first and the last column it stands over.
fn spans(row: &Row, columns: &[(f32, f32)], horizontals: &[Rule]) -> Vec<(usize, usize)> {
    let overlaps: Vec<(usize, usize)> = row
        .segments
        .iter()
        .map(|segment| {
            let (x0, x1) =
                underline(row, segment, columns, horizontals).unwrap_or((segment.x0, segment.x1));
            let mut touched = (0..columns.len())
                .filter(|&at| columns[at].0 < x1 - 0.5 && columns[at].1 > x0 + 0.5);
            match touched.next() {
                Some(first) => (first, touched.last().unwrap_or(first)),
                None => {
                    let nearest = column_of(columns, segment);
                    (nearest, nearest)
                }
            }
        })
        .collect();
    (0..row.segments.len())
        .map(|at| {
            let low = if at == 0 { 1.min(overlaps[0].0) } else { overlaps[at - 1].1 + 1 };
            let high =
                overlaps.get(at + 1).map_or(columns.len() - 1, |next| next.0.saturating_sub(1));
            balanced(&row.segments[at], overlaps[at], (low, high), columns)
        })
        .collect()
}

/// The rule drawn below a heading shows how far it reaches.
fn underline(
    row: &Row,
    segment: &Segment,
    columns: &[(f32, f32)],
    horizontals: &[Rule],
) -> Option<(f32, f32)> {
    let (left, right) = (columns.first()?.0, columns.last()?.1);
    let middle = 0.5 * (segment.x0 + segment.x1);
    let start = horizontals.partition_point(|rule| rule.y0 < row.base - 1.0);
    let mut found: Option<(f32, f32)> = None;
    for rule in horizontals[start..].iter().take_while(|rule| rule.y0 < row.bottom + 0.6 * row.size)
    {
        let within = rule.x0 <= middle && rule.x1 >= middle;
        let fits = rule.x1 - rule.x0 >= 0.9 * (segment.x1 - segment.x0)
            && rule.x1 - rule.x0 < 0.85 * (right - left);
        if within && fits {
            found = Some((rule.x0, rule.x1));
            break;
        }
    }
    found
}

/// A heading is set over the middle of its columns: it reaches as far as makes it so,
/// but not over columns that have a heading of their own in the row.
fn balanced(
    segment: &Segment,
    overlap: (usize, usize),
    (low, high): (usize, usize),
    columns: &[(f32, f32)],
) -> (usize, usize) {
    let middle = 0.5 * (segment.x0 + segment.x1);
    let off = |from: usize, to: usize| (0.5 * (columns[from].0 + columns[to].1) - middle).abs();
    let first = usize::from(columns.len() > 2);
    let values = u16::try_from(columns.len() - first).unwrap_or(1);
    let pitch = (columns[columns.len() - 1].1 - columns[first].0) / f32::from(values);
    let now = off(overlap.0, overlap.1);
    let mut best = overlap;
    let mut best_off = now;
    for from in low.min(overlap.0)..=overlap.0 {
        for to in overlap.1..=high.max(overlap.1) {
            if off(from, to) < best_off - 0.5 {
                best = (from, to);
                best_off = off(from, to);
            }
        }
    }
    let worth = now > 0.25 * pitch && best_off < 0.4 * now;
    if worth { best } else { overlap }
}
