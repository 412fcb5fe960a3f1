//! Which of the times that a sentence names does a figure belong to?

use super::period::{Mention, Period};
use super::table::Range;
use super::words;

/// More words than this between a figure and a time part them.
const MAX_WORDS_AFTER: usize = 7;

/// The times that a figure of a sentence belongs to; any of them will do. Empty where
/// the sentence leaves it open. `figures` are all figures of the sentence in order, the
/// one asked for at `index`.
pub(super) fn bind(
    sentence: &str,
    figures: &[Range],
    index: usize,
    mentions: &[Mention],
) -> Vec<Period> {
    let bound = nearest(sentence, figures, index, mentions);
    let [only] = bound.as_slice() else { return bound };
    // "In 2019, at 31 December": the day and its year stand apart.
    let from = index.checked_sub(1).map_or(0, |before| figures[before].1);
    let to = figures.get(index + 1).map_or(sentence.len(), |next| next.0);
    let mut whole = only.clone();
    for mention in mentions.iter().filter(|m| m.start >= from && m.end <= to) {
        whole.complete(&mention.period);
    }
    if whole.years.is_empty() {
        for mention in mentions.iter().filter(|m| m.end <= from) {
            whole.complete(&mention.period);
        }
    }
    vec![whole]
}

fn nearest(sentence: &str, figures: &[Range], index: usize, mentions: &[Mention]) -> Vec<Period> {
    if mentions.is_empty() {
        return Vec::new();
    }
    if let Some(period) = respectively(sentence, figures, index, mentions) {
        return period;
    }
    let (start, end) = figures[index];
    let previous_end = index.checked_sub(1).map_or(0, |before| figures[before].1);
    let next_start = figures.get(index + 1).map_or(sentence.len(), |next| next.0);
    let after = mentions.iter().find(|m| m.start >= end);
    if let Some(mention) = after
        && mention.start < next_start
        && belongs_back(sentence, end, mention, next_start)
    {
        return with_partner(sentence, mention, mentions, next_start);
    }
    let before: Vec<&Mention> =
        mentions.iter().filter(|m| m.end <= start && m.start >= previous_end).collect();
    // A time right after the figure before may be that figure's.
    let free: Vec<&Mention> = before
        .iter()
        .copied()
        .filter(|m| {
            index == 0 || previous_end == 0 || !belongs_back(sentence, previous_end, m, start)
        })
        .collect();
    if !free.is_empty() {
        let first_free = free[0];
        let last = free[free.len() - 1];
        if free.len() > 1 && is_pair(sentence, first_free, last) {
            return free.iter().map(|m| m.period.clone()).collect();
        }
        return vec![last.period.clone()];
    }
    // What is said once at the beginning holds for all that follows.
    let mut earlier = mentions.iter().filter(|m| m.end <= start);
    let candidates: Vec<&Mention> = earlier
        .by_ref()
        .filter(|m| {
            let owner = figures[..index].iter().rposition(|figure| figure.1 <= m.start);
            owner.is_none_or(|owner| {
                let next = figures.get(owner + 1).map_or(sentence.len(), |next| next.0);
                !belongs_back(sentence, figures[owner].1, m, next)
            })
        })
        .collect();
    if let Some(last) = candidates.last() {
        return vec![last.period.clone()];
    }
    Vec::new()
}

/// Whether a time after a figure is that figure's, and not the next one's.
fn belongs_back(sentence: &str, figure_end: usize, mention: &Mention, next_figure: usize) -> bool {
    let Some(between) = sentence.get(figure_end..mention.start) else { return false };
    if words::tokens(between).len() > MAX_WORDS_AFTER || between.contains([';', ':', '|']) {
        return false;
    }
    let follows = sentence.get(mention.end..next_figure).unwrap_or("");
    let has_next = next_figure < sentence.len();
    let words_to_next = words::tokens(follows).len();
    // `(2018: 5)`, `2018: 5`, `in 2018, 5`: the time heads what follows it.
    let heads = has_next && follows.trim_start().starts_with(':');
    if heads {
        return false;
    }
    let lower = between.to_ascii_lowercase();
    let breaks = lower.contains(", and ")
        || lower.contains(" while ")
        || lower.contains(" whereas ")
        || lower.contains(" but ")
        || (lower.contains(" and ") && !lower.trim_start().starts_with("and "))
        || lower.trim_start().starts_with("and in ")
        || lower.trim_start().starts_with(", in ");
    if breaks && has_next && words_to_next <= 4 {
        return false;
    }
    // `5 compared with 2018`, `5 from 2018` speak of another time than the figure's.
    let compares = ["compared", "versus", " vs", "relative to", "from ", "than ", "over "]
        .iter()
        .any(|word| lower.contains(word));
    let nearer_next =
        lower.contains(" and ") && has_next && words_to_next < words::tokens(between).len();
    !compares && !nearer_next
}

/// `between 2018 and 2019`, `from 2018 to 2019`, `2018 and 2019`: both.
fn with_partner(sentence: &str, mention: &Mention, all: &[Mention], limit: usize) -> Vec<Period> {
    let next = all.iter().find(|other| other.start >= mention.end && other.start < limit);
    match next {
        Some(next) if is_pair(sentence, mention, next) => {
            vec![mention.period.clone(), next.period.clone()]
        }
        _ => vec![mention.period.clone()],
    }
}

fn is_pair(sentence: &str, first: &Mention, last: &Mention) -> bool {
    let Some(between) = sentence.get(first.end..last.start) else { return false };
    let between =
        between.trim().trim_end_matches(" in").trim_end_matches(" fiscal").trim_end_matches(" the");
    words::tokens(between).len() <= 3
        && ["and", "to", "through", "-", "\u{2013}", "or", ",", ", and", "until"]
            .iter()
            .any(|joint| between == *joint || between.split(' ').any(|word| word == *joint))
}

/// `5 and 6 in 2019 and 2018, respectively`: the first goes with the first.
fn respectively(
    sentence: &str,
    figures: &[Range],
    index: usize,
    mentions: &[Mention],
) -> Option<Vec<Period>> {
    let at = sentence.find("respectively")?;
    let listed: Vec<usize> = (0..figures.len()).filter(|n| figures[*n].1 <= at).collect();
    let place = listed.iter().position(|n| *n == index)?;
    let named: Vec<&Mention> = mentions.iter().filter(|m| m.end <= at).collect();
    // Perhaps one more time stands in front of the list.
    let count = listed.len();
    if count >= 2 && named.len() >= count {
        let period = &named[named.len() - count + place].period;
        let first = &named[0].period;
        return Some(vec![period.clone().or(first)]);
    }
    None
}
