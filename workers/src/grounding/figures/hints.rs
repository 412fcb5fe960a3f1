//! What do the words around a figure say that it is: a level, a change, an average, a
//! ratio, a sum? Read alike in answers and in documents.

use super::table::Range;
use super::words::tokens;

/// What words say of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// A change, growth or difference.
    pub(super) change: bool,
    /// An average.
    pub(super) average: bool,
    /// A ratio or proportion, in so many words.
    pub(super) ratio: bool,
    /// A part of something: "65 % of sales", "accounted for".
    pub(super) share: bool,
    /// A sum of several.
    pub(super) sum: bool,
    /// It went up.
    pub(super) up: bool,
    /// It went down.
    pub(super) down: bool,
    /// A loss, a deficit, money used: its amount may be told without its minus.
    pub(super) loss: bool,
    /// "Difference": its sign says nothing.
    pub(super) unsigned: bool,
}

impl Hints {
    /// Whether the words say that the figure is computed, and not a line of its own.
    pub(super) fn is_computed(self) -> bool {
        self.change || self.average || self.ratio
    }

    /// Whether a figure of a document is of the sort that these words ask for.
    pub(super) fn allows(self, held: Self) -> bool {
        (!self.change || held.change)
            && (!self.average || held.average)
            && (!self.ratio || held.ratio || held.share)
    }
}

const UP: &[&str] = &[
    "increase",
    "increased",
    "increases",
    "increasing",
    "grew",
    "grow",
    "growth",
    "rose",
    "rise",
    "up",
    "higher",
    "gained",
    "climbed",
    "improved",
    "improvement",
    "expanded",
    "jumped",
    "more",
];
const DOWN: &[&str] = &[
    "decrease",
    "decreased",
    "decreases",
    "decreasing",
    "fell",
    "fall",
    "decline",
    "declined",
    "declines",
    "drop",
    "dropped",
    "down",
    "lower",
    "reduction",
    "reduced",
    "shrank",
    "less",
    "contracted",
];
const CHANGE: &[&str] =
    &["change", "changes", "changed", "difference", "variance", "gap", "variation"];
const AVERAGE: &[&str] = &["average", "averaged", "averages", "mean"];
const RATIO: &[&str] = &["ratio", "proportion", "multiple"];
const SUM: &[&str] = &["sum", "combined", "together", "total", "aggregate", "totaled", "totalled"];
const SHARE: &[&str] = &[
    "share",
    "represents",
    "represented",
    "representing",
    "accounts",
    "accounted",
    "accounting",
    "comprised",
    "constituted",
    "margin",
    "portion",
    "percentage",
    "makes",
    "made",
];

/// Words before a figure that make it a level, whatever else the sentence says.
const LEVEL: &[&str] = &[
    "to",
    "from",
    "at",
    "reached",
    "reaching",
    "totaling",
    "totalling",
    "against",
    "versus",
    "vs",
    "than",
    "with",
    "plus",
];

