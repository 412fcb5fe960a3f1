//! Grounding: an answer's citations point at what was retrieved for it, and each figure
//! in it is marked as found in a cited passage or not found.

mod citations;
mod figures;
mod marker;
mod quote;
mod writer;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{Citation, Figure};
use quaestor_core::ports::store::{Store, StoreError};

pub use figures::{Grounds, MAX_FIGURES, Surroundings, check_figures};
pub use quote::Span;
pub(crate) use writer::CitationWriter;
pub use writer::Located;

/// What an answer rests on.
#[derive(Debug)]
pub(crate) struct Grounded {
    /// Its citations, in the order of their ordinals.
    pub(crate) citations: Vec<Citation>,
    /// Its figures, in the order of the text.
    pub(crate) figures: Vec<Figure>,
}

/// Makes the citations of a written answer and checks its figures against them.
/// `question` is the question, made to stand alone.
pub(crate) async fn ground(
    store: &dyn Store,
    workspace: WorkspaceId,
    question: &str,
    answer: &str,
    located: &[Located],
) -> Result<Grounded, StoreError> {
    let pages = citations::CitedPages::read(store, workspace, located).await?;
    let around = pages.around(located);
    let figures = check_figures(answer, &Grounds { question, located, around: &around });
    Ok(Grounded { citations: citations::build_citations(located, &pages), figures })
}
