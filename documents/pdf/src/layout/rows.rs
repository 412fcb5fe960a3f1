//! Which words stand on one line, and where does a line fall apart into segments?

use crate::content::words::{Rule, Word};

use super::text::{is_value, is_years};

/// Words that belong together on a line: a phrase of a paragraph or a table's cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    /// Indices of words, in reading order.
    pub(crate) words: Vec<usize>,
    pub(crate) x0: f32,
    pub(crate) x1: f32,
    /// Whether the text is a number, a date, a dash or the like.
    pub(crate) value: bool,
    /// Whether it is a year (or several).
    pub(crate) years: bool,
}

/// The segments of one line, from left to right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) segments: Vec<Segment>,
    pub(crate) base: f32,
    pub(crate) top: f32,
    pub(crate) bottom: f32,
    /// The height of most of its text.
    pub(crate) size: f32,
    pub(crate) bold: bool,
}

impl Row {
    pub(crate) fn x0(&self) -> f32 {
        self.segments.first().map_or(0.0, |segment| segment.x0)
    }

    pub(crate) fn x1(&self) -> f32 {
        self.segments.last().map_or(0.0, |segment| segment.x1)
    }

    pub(crate) fn word_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.words.len()).sum()
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = usize> + '_ {
        self.segments.iter().flat_map(|segment| segment.words.iter().copied())
    }

    /// A row of some of the segments.
    pub(crate) fn part(&self, segments: Vec<Segment>) -> Self {
        let Self { base, top, bottom, size, bold, .. } = *self;
        Self { segments, base, top, bottom, size, bold }
    }
}

/// The words of a page in one reading direction, with their text.
pub(crate) struct Source<'p> {
    pub(crate) words: &'p [Word],
    pub(crate) text: &'p str,
}

impl<'p> Source<'p> {
    pub(crate) fn word(&self, index: usize) -> &'p str {
        let word = &self.words[index];
        &self.text[word.start..word.end]
    }

    /// The text of a segment, its words parted by blanks.
    pub(crate) fn segment(&self, segment: &Segment) -> String {
        let mut text = String::new();
        for (position, &index) in segment.words.iter().enumerate() {
            if position > 0 && !self.glued(segment.words[position - 1], index) {
                text.push(' ');
            }
            text.push_str(self.word(index));
        }
        text
    }

    /// Whether two neighbours of a line are written without a blank: drawn in pieces,
    /// or a currency sign, bracket or percent sign that belongs to a number.
    pub(crate) fn glued(&self, left: usize, right: usize) -> bool {
        let (a, b) = (&self.words[left], &self.words[right]);
        let gap = b.x0 - a.x1;
        let close = !b.space_before
            && (a.base - b.base).abs() < 0.5 * a.size
            && gap < 0.12 * a.size.min(b.size)
            && gap > -a.size;
        let (left, right) = (self.word(left), self.word(right));
        close
            || opens_number(left)
                && right.starts_with(|c: char| {
                    c.is_ascii_digit() || matches!(c, '(' | '-' | '—' | '–' | '.')
                })
            || closes_number(right) && left.ends_with(|c: char| c.is_ascii_digit() || c == ')')
    }
}

fn opens_number(word: &str) -> bool {
    matches!(word, "$" | "€" | "£" | "¥" | "($" | "(" | "-$" | "US$" | "$(" | "-")
}

fn closes_number(word: &str) -> bool {
    matches!(word, ")" | "%" | ")%" | "%)" | "x)")
}

