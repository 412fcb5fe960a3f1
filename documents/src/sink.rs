//! Where do a parser's pages go?

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;

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

    /// Something that was left out and does not make the rest useless, for people.
    fn warn(&mut self, warning: String);
}
