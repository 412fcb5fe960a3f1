//! Where on a page do tables stand?

use std::ops::Range;

use super::rows::{Row, Segment, Source};

/// The ranges of rows that are tables, in order.
pub(crate) fn tables(source: &Source<'_>, rows: &[Row]) -> Vec<Range<usize>> {
    let left = rows.iter().map(Row::x0).fold(f32::INFINITY, f32::min);
    let right = rows.iter().map(Row::x1).fold(f32::NEG_INFINITY, f32::max);
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        if !is_tabular(&rows[at]) {
            at += 1;
            continue;
        }
        let end = run_end(source, rows, at, right - left);
        let run = at..end;
        if is_table(&rows[run.clone()]) {
            let floor = out.last().map_or(0, |last| last.end);
            let start = without_text_above(rows, run.clone());
            let start = if start > run.start {
                start
            } else {
                with_headings_above(rows, start, floor, end)
            };
            let end = with_wrapped_label(source, rows, run.end);
            out.push(start..end);
            at = end;
        } else {
            at = run.end.max(at + 1);
        }
    }
    out
}

fn is_tabular(row: &Row) -> bool {
    row.segments.len() >= 2
}

/// Whether the row holds values beside a label (or several values).
pub(crate) fn is_data(row: &Row) -> bool {
    let value = |index: usize| row.segments[index].value && !row.segments[index].years;
    (1..row.segments.len()).any(value) || row.segments.len() >= 3 && value(0)
}

/// Whether the row, below values, is the header of a further table: text only, and
/// right of the labels, or with a unit or periods, or in many cells.
fn begins_anew(source: &Source<'_>, row: &Row, label_left: f32) -> bool {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if row.segments.len() < 2 || row.segments.iter().any(|segment| segment.value && !segment.years)
    {
        return false;
    }
    let word = |segment: &Segment, at: usize| {
        segment.words.get(at).map_or("", |&index| source.word(index))
    };
    let period = |segment: &Segment| {
        let first = word(segment, 0);
        segment.years
            || segment.words.last().is_some_and(|&index| source.word(index) == "Ended")
            || MONTHS.iter().any(|month| first.starts_with(month))
                && word(segment, 1).starts_with(|c: char| c.is_ascii_digit())
    };
    row.x0() > label_left + 6.0 * row.size
        || word(&row.segments[0], 0).starts_with('(') && row.segments.len() >= 3
        || row.segments.iter().skip(1).all(period)
        || row.segments.len() >= 5
}

fn run_end(source: &Source<'_>, rows: &[Row], start: usize, width: f32) -> usize {
    const MAX_ROWS_WITHOUT_CELLS: usize = 4;
    let mut last = start;
    let mut label_left = rows[start].x0();
    let mut seen_data = is_data(&rows[start]);
    for (at, row) in rows.iter().enumerate().skip(start + 1) {
        let previous = &rows[at - 1];
        let gap = row.base - previous.base;
        let height = row.size.max(previous.size);
        if gap > 4.5 * height || gap > 3.2 * height && !is_tabular(row) {
            break;
        }
        if is_tabular(row) {
            if seen_data && begins_anew(source, row, label_left) {
                break;
            }
            last = at;
            seen_data |= is_data(row);
            if is_data(row) {
                label_left = label_left.min(row.x0());
            }
            continue;
        }
        // The next line of a cell right of the first one.
        let in_cell =
            rows[last].segments.get(1).is_some_and(|cell| (row.x0() - cell.x0).abs() < 3.0);
        if in_cell && gap < 1.7 * height {
            continue;
        }
        let long = row.x1() - row.x0() > 0.72 * width && row.word_count() > 9;
        let ends_sentence = row.word_count() > 9
            && row.words().last().is_some_and(|word| source.word(word).ends_with('.'));
        let heading = row.size > 1.35 * rows[last].size
            || row.bold
                && !rows[last].bold
                && gap > 1.6 * height
                && row.x0() > rows[last].x0() + 3.0 * height;
        if at - last > MAX_ROWS_WITHOUT_CELLS || long || ends_sentence || heading {
            break;
        }
    }
    last + 1
}

fn is_table(rows: &[Row]) -> bool {
    let tabular: Vec<&Row> = rows.iter().filter(|row| is_tabular(row)).collect();
    let data = rows.iter().filter(|row| is_data(row)).count();
    if data >= 2 || data == 1 && tabular.len() >= 2 {
        return true;
    }
    if let [only] = tabular[..] {
        return only.segments.len() >= 3
            && only.segments.iter().filter(|segment| segment.value).count() >= 2;
    }
    if tabular.len() < 3 {
        return false;
    }
    // Text cells: the second column must begin at the same place on most rows.
    let mut starts: Vec<f32> = tabular.iter().map(|row| row.segments[1].x0).collect();
    starts.sort_by(f32::total_cmp);
    let median = starts[starts.len() / 2];
    let aligned = starts.iter().filter(|start| (**start - median).abs() < 4.0).count();
    2 * aligned >= tabular.len()
}