/// Groups words to lines and splits the lines into segments.
pub(crate) fn rows(source: &Source<'_>, verticals: &[Rule]) -> Vec<Row> {
    let mut order: Vec<usize> = (0..source.words.len()).collect();
    let words = source.words;
    order.sort_by(|&a, &b| {
        words[a].base.total_cmp(&words[b].base).then(words[a].x0.total_cmp(&words[b].x0))
    });
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut first_base = f32::NEG_INFINITY;
    let mut size = 0.0_f32;
    for index in order {
        let word = &words[index];
        if word.base - first_base < 0.3 * size.min(word.size)
            && let Some(line) = lines.last_mut()
        {
            line.push(index);
            // Small print may come first; the line stands where its text stands.
            if word.size > size {
                size = word.size;
                first_base = word.base;
            }
            continue;
        }
        first_base = word.base;
        size = word.size;
        lines.push(vec![index]);
    }
    raise_small_print(words, &mut lines);
    lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(|mut line| {
            line.sort_by(|&a, &b| words[a].x0.total_cmp(&words[b].x0));
            drop_shadows(source, &mut line);
            row(source, &line, verticals)
        })
        .collect()
}

/// Puts superscripts and subscripts into the line they stand at.
fn raise_small_print(words: &[Word], lines: &mut [Vec<usize>]) {
    for at in 0..lines.len() {
        let mut kept = Vec::with_capacity(lines[at].len());
        for index in std::mem::take(&mut lines[at]) {
            let word = &words[index];
            let neighbours = [at.checked_sub(1), Some(at + 1), at.checked_sub(2), Some(at + 2)];
            let home = neighbours.into_iter().flatten().find(|&other| {
                lines.get(other).is_some_and(|line| {
                    let beside = line.iter().any(|&host| {
                        let host = &words[host];
                        let overlap = host.bottom().min(word.bottom()) - host.top().max(word.top());
                        word.size < 0.85 * host.size
                            && overlap > 0.45 * (word.ascent + word.descent)
                    });
                    beside
                        && line.iter().any(|&host| {
                            let host = &words[host];
                            let gap = (word.x0 - host.x1).max(host.x0 - word.x1);
                            gap < 0.4 * host.size.max(word.size) && gap > -0.5 * word.size
                        })
                })
            });
            match home {
                Some(other) => lines[other].push(index),
                None => kept.push(index),
            }
        }
        lines[at] = kept;
    }
}

/// Drops words that are drawn twice for weight or as a shadow.
fn drop_shadows(source: &Source<'_>, line: &mut Vec<usize>) {
    let words = source.words;
    let mut last: Option<usize> = None;
    line.retain(|&index| {
        let word = &words[index];
        let shadow = last.is_some_and(|other: usize| {
            let other_word = &words[other];
            (word.x0 - other_word.x0).abs() < 0.25 * word.size
                && (word.x1 - other_word.x1).abs() < 0.25 * word.size
                && source.word(index) == source.word(other)
        });
        if !shadow {
            last = Some(index);
        }
        !shadow
    });
}

fn row(source: &Source<'_>, line: &[usize], verticals: &[Rule]) -> Row {
    let words = source.words;
    let weight = |index: usize| words[index].end - words[index].start;
    let total: usize = line.iter().map(|&index| weight(index)).sum();
    let bold_weight: usize = line.iter().filter(|&&i| words[i].bold).map(|&i| weight(i)).sum();
    let main = line.iter().copied().max_by_key(|&index| weight(index)).unwrap_or(line[0]);
    let size = words[main].size;
    let base = words[main].base;
    let top = line.iter().map(|&i| words[i].top()).fold(f32::INFINITY, f32::min);
    let bottom = line.iter().map(|&i| words[i].bottom()).fold(f32::NEG_INFINITY, f32::max);
    let wide = wide_gap(source, line, size);

    let mut segments: Vec<Segment> = Vec::new();
    let mut current: Vec<usize> = Vec::new();
    for &index in line {
        if let Some(&previous) = current.last() {
            let gap = words[index].x0 - words[previous].x1;
            let ruled = gap > 0.0
                && crossed(verticals, words[previous].x1, words[index].x0, base - 0.3 * size);
            let numbers = gap > 0.4 * size
                && is_value(source.word(previous))
                && (is_value(source.word(index)) || opens_number(source.word(index)));
            if (gap > wide || numbers || ruled)
                && !glue_over_gap(source, previous, index, gap, size)
            {
                segments.push(segment(source, std::mem::take(&mut current)));
            }
        }
        current.push(index);
    }
    if !current.is_empty() {
        segments.push(segment(source, current));
    }
    merge_list_mark(source, &mut segments, size);
    Row { segments, base, top, bottom, size, bold: 2 * bold_weight > total }
}

