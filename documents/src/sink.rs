//! Where do a parser's pages go?

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;

use crate::progress::Progress;

/// Takes a document page by page, so that nobody holds all of it.
pub trait Sink {
    /// The document's title, if it tells one. Called at most once, before the first page.
    ///
    /// # Errors
    /// What keeps the receiver from going on.
    fn title(&mut self, title: &str) -> Result<(), Problem>;

    /// A page. Its `ordinal` is set by the caller of the parser, not by the parser.
    ///
    /// # Errors
    /// What keeps the receiver from going on.
    fn page(&mut self, page: ParsedPage) -> Result<(), Problem>;

    /// A place where this document can be entered later, behind the pages before. A sink adds
    /// what it goes on with itself, and hands it on.
    ///
    /// # Errors
    /// What keeps the receiver from going on.
    fn checkpoint(&mut self, _progress: Progress) -> Result<(), Problem> {
        Ok(())
    }

    /// Something that was left out and does not make the rest useless, for people.
    fn warn(&mut self, warning: String);
}