/// The ids of the words that say what is computed, where something is.
pub(super) fn computing_words(hints: Hints) -> Vec<u64> {
    let mut words: Vec<&str> = Vec::new();
    if hints.change {
        words.extend(CHANGE.iter().chain(UP).chain(DOWN));
    }
    if hints.average {
        words.extend(AVERAGE);
    }
    if hints.ratio {
        words.extend(RATIO);
    }
    let mut ids: Vec<u64> = words.into_iter().map(super::words::word_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The hints for a figure of a sentence; `figures` are all of its figures in order.
pub(super) fn of_figure(sentence: &str, figures: &[Range], index: usize) -> Hints {
    let (start, end) = figures[index];
    let previous_end = index.checked_sub(1).map_or(0, |before| figures[before].1);
    let next_start = figures.get(index + 1).map_or(sentence.len(), |next| next.0);
    let before = sentence[previous_end..start].to_ascii_lowercase();
    let after = sentence[end..next_start].to_ascii_lowercase();
    let mut hints = Hints::default();
    let front: Vec<&str> = tokens(&before).iter().map(|t| t.of(&before)).collect();
    let last = front.iter().rev().find(|word| {
        !matches!(
            **word,
            "about"
                | "approximately"
                | "around"
                | "roughly"
                | "nearly"
                | "almost"
                | "us"
                | "some"
                | "over"
                | "a"
                | "the"
        )
    });
    let is_level = last.is_some_and(|word| LEVEL.contains(word));
    if !is_level {
        take_before(&before, &front, &mut hints);
        // `5, or 12 %` and `5 (12 %)`: the same change in other words.
        let repeats = front.is_empty() && before.trim_start().starts_with('(')
            || matches!(front.as_slice(), ["or"] | ["or", "about" | "approximately"]);
        if repeats
            && index > 0
            && (before.contains('(') || before.trim_start().starts_with([',', 'o']))
        {
            let of_previous = of_figure_before(sentence, figures, index);
            hints = Hints { share: hints.share, ..of_previous };
        }
    }
    take_after(&after, &mut hints);
    if is_level && !after_is_change(&after) {
        hints.change = false;
        hints.up = false;
    }
    hints
}

/// The hints of the figure before, not of those before that: no chain is walked.
fn of_figure_before(sentence: &str, figures: &[Range], index: usize) -> Hints {
    let (start, _) = figures[index - 1];
    let from = index.checked_sub(2).map_or(0, |before| figures[before].1);
    let before = sentence[from..start].to_ascii_lowercase();
    let front: Vec<&str> = tokens(&before).iter().map(|t| t.of(&before)).collect();
    let mut hints = Hints::default();
    if !front.last().is_some_and(|word| LEVEL.contains(word)) {
        take_before(&before, &front, &mut hints);
    }
    hints
}

fn take_before(text: &str, words: &[&str], hints: &mut Hints) {
    // What a clause before says holds for its own figures.
    let break_at = text.rfind(';').map_or(0, |at| at + 1);
    let skipped = tokens(&text[..break_at]).len();
    let words = &words[skipped.min(words.len())..];
    // After "was", verbs say something of the line, and only nouns what the figure is.
    let is_told = words.last().is_some_and(|word| matches!(*word, "was" | "were" | "is" | "are"));
    let has =
        |list: &[&str]| words.iter().any(|word| list.contains(word) && !(is_told && is_verb(word)));
    // "Made up 5 %" is a share.
    let made_up = words
        .windows(2)
        .any(|pair| matches!(pair[0], "made" | "make" | "makes" | "making") && pair[1] == "up");
    hints.up |= has(UP) && !(made_up && words.iter().filter(|word| UP.contains(word)).count() == 1);
    hints.down |= has(DOWN);
    hints.unsigned |=
        words.contains(&"difference") || words.contains(&"gap") || words.contains(&"variance");
    hints.change |= hints.up || hints.down || has(CHANGE);
    // A weighted average is a line of its own.
    hints.average |= has(AVERAGE) && !words.contains(&"weighted");
    hints.ratio |= has(RATIO);
    hints.sum |= has(SUM);
    hints.share |= has(SHARE);
    outflow(words, hints);
}

/// Verbs among the words of change.
fn is_verb(word: &str) -> bool {
    matches!(
        word,
        "increased"
            | "increases"
            | "increasing"
            | "grew"
            | "grow"
            | "rose"
            | "gained"
            | "climbed"
            | "improved"
            | "expanded"
            | "jumped"
            | "decreased"
            | "decreases"
            | "decreasing"
            | "fell"
            | "declined"
            | "declines"
            | "dropped"
            | "reduced"
            | "shrank"
            | "contracted"
            | "changed"
    )
}

/// A loss, a deficit or money used: the amount may be told without its minus.
fn outflow(words: &[&str], hints: &mut Hints) {
    let has = |word: &str| words.contains(&word);
    let loss = (has("loss") || has("losses") || has("deficit") || has("negative"))
        && !["income", "profit", "gain", "gains", "earnings"].iter().any(|word| has(word));
    let used = (has("used") || has("outflow") || has("outflows")) && !has("provided");
    let both = has("increase") && has("decrease");
    hints.loss |= loss || used;
    if both {
        hints.up = false;
        hints.down = false;
    }
}

fn after_is_change(text: &str) -> bool {
    let words: Vec<&str> = tokens(text).iter().take(3).map(|t| t.of(text)).collect();
    words.first().is_some_and(|word| {
        UP.contains(word) || DOWN.contains(word) || matches!(*word, "change" | "difference")
    })
}

fn take_after(text: &str, hints: &mut Hints) {
    let words: Vec<&str> = tokens(text).iter().take(4).map(|t| t.of(text)).collect();
    let Some(first) = words.first() else { return };
    // `a 5 % increase`, `5 % higher`; but "5 million more shares" counts shares.
    let touches = !text.trim_start().starts_with([',', ';', '.', ')', '(']);
    if touches {
        if UP.contains(first) && *first != "up" {
            hints.up = true;
            hints.change = true;
        }
        if DOWN.contains(first) && *first != "down" {
            hints.down = true;
            hints.change = true;
        }
        hints.change |= matches!(*first, "change" | "difference");
        hints.share |= *first == "of";
        if matches!(*first, "more" | "less" | "fewer") && words.contains(&"than") {
            hints.change = true;
            hints.up |= *first == "more";
            hints.down |= *first != "more";
        }
        let loss = matches!(*first, "loss" | "deficit" | "outflow");
        hints.loss |= loss;
    }
    hints.average |= touches && words.iter().take(2).any(|word| *word == "average");
}

/// The hints of the figures of a cell, from its labels and its column's name.
pub(super) fn of_label(label: &str) -> Hints {
    let lower = label.to_ascii_lowercase();
    let words: Vec<&str> = tokens(&lower).iter().map(|t| t.of(&lower)).collect();
    let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
    Hints {
        change: has(UP) || has(DOWN) || has(CHANGE) || has(&["vs", "versus", "chg", "yoy"]),
        average: has(AVERAGE) || has(&["weighted"]),
        ratio: has(RATIO)
            || has(&["rate", "margin", "percentage", "percent", "share"])
            || lower.contains('%'),
        share: has(SHARE) || lower.contains('%'),
        ..Hints::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grounding::figures::number::numbers;

    fn read(sentence: &str) -> Vec<Hints> {
        let places: Vec<Range> = numbers(sentence)
            .iter()
            .filter(|n| n.unit != crate::grounding::figures::units::Unit::None)
            .map(|n| (n.start, n.end))
            .collect();
        (0..places.len()).map(|index| of_figure(sentence, &places, index)).collect()
    }

    #[test]
    fn changes_are_told_from_levels() {
        let hints = read("Sales increased from $5 to $6, an increase of $1, or 20%");
        let changes: Vec<bool> = hints.iter().map(|h| h.change).collect();
        assert_eq!(changes, [false, false, true, true]);
        assert!(read("The change in sales was $1")[0].change);
        assert!(read("a 5% decrease")[0].down);
        assert!(read("The average of sales is $3")[0].average);
        assert!(!read("more than $5 of debt")[0].change);
    }
}