/// Where the values of a table stand.
struct Extent {
    left: f32,
    right: f32,
    /// The right end of the longest label.
    label_right: f32,
    /// The left end of the first value.
    first_value: f32,
}

impl Extent {
    fn of(rows: &[Row]) -> Self {
        let mut extent = Self {
            left: f32::INFINITY,
            right: f32::NEG_INFINITY,
            label_right: f32::NEG_INFINITY,
            first_value: f32::INFINITY,
        };
        for row in rows.iter().filter(|row| is_data(row)) {
            extent.left = extent.left.min(row.x0());
            extent.right = extent.right.max(row.x1());
            extent.label_right = extent.label_right.max(row.segments[0].x1);
            extent.first_value = extent.first_value.min(row.segments[1].x0);
        }
        extent
    }

    /// Whether the row stands over the columns of values and not over the labels.
    fn is_below(&self, row: &Row) -> bool {
        let middle = 0.5 * (row.x0() + row.x1());
        let width = self.right - self.left;
        let over_columns = row.x0() > self.label_right.min(self.first_value) - 2.0 * row.size
            || row.x0() > self.left + 0.25 * width && middle > self.left + 0.58 * width;
        over_columns && row.word_count() <= 9 && row.x1() < self.right + 8.0 * row.size
    }
}

impl Extent {
    /// Whether a row is centred over the whole table, as its title is.
    fn is_title(&self, row: &Row) -> bool {
        let middle = 0.5 * (row.x0() + row.x1());
        let width = self.right - self.left;
        row.segments.len() == 1 && (middle - self.left - 0.5 * width).abs() < 0.04 * width
    }
}

/// Titles above the header are no part of the table, though their line may have a gap.
fn without_text_above(rows: &[Row], run: Range<usize>) -> usize {
    let extent = Extent::of(&rows[run.clone()]);
    let Some(first) = rows[run.clone()].iter().position(is_data) else { return run.start };
    let mut from = run.start + first;
    let mut seen_names = false;
    while from > run.start {
        let row = &rows[from - 1];
        let names_columns = row.segments.len() >= 2
            && row.segments.iter().skip(1).any(|segment| segment.x1 > extent.first_value)
            && row.segments.iter().all(|segment| segment.words.len() <= 16);
        let gap = rows[from].base - row.base;
        let size = row.size.max(rows[from].size);
        let label = row.segments.len() == 1
            && row.x1() < extent.first_value
            && (row.x0() < extent.left + 3.0 * row.size || gap < 1.5 * size && !seen_names);
        let names = names_columns && gap < 3.2 * size
            || extent.is_below(row) && gap < reach(row, &rows[from]);
        // One line of a heading may stand over the middle by chance: then others stand
        // above it.
        let inside = from >= run.start + 2
            && rows[from - 2].segments.len() >= 2
            && row.base - rows[from - 2].base < 1.8 * row.size;
        let title = extent.is_title(row) && !inside && !label;
        if title || !(names || label && gap < 2.6 * size) {
            break;
        }
        seen_names |= !label;
        from -= 1;
    }
    from
}

/// How far above the next line a heading may stand. A title is set apart by its weight
/// or size and names no column.
fn reach(row: &Row, next: &Row) -> f32 {
    let title = row.segments.len() == 1
        && row.word_count() >= 3
        && (row.bold && !next.bold || row.size > 1.1 * next.size);
    if title { 1.4 * next.size } else { 3.2 * row.size.max(next.size) }
}

/// Lines above that stand over the columns only are the head of the header.
fn with_headings_above(rows: &[Row], start: usize, floor: usize, end: usize) -> usize {
    const MAX_LINES: usize = 4;
    let extent = Extent::of(&rows[start..end]);
    let mut from = start;
    // A label between the header and the first values is passed over, but only taken
    // along when there is a header above it.
    let mut named = start;
    while from > floor && start - from < MAX_LINES {
        let row = &rows[from - 1];
        let gap = rows[from].base - row.base;
        let label =
            row.segments.len() == 1 && row.x1() < extent.first_value && row.word_count() <= 8;
        if extent.is_below(row)
            && !extent.is_title(row)
            && gap < reach(row, &rows[from]).min(2.2 * row.size)
        {
            named = from - 1;
        } else if named != start || !label || gap > 2.2 * row.size || start - from > 1 {
            break;
        }
        from -= 1;
    }
    named
}

/// The last label may go on below its values.
fn with_wrapped_label(source: &Source<'_>, rows: &[Row], mut end: usize) -> usize {
    const MAX_LINES: usize = 4;
    let limit = (end + MAX_LINES).min(rows.len());
    let Some(first_value) = rows[end - 1].segments.get(1).map(|segment| segment.x0) else {
        return end;
    };
    while end < limit {
        let (last, next) = (&rows[end - 1], &rows[end]);
        let lower = next
            .words()
            .next()
            .is_some_and(|word| source.word(word).starts_with(|c: char| c.is_lowercase()));
        let close = next.base - last.base < 1.4 * last.size;
        if !(lower && close && next.segments.len() == 1 && next.x1() < first_value) {
            break;
        }
        end += 1;
    }
    end
}
