//! Is a part of the page set in columns of running text, to be read one after the other?

use crate::content::words::Rule;

use super::rows::Row;

/// A part of a page whose rows are read from top to bottom.
pub(crate) type Region = Vec<Row>;

/// A gutter is at least this wide, in heights of its text.
const MIN_GUTTER_EM: f32 = 0.9;
/// Fewer lines beside each other are no columns.
const MIN_LINES: usize = 4;
/// Columns within columns, at most.
const MAX_DEPTH: u32 = 4;

/// A gutter and the rows it runs through.
struct Band {
    from: usize,
    to: usize,
    left: f32,
    right: f32,
}

/// Splits rows into regions in reading order. Tables stay whole: what stands beside each
/// other in them belongs together.
pub(crate) fn regions(rows: Vec<Row>, horizontals: &[Rule]) -> Vec<Region> {
    let mut out = Vec::new();
    split(rows, horizontals, 0, &mut out);
    out
}

fn split(rows: Vec<Row>, horizontals: &[Rule], depth: u32, out: &mut Vec<Region>) {
    let band = if depth < MAX_DEPTH { find_band(&rows, horizontals) } else { None };
    let Some(band) = band else {
        if !rows.is_empty() {
            out.push(rows);
        }
        return;
    };
    let middle = 0.5 * (band.left + band.right);
    let mut above = Vec::new();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut below = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        if index < band.from {
            above.push(row);
        } else if index >= band.to {
            below.push(row);
        } else {
            let (on_left, on_right): (Vec<_>, Vec<_>) = row
                .segments
                .iter()
                .cloned()
                .partition(|segment| 0.5 * (segment.x0 + segment.x1) < middle);
            if !on_left.is_empty() {
                left.push(row.part(on_left));
            }
            if !on_right.is_empty() {
                right.push(row.part(on_right));
            }
        }
    }
    split(above, horizontals, depth + 1, out);
    split(left, horizontals, depth + 1, out);
    split(right, horizontals, depth + 1, out);
    split(below, horizontals, depth + 1, out);
}

/// The tallest band of rows with running text on both sides of a gutter.
fn find_band(rows: &[Row], horizontals: &[Rule]) -> Option<Band> {
    let mut best: Option<Band> = None;
    for (start, row) in rows.iter().enumerate() {
        if best.as_ref().is_some_and(|band| start >= band.from && start < band.to) {
            continue;
        }
        for pair in row.segments.windows(2) {
            let band = grow(rows, start, pair[0].x1, pair[1].x0);
            let taller = best.as_ref().is_none_or(|old| band.to - band.from > old.to - old.from);
            if taller && is_text_columns(rows, &band, horizontals) {
                best = Some(band);
            }
        }
    }
    best
}

/// Follows a gap up and down the page as long as it stays open.
fn grow(rows: &[Row], start: usize, mut left: f32, mut right: f32) -> Band {
    let width = MIN_GUTTER_EM * rows[start].size;
    let mut narrow = |row: &Row| {
        let middle = 0.5 * (left + right);
        let (mut l, mut r) = (left, right);
        for segment in &row.segments {
            if segment.x1 <= middle {
                l = l.max(segment.x1);
            } else if segment.x0 >= middle {
                r = r.min(segment.x0);
            } else if middle - segment.x0 < segment.x1 - middle {
                r = r.min(segment.x0);
                l = l.max(segment.x0.min(l));
            } else {
                l = l.max(segment.x1);
            }
        }
        let open = r - l >= width;
        if open {
            (left, right) = (l, r);
        }
        open
    };
    let mut from = start;
    let mut to = start + 1;
    let _ = narrow(&rows[start]);
    while to < rows.len() && narrow(&rows[to]) {
        to += 1;
    }
    while from > 0 && narrow(&rows[from - 1]) {
        from -= 1;
    }
    Band { from, to, left, right }
}

fn is_text_columns(rows: &[Row], band: &Band, horizontals: &[Rule]) -> bool {
    let band_rows = &rows[band.from..band.to];
    let middle = 0.5 * (band.left + band.right);
    let crossing = horizontals
        .iter()
        .filter(|rule| {
            let y = 0.5 * (rule.y0 + rule.y1);
            rule.x0 < band.left - 10.0
                && rule.x1 > band.right + 10.0
                && y > band_rows.first().map_or(0.0, |row| row.bottom)
                && y < band_rows.last().map_or(0.0, |row| row.top)
        })
        .count();
    crossing < 2
        && !in_step(band_rows, middle)
        && reads_as_text(band_rows, |x| x < middle)
        && reads_as_text(band_rows, |x| x >= middle)
}

/// Whether both sides pause at the same heights again and again: then they are cells
/// of the same rows, not columns of text.
fn in_step(rows: &[Row], middle: f32) -> bool {
    const MIN_BLOCKS: usize = 3;
    let mut blocks = 0_usize;
    let (mut left, mut right) = (false, false);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 && row.base - rows[at - 1].base > 1.5 * row.size {
            blocks += usize::from(left && right);
            (left, right) = (false, false);
        }
        left |= row.segments.iter().any(|segment| segment.x1 < middle);
        right |= row.segments.iter().any(|segment| segment.x0 > middle);
    }
    blocks += usize::from(left && right);
    blocks >= MIN_BLOCKS && rows.len() <= 6 * blocks
}

/// Whether the segments on one side are lines of sentences: several words each, most as
/// wide as the side, few numbers.
fn reads_as_text(rows: &[Row], on_side: impl Fn(f32) -> bool) -> bool {
    let mut lines = 0_usize;
    let mut words = 0_usize;
    let mut values = 0_usize;
    let mut broken = 0_usize;
    let mut widths: Vec<f32> = Vec::new();
    for row in rows {
        let mut parts = 0;
        let (mut x0, mut x1) = (f32::INFINITY, f32::NEG_INFINITY);
        for segment in row.segments.iter().filter(|s| on_side(0.5 * (s.x0 + s.x1))) {
            parts += 1;
            words += segment.words.len();
            values += usize::from(segment.value);
            x0 = x0.min(segment.x0);
            x1 = x1.max(segment.x1);
        }
        if parts > 0 {
            lines += 1;
            widths.push(x1 - x0);
            broken += usize::from(parts > 1);
        }
    }
    if lines < MIN_LINES {
        return false;
    }
    widths.sort_by(f32::total_cmp);
    let widest = widths[widths.len() - 1];
    let median = widths[widths.len() / 2];
    words >= 4 * lines && 4 * values < lines && 4 * broken <= lines && median > 0.55 * widest
}
