//! Grounding: an answer's citations point at what was retrieved for it, and each figure
//! in it is marked as found in a cited passage or not found.

mod citations;
mod figures;
mod quote;
mod writer;

pub(crate) use citations::build_citations;
pub(crate) use figures::check_figures;
pub(crate) use writer::{CitationWriter, Located};
