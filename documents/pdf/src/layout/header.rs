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
    // Where headings have rules below them, those show which of them are groups.
    let rules: Vec<Vec<Option<(f32, f32)>>> = rows
        .iter()
        .map(|row| row.segments.iter().map(|s| underline(row, s, columns, horizontals)).collect())
        .collect();
    let ruled = |at: usize| rules[at].iter().any(Option::is_some);
    let any_ruled = (0..rows.len()).any(ruled);
    let mut reaches: Vec<Vec<(usize, usize)>> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let lower = &rows[at + 1..];
            let groups = !any_ruled
                && lower.iter().any(|lower| lower.segments.len() > row.segments.len())
                && !is_part_of_names(row, lower);
            spans(row, columns, &rules[at], groups)
        })
        .collect();
    for upper in (0..rows.len().saturating_sub(1)).rev() {
        if !ruled(upper) {
            stack(rows, upper, &mut reaches);
        }
    }
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

/// Whether two segments stand over each other as the lines of one name do: by their
/// middles, or by one of their ends.
fn stands_over(segment: &Segment, other: &Segment) -> bool {
    const ALIGNED_PT: f32 = 2.0;
    let middle = 0.5 * (segment.x0 + segment.x1 - other.x0 - other.x1).abs();
    let (left, right) = ((segment.x0 - other.x0).abs(), (segment.x1 - other.x1).abs());
    middle < ALIGNED_PT || left < ALIGNED_PT || right < ALIGNED_PT
}

/// Whether a row holds the upper lines of names that go on below, and no groups.
fn is_part_of_names(row: &Row, lower: &[Row]) -> bool {
    row.segments.iter().all(|segment| {
        lower.iter().flat_map(|row| &row.segments).any(|other| stands_over(segment, other))
    })
}

/// The lines of one heading reach equally far: only the lowest has the rule below it.
fn stack(rows: &[Row], upper: usize, reaches: &mut [Vec<(usize, usize)>]) {
    let (row, lower) = (&rows[upper], &rows[upper + 1]);
    if lower.base - row.base > 1.5 * row.size {
        return;
    }
    let names = is_part_of_names(row, std::slice::from_ref(lower));
    for (at, segment) in row.segments.iter().enumerate() {
        let below = lower.segments.iter().zip(&reaches[upper + 1]).find(|(other, _)| {
            let overlap = other.x1.min(segment.x1) - other.x0.max(segment.x0);
            let widest = (segment.x1 - segment.x0).min(other.x1 - other.x0);
            names && stands_over(segment, other) || !names && overlap > 0.6 * widest
        });
        let here = reaches[upper][at];
        if let Some((_, &other)) = below
            && (names || other.0 <= here.0 && other.1 >= here.1)
        {
            reaches[upper][at] = other;
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
/// `rules` are the rules below the segments; `groups` says that the row's headings
/// group columns that rows below name.
fn spans(
    row: &Row,
    columns: &[(f32, f32)],
    rules: &[Option<(f32, f32)>],
    groups: bool,
) -> Vec<(usize, usize)> {
    let overlaps: Vec<(usize, usize)> = row
        .segments
        .iter()
        .zip(rules)
        .map(|(segment, rule)| {
            let (x0, x1) = rule.unwrap_or((segment.x0, segment.x1));
            let mut touched = (0..columns.len())
                .filter(|&at| columns[at].0 < x1 - 0.5 && columns[at].1 > x0 + 0.5);
            match touched.next() {
                Some(first) => (first, touched.next_back().unwrap_or(first)),
                None => {
                    let nearest = column_of(columns, segment);
                    (nearest, nearest)
                }
            }
        })
        .collect();
    if groups && let Some(shared) = shared_out(row, &overlaps, columns) {
        return shared;
    }
    (0..row.segments.len())
        .map(|at| {
            if rules[at].is_some() {
                return overlaps[at];
            }
            let low = if at == 0 { 1.min(overlaps[0].0) } else { overlaps[at - 1].1 + 1 };
            let high =
                overlaps.get(at + 1).map_or(columns.len() - 1, |next| next.0.saturating_sub(1));
            balanced(&row.segments[at], overlaps[at], (low, high), columns)
        })
        .collect()
}

/// The mean width of a column of values with its gap.
fn pitch(columns: &[(f32, f32)]) -> f32 {
    let first = usize::from(columns.len() > 2);
    let values = u16::try_from(columns.len() - first).unwrap_or(1);
    ((columns[columns.len() - 1].1 - columns[first].0) / f32::from(values)).max(1.0)
}

/// Shares the columns out among the headings of a row: each gets neighbouring columns
/// with its middle over theirs, and few columns go without.
fn shared_out(
    row: &Row,
    overlaps: &[(usize, usize)],
    columns: &[(f32, f32)],
) -> Option<Vec<(usize, usize)>> {
    // In widths of a column. A heading half a column off its middle is worse than a
    // column without a heading.
    const WITHOUT_HEADING: f32 = 0.35;
    const MAX_COLUMNS: usize = 40;
    if columns.len() > MAX_COLUMNS || overlaps.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
        return None;
    }
    let pitch = pitch(columns);
    let count = |columns: usize| f32::from(u16::try_from(columns).unwrap_or(u16::MAX));
    let first =
        usize::from(columns.len() > 2 && overlaps.first().is_some_and(|overlap| overlap.0 > 0));
    // From the last heading to the first: the least cost when columns from `free` on are
    // left, and how far this heading reaches then.
    let mut costs: Vec<f32> =
        (0..=columns.len()).map(|free| WITHOUT_HEADING * count(columns.len() - free)).collect();
    let mut choices: Vec<Vec<Option<(usize, usize)>>> = Vec::with_capacity(overlaps.len());
    for (segment, overlap) in row.segments.iter().zip(overlaps).rev() {
        let middle = 0.5 * (segment.x0 + segment.x1);
        let mut here = vec![f32::INFINITY; columns.len() + 1];
        let mut choice = vec![None; columns.len() + 1];
        for free in 0..=overlap.0 {
            for from in free..=overlap.0 {
                for to in overlap.1..columns.len() {
                    let off = (0.5 * (columns[from].0 + columns[to].1) - middle).abs() / pitch;
                    let cost = off + WITHOUT_HEADING * count(from - free) + costs[to + 1];
                    if cost < here[free] {
                        here[free] = cost;
                        choice[free] = Some((from, to));
                    }
                }
            }
        }
        costs = here;
        choices.push(choice);
    }
    let mut free = first;
    let mut out = Vec::with_capacity(overlaps.len());
    for choice in choices.iter().rev() {
        let (from, to) = choice.get(free).copied().flatten()?;
        out.push((from, to));
        free = to + 1;
    }
    Some(out)
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
    horizontals[start..].iter().take_while(|rule| rule.y0 < row.bottom + 0.6 * row.size).find_map(
        |rule| {
            let length = rule.x1 - rule.x0;
            let within = rule.x0 <= middle && rule.x1 >= middle;
            (within && length >= 0.9 * (segment.x1 - segment.x0) && length < 0.85 * (right - left))
                .then_some((rule.x0, rule.x1))
        },
    )
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
    let pitch = pitch(columns);
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