pub(crate) fn segment(source: &Source<'_>, words: Vec<usize>) -> Segment {
    let x0 = words.iter().map(|&i| source.words[i].x0).fold(f32::INFINITY, f32::min);
    let x1 = words.iter().map(|&i| source.words[i].x1).fold(f32::NEG_INFINITY, f32::max);
    let mut segment = Segment { words, x0, x1, value: false, years: false };
    if segment.words.len() <= 6 {
        let text = source.segment(&segment);
        segment.value = is_value(&text);
        segment.years = is_years(&text);
    }
    segment
}

/// The gap that parts segments: wider than a blank, and in a justified line wider than
/// its stretched blanks.
fn wide_gap(source: &Source<'_>, line: &[usize], size: f32) -> f32 {
    let narrow = 0.75 * size;
    if line.len() < 6 {
        return narrow;
    }
    let mut gaps: Vec<f32> =
        line.windows(2).map(|pair| source.words[pair[1]].x0 - source.words[pair[0]].x1).collect();
    gaps.sort_by(f32::total_cmp);
    let median = gaps[gaps.len() / 2];
    let letters = line
        .iter()
        .filter(|&&index| source.word(index).chars().next().is_some_and(char::is_alphabetic))
        .count();
    if 10 * letters >= 7 * line.len() && median < 1.2 * size {
        narrow.max(1.9 * median)
    } else {
        narrow
    }
}

fn crossed(verticals: &[Rule], left: f32, right: f32, y: f32) -> bool {
    verticals.iter().any(|rule| {
        let x = 0.5 * (rule.x0 + rule.x1);
        x > left - 0.5 && x < right + 0.5 && rule.y0 < y && rule.y1 > y
    })
}

/// A currency sign may stand far left of its number, a closing bracket or percent sign
/// right of it.
fn glue_over_gap(source: &Source<'_>, left: usize, right: usize, gap: f32, size: f32) -> bool {
    let (a, b) = (source.word(left), source.word(right));
    let number_follows =
        b.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '—' | '–' | '-' | '.'));
    opens_number(a) && a != "(" && a != "-" && number_follows && gap < 14.0 * size
        || closes_number(b)
            && gap < 2.0 * size
            && a.ends_with(|c: char| c.is_ascii_digit() || c == ')' || c == '—')
}

/// A bullet or a number before a paragraph is no cell.
fn merge_list_mark(source: &Source<'_>, segments: &mut Vec<Segment>, size: f32) {
    if segments.len() != 2 {
        return;
    }
    let mark = source.segment(&segments[0]);
    let gap = segments[1].x0 - segments[0].x1;
    let long = segments[1].words.len() >= 4;
    let bullet = matches!(
        mark.as_str(),
        "•" | "●"
            | "▪"
            | "◦"
            | "○"
            | "■"
            | "–"
            | "—"
            | "-"
            | "*"
            | "➢"
            | "✓"
            | "o"
            | "§"
            | "☐"
            | "☒"
    );
    let numbered = mark.len() <= 6
        && (mark.ends_with('.') || mark.ends_with(')'))
        && mark.chars().filter(|c| c.is_alphanumeric()).count() <= 4;
    if gap < 6.0 * size && (bullet || numbered && long) && !segments[1].value {
        let tail = segments.remove(1);
        let mut words = std::mem::take(&mut segments[0].words);
        words.extend(tail.words);
        segments[0] = segment(source, words);
    }
}
