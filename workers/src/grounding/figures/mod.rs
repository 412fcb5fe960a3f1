//! Looks up every figure of an answer in the passages that it cites.
//!
//! Deterministic, and no model is asked. A figure is supported where a cited passage says
//! the same: the same digits as far as they are written, the same scale, sign and unit,
//! in the line, column and time that the sentence speaks of. A figure that the words call
//! a change, an average, a ratio or a sum is computed again from the figures they name.
//! Everything else is unsupported, with the reason.
//!
//! The way of a figure: the answer is cut into statements (`statement`) and its numbers
//! (`number`, `shape`, `units`, `names`) and times (`period`) are read; the passages are
//! read into facts (`facts`, `table`, `scale`); a fact that agrees (`agree`) must belong
//! to what is said (`context`, `hints`, `times`, `lines`, `belong`), or else the figure
//! must follow from facts that do (`derive`, `operands`).
//!
//! Which citations count: those that the sentence names, or, where it names none, those
//! that its line names next. Only where they do not hold the figure, the answer's other
//! citations are looked at, and then the line or sentence found must be named by the
//! statement, not merely not contradicted.

mod agree;
mod belong;
mod check;
mod context;
mod derive;
mod facts;
mod hints;
mod lines;
mod mention;
mod named;
mod names;
mod number;
mod operands;
mod period;
mod reading;
mod report;
mod scale;
mod shape;
mod statement;
mod table;
mod times;
mod units;
mod words;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use quaestor_core::ids::ChunkId;
use quaestor_core::model::Figure;

use super::Located;
use check::Checker;
use facts::{Evidence, Reading};

/// The most figures of an answer that are looked up; one more is listed as not checked.
pub const MAX_FIGURES: usize = 2_000;

/// What stands around a passage on its page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Before it, or the end of that.
    pub above: String,
    /// After it, or the beginning of that.
    pub below: String,
}

/// What an answer's figures are checked against.
#[derive(Debug)]
pub struct Grounds<'a> {
    /// The question, made to stand alone: a short answer does not repeat it.
    pub question: &'a str,
    /// The citations of the answer.
    pub located: &'a [Located],
    /// For passages by their chunk, what stands around them on their page: it may tell
    /// the scale of a table. Passages without an entry are read alone.
    pub around: &'a HashMap<ChunkId, Surroundings>,
}

/// Every figure of the answer, in order, each with where it stands, or from what it
/// follows, or why it is unsupported. Citation markers are no figures.
#[must_use]
pub fn check_figures(answer: &str, grounds: &Grounds<'_>) -> Vec<Figure> {
    let mut readings: Vec<Reading<'_>> = Vec::new();
    for located in grounds.located {
        let quote = (located.quote.start, located.quote.end);
        let chunk = located.passage.chunk_id;
        match readings.iter_mut().find(|reading| reading.passage.chunk_id == chunk) {
            Some(known) => known.ordinals.push((located.ordinal, quote)),
            None => readings.push(Reading {
                passage: &located.passage,
                ordinals: vec![(located.ordinal, quote)],
                above: grounds.around.get(&chunk).map_or("", |around| around.above.as_str()),
                below: grounds.around.get(&chunk).map_or("", |around| around.below.as_str()),
            }),
        }
    }
    let evidence = Evidence::read(readings);
    Checker::new(answer, grounds.question, &evidence).run()
}
