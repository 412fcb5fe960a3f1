//! Which columns and which rows does a table have?

use crate::content::words::Rule;

use super::header;
use super::rows::{Row, Segment, Source};
use super::spans::is_data;

/// The lines of a cell, each as its words.
pub(crate) type Cell = Vec<Vec<usize>>;

/// A row of a table: one cell for each column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GridRow {
    pub(crate) cells: Vec<Cell>,
    pub(crate) is_header: bool,
}

/// A table as rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<GridRow>,
    pub(crate) header: Vec<String>,
    pub(crate) caption: Option<String>,
    /// Left and right of every column.
    pub(crate) columns: Vec<(f32, f32)>,
}

/// Makes a table of rows that were found to be one.
pub(crate) fn build(source: &Source<'_>, rows: &[Row], horizontals: &[Rule]) -> Grid {
    let header_rows = header_rows(source, rows);
    let columns = columns(&rows[header_rows..]);
    let mut out: Vec<GridRow> = Vec::with_capacity(rows.len());
    let (head, body) = rows.split_at(header_rows);
    let heading = header::read(source, head, &columns, horizontals);
    for cells in heading.rows {
        out.push(GridRow { cells, is_header: true });
    }
    for group in logical_rows(source, body, &columns, horizontals) {
        let mut cells: Vec<Cell> = vec![Vec::new(); columns.len()];
        for row in &body[group] {
            let mut used: Vec<usize> = Vec::new();
            for segment in &row.segments {
                let column = column_of(&columns, segment);
                match cells[column].last_mut() {
                    Some(line) if used.contains(&column) => line.extend_from_slice(&segment.words),
                    _ => cells[column].push(segment.words.clone()),
                }
                used.push(column);
            }
        }
        out.push(GridRow { cells, is_header: false });
    }
    Grid { rows: out, header: heading.lines, caption: None, columns }
}

/// How many rows come before the first that holds values.
fn header_rows(source: &Source<'_>, rows: &[Row]) -> usize {
    const MAX_HEADER_ROWS: usize = 9;
    match rows.iter().position(is_data) {
        Some(first) if first <= MAX_HEADER_ROWS => {
            // A label alone directly above the values ("Net sales:") begins the body; so
            // does a title below the names of the columns ("ASSETS:").
            let named = rows[..first].iter().rposition(|row| row.segments.len() >= 2);
            let mut at = first;
            while at > 0
                && is_section_label(
                    source,
                    &rows[at - 1],
                    &rows[first],
                    named.is_some_and(|named| named < at - 1),
                )
            {
                at -= 1;
            }
            at
        }
        _ => {
            let first_bold = rows.first().is_some_and(|row| row.bold);
            let others_bold = rows.iter().skip(1).filter(|row| row.bold).count();
            usize::from(first_bold && rows.len() > 2 && 2 * others_bold < rows.len())
        }
    }
}

fn is_section_label(source: &Source<'_>, row: &Row, data: &Row, below_names: bool) -> bool {
    if row.segments.len() != 1 {
        return false;
    }
    let at_labels = row.x0() < data.x0() + 3.0 * data.size
        && data.segments.get(1).is_none_or(|first| row.x0() < first.x0 - data.size);
    let unit = row.words().next().is_some_and(|word| source.word(word).starts_with('('));
    // A title in the middle of the table, not a name over its last columns.
    let middle = 0.5 * (row.x0() + row.x1());
    let centred = (middle - 0.5 * (data.x0() + data.x1())).abs() < 0.2 * (data.x1() - data.x0());
    let colon = row.words().last().is_some_and(|word| source.word(word).ends_with(':'));
    at_labels || below_names && !unit && (centred || colon)
}

