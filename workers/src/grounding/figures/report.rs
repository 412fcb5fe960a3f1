//! Writes verdicts down as the figures that people and programs read.

use quaestor_core::model::{Derivation, Figure, FigureReason, FigureSource, FigureStatus};

use super::MAX_FIGURES;
use super::check::Verdict;
use super::facts::{Evidence, Place};
use super::table::Range;
use crate::grounding::citations::cell_at;

/// The figures of an answer, as they are decided.
pub(super) struct Report<'a, 'p> {
    answer: &'a str,
    evidence: &'a Evidence<'p>,
    figures: Vec<Figure>,
    /// Whether the answer holds more figures than are listed.
    is_more: bool,
    /// Bytes and characters of the answer that are counted already.
    counted: (usize, u32),
}

impl<'a, 'p> Report<'a, 'p> {
    /// An empty one.
    pub(super) fn new(answer: &'a str, evidence: &'a Evidence<'p>) -> Self {
        Self { answer, evidence, figures: Vec::new(), is_more: false, counted: (0, 0) }
    }

    /// Whether there are as many figures as are looked up.
    pub(super) fn is_full(&self) -> bool {
        self.figures.len() >= MAX_FIGURES
    }

    /// Whether there are more figures than are listed.
    pub(super) fn is_more(&self) -> bool {
        self.is_more
    }

    /// What was written down.
    pub(super) fn into_figures(mut self) -> Vec<Figure> {
        if self.is_more {
            let mut figure = Figure::new("\u{2026}", FigureStatus::Unsupported, None);
            figure.reason = Some(FigureReason::NotChecked);
            self.figures.push(figure);
        }
        self.figures
    }

    /// Writes a verdict down. Figures come in the order of the answer.
    pub(super) fn push(&mut self, (start, end): Range, verdict: Verdict, cites: &[u32]) {
        if self.is_full() {
            self.is_more = true;
            return;
        }
        let char_start = self.chars_to(start);
        let char_end = char_start + count(&self.answer[start..end]);
        let mut figure = Figure::new(&self.answer[start..end], FigureStatus::Supported, None);
        figure.char_start = Some(char_start);
        figure.char_end = Some(char_end);
        match verdict {
            Verdict::Held(fact) => {
                let source = self.source(fact, cites);
                figure.ordinal = Some(source.ordinal);
                figure.support = Some(source);
            }
            Verdict::Quoted(source, range) => {
                let ordinal = self.ordinal(source, range, cites);
                figure.ordinal = Some(ordinal);
                figure.support = (range.0 < range.1).then(|| self.place(source, range, ordinal));
            }
            Verdict::Derived(derived) => {
                let operands: Vec<FigureSource> =
                    derived.operands.iter().map(|fact| self.source(*fact, cites)).collect();
                figure.ordinal = operands.first().map(|operand| operand.ordinal);
                figure.derivation = Some(Derivation { kind: derived.kind, operands });
            }
            Verdict::Unsupported(reason) => {
                figure.status = FigureStatus::Unsupported;
                figure.reason = Some(reason);
            }
        }
        self.figures.push(figure);
    }

    fn chars_to(&mut self, byte: usize) -> u32 {
        let (bytes, chars) = self.counted;
        if byte >= bytes {
            self.counted = (byte, chars + count(&self.answer[bytes..byte]));
        } else {
            self.counted = (byte, count(&self.answer[..byte]));
        }
        self.counted.1
    }

    /// The citation that is named for a place: one that the statement names and that
    /// quotes it, one that it names, one that quotes it, or any.
    fn ordinal(&self, source: usize, range: Range, cites: &[u32]) -> u32 {
        let ordinals = &self.evidence.sources[source].ordinals;
        let rank = |(ordinal, quote): &(u32, Range)| {
            let quotes = quote.0 <= range.0 && range.1 <= quote.1;
            (!cites.contains(ordinal), !quotes, *ordinal)
        };
        ordinals.iter().min_by_key(|entry| rank(entry)).map_or(0, |(ordinal, _)| *ordinal)
    }

    fn source(&self, fact: usize, cites: &[u32]) -> FigureSource {
        let fact = &self.evidence.facts[fact];
        let range = (fact.held.number.start, fact.held.number.end);
        let ordinal = self.ordinal(fact.source, range, cites);
        let mut place = self.place(fact.source, range, ordinal);
        if let Some((_, row)) = self.evidence.row(fact) {
            place.row = Some(row.label.clone()).filter(|label| !label.is_empty());
            place.column =
                self.evidence.column(fact).map(|c| c.name.clone()).filter(|n| !n.is_empty());
            if let Place::Cell { column, .. } = fact.place {
                place.cell = cell_at(self.evidence.sources[fact.source].passage, range.0, column);
            }
        }
        place
    }

    fn place(&self, source: usize, (start, end): Range, ordinal: u32) -> FigureSource {
        let passage = self.evidence.sources[source].passage;
        let char_start = passage.char_start + count(&passage.text[..start]);
        FigureSource {
            ordinal,
            text: passage.text[start..end].to_owned(),
            char_start,
            char_end: char_start + count(&passage.text[start..end]),
            cell: None,
            row: None,
            column: None,
        }
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