/// Columns from the segments of the rows: those with most segments come first, since
/// they show the columns best; what spans several columns does not count.
fn columns(rows: &[Row]) -> Vec<(f32, f32)> {
    let mut order: Vec<&Row> = rows.iter().filter(|row| row.segments.len() >= 2).collect();
    order.sort_by_key(|row| std::cmp::Reverse(row.segments.len()));
    let mut columns: Vec<(f32, f32, usize)> = Vec::new();
    let mut insert = |segment: &Segment| {
        let (x0, x1) = (segment.x0, segment.x1);
        let touched: Vec<usize> = (0..columns.len())
            .filter(|&at| columns[at].0 < x1 - 1.0 && columns[at].1 > x0 + 1.0)
            .collect();
        match touched[..] {
            [] => {
                let place = columns.partition_point(|column| column.0 < x0);
                columns.insert(place, (x0, x1, 1));
            }
            [at] => {
                let free_left = at == 0 || columns[at - 1].1 < x0;
                let free_right = at + 1 == columns.len() || columns[at + 1].0 > x1;
                let column = &mut columns[at];
                if free_left {
                    column.0 = column.0.min(x0);
                }
                if free_right {
                    column.1 = column.1.max(x1);
                }
                column.2 += 1;
            }
            _ => {}
        }
    };
    for row in &order {
        for segment in &row.segments {
            insert(segment);
        }
    }
    merge_never_together(&mut columns, &order);
    add_lone_column(&mut columns, rows);
    if columns.is_empty() {
        let left = rows.iter().map(Row::x0).fold(f32::INFINITY, f32::min);
        let right = rows.iter().map(Row::x1).fold(f32::NEG_INFINITY, f32::max);
        columns.push((left, right, 1));
    }
    columns.into_iter().map(|(x0, x1, _)| (x0, x1)).collect()
}

/// A column whose lines never share a line with the others: labels of several lines
/// with the values set against their middle.
fn add_lone_column(columns: &mut Vec<(f32, f32, usize)>, rows: &[Row]) {
    let lone: Vec<&Segment> = rows
        .iter()
        .filter_map(|row| if let [only] = &row.segments[..] { Some(only) } else { None })
        .filter(|segment| {
            columns.iter().all(|column| column.1 < segment.x0 || column.0 > segment.x1)
        })
        .collect();
    let (Some(x0), Some(x1)) = (
        lone.iter().map(|segment| segment.x0).reduce(f32::min),
        lone.iter().map(|segment| segment.x1).reduce(f32::max),
    ) else {
        return;
    };
    let free = columns.iter().all(|column| column.1 < x0 || column.0 > x1);
    if free && lone.len() >= 3 && 4 * lone.len() >= rows.len() {
        let place = columns.partition_point(|column| column.0 < x0);
        columns.insert(place, (x0, x1, lone.len()));
    }
}

/// Two neighbours that no row fills both, and that stand close, are one column whose
/// cells are set left in some rows and right in others.
fn merge_never_together(columns: &mut Vec<(f32, f32, usize)>, rows: &[&Row]) {
    let mut at = 0;
    while at + 1 < columns.len() {
        let (a, b) = (columns[at], columns[at + 1]);
        let size = rows.first().map_or(10.0, |row| row.size);
        let inside = |row: &Row, column: (f32, f32, usize)| {
            row.segments
                .iter()
                .any(|segment| segment.x0 < column.1 - 1.0 && segment.x1 > column.0 + 1.0)
        };
        let together = rows.iter().any(|row| inside(row, a) && inside(row, b));
        if !together && b.0 - a.1 < 2.2 * size {
            columns[at] = (a.0, b.1.max(a.1), a.2 + b.2);
            columns.remove(at + 1);
        } else {
            at += 1;
        }
    }
}

/// The column a segment belongs to: the first it overlaps by much, else the nearest.
pub(crate) fn column_of(columns: &[(f32, f32)], segment: &Segment) -> usize {
    let mut best = 0;
    let mut best_score = f32::NEG_INFINITY;
    for (at, &(x0, x1)) in columns.iter().enumerate() {
        let overlap = x1.min(segment.x1) - x0.max(segment.x0);
        // A long label starts in its own column and runs over the empty ones.
        let starts_here = segment.x0 >= x0 - 1.0 && segment.x0 < x1;
        let score =
            if starts_here && !segment.value { overlap.max(0.0) + 10_000.0 } else { overlap };
        if score > best_score {
            best = at;
            best_score = score;
        }
    }
    best
}

/// Groups lines to rows: by ruling lines or blank space where every row has them, else
/// by what a wrapped label looks like.
fn logical_rows(
    source: &Source<'_>,
    rows: &[Row],
    columns: &[(f32, f32)],
    horizontals: &[Rule],
) -> Vec<std::ops::Range<usize>> {
    if let Some(groups) = ruled_rows(rows, columns, horizontals) {
        return groups;
    }
    if let Some(groups) = spaced_rows(rows) {
        return groups;
    }
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let label_right = columns.first().map_or(0.0, |column| column.1);
    for (at, row) in rows.iter().enumerate() {
        let joins = groups.last().is_some_and(|group| {
            wraps(source, &rows[group.clone()], &rows[at - 1], row, columns, label_right)
        });
        match groups.last_mut() {
            Some(group) if joins => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// Whether `row` goes on with the label of the row that `previous` ends.
fn wraps(
    source: &Source<'_>,
    group: &[Row],
    previous: &Row,
    row: &Row,
    columns: &[(f32, f32)],
    label_right: f32,
) -> bool {
    if row.base - previous.base > 1.45 * previous.size.max(row.size) {
        return false;
    }
    let (Some(first), Some(last)) = (row.segments.first(), previous.segments.first()) else {
        return false;
    };
    let in_label = column_of(columns, first) == 0;
    let has_values = |row: &Row| row.segments.iter().any(|segment| segment.value || segment.years);
    let group_filled = group.iter().any(has_values);
    let Some(&word) = first.words.first() else { return false };
    let text = source.word(word);
    let lower = text.starts_with(|c: char| c.is_lowercase());
    if group_filled && has_values(row) {
        return false;
    }
    if !in_label || column_of(columns, last) != 0 {
        // A cell of text that goes on below, with nothing beside it.
        return !in_label
            && !has_values(row)
            && row.segments.len() < columns.len()
            && row.bold == previous.bold;
    }
    if first.x0 < last.x0 - 2.0 {
        return false;
    }
    let end = last.words.last().map_or("", |&word| source.word(word));
    if end.ends_with(':') {
        return false;
    }
    if row.segments.len() == 1 && group_filled {
        return lower || text.starts_with('(');
    }
    let width = source.words[word].x1 - source.words[word].x0;
    let no_room = last.x1 + width + 0.3 * row.size > label_right
        && label_right - columns[0].0 > 8.0 * row.size
        && last.x1 - columns[0].0 > 0.85 * (label_right - columns[0].0);
    let open_end = end.ends_with([',', '—', '-'])
        || matches!(
            end,
            "and" | "of" | "to" | "the" | "in" | "for" | "from" | "or" | "by" | "with" | "on"
        );
    lower || open_end || no_room && previous.bold == row.bold
}

/// Rows between rules that run over the whole table.
fn ruled_rows(
    rows: &[Row],
    columns: &[(f32, f32)],
    horizontals: &[Rule],
) -> Option<Vec<std::ops::Range<usize>>> {
    let (left, right) = (columns.first()?.0, columns.last()?.1);
    let (top, bottom) = (rows.first()?.top, rows.last()?.bottom);
    let mut lines: Vec<f32> = Vec::new();
    let mut at = 0;
    // Rules are often drawn cell by cell: those at one height count as one.
    while at < horizontals.len() {
        let y = horizontals[at].y0;
        let mut covered = 0.0_f32;
        let mut reach = left;
        while at < horizontals.len() && horizontals[at].y0 - y < 1.5 {
            let rule = &horizontals[at];
            covered += (rule.x1.min(right) - rule.x0.max(reach)).max(0.0);
            reach = reach.max(rule.x1);
            at += 1;
        }
        if covered > 0.8 * (right - left) && y > top - 2.0 && y < bottom + 2.0 {
            lines.push(y);
        }
    }
    if lines.len() < 2 || lines.len() * 3 < rows.len() / 2 {
        return None;
    }
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut band = usize::MAX;
    for (at, row) in rows.iter().enumerate() {
        let here = lines.partition_point(|line| *line < 0.5 * (row.top + row.bottom));
        match groups.last_mut() {
            Some(group) if here == band => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
        band = here;
    }
    single_valued(rows, &groups).then_some(groups)
}

/// Rows parted by clearly more space than their lines.
fn spaced_rows(rows: &[Row]) -> Option<Vec<std::ops::Range<usize>>> {
    let gaps: Vec<f32> = rows.windows(2).map(|pair| pair[1].base - pair[0].base).collect();
    let tightest = gaps.iter().copied().fold(f32::INFINITY, f32::min);
    let limit = 1.3 * tightest.max(0.8 * rows.first()?.size);
    let mut groups: Vec<std::ops::Range<usize>> = Vec::with_capacity(rows.len());
    groups.push(0..1);
    for (at, gap) in gaps.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if *gap <= limit => group.end = at + 2,
            _ => groups.push(at + 1..at + 2),
        }
    }
    let wrapped = groups.iter().filter(|group| group.len() > 1).count();
    (3 * wrapped >= groups.len() && groups.len() >= 2 && single_valued(rows, &groups))
        .then_some(groups)
}

/// Whether no group has values on more than one of its lines.
fn single_valued(rows: &[Row], groups: &[std::ops::Range<usize>]) -> bool {
    groups.iter().all(|group| {
        let filled = rows[group.clone()]
            .iter()
            .filter(|row| {
                row.segments.iter().filter(|segment| segment.value).count() >= 2 || is_data(row)
            })
            .count();
        filled <= 1
    })
}
