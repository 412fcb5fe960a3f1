//! Why can a file not be read at all?

/// A document that gives no pages. A page that fails alone is no error: see
/// [`quaestor_core::parsed::PageState::Unreadable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PdfError {
    /// The document is encrypted and the empty password does not open it.
    #[error("open the PDF: it is protected by a password; save it without one and upload it again")]
    PasswordRequired,
    /// The encryption is of a kind that is not supported, or its data is damaged.
    #[error(
        "open the PDF: its encryption is damaged or of an unknown kind; save it without encryption and upload it again"
    )]
    UnsupportedEncryption,
    /// The file is so damaged that no page is found, or it is no PDF.
    #[error(
        "open the PDF: it is damaged or no PDF, no page was found; print it to a new PDF and upload that"
    )]
    Damaged,
    /// The document has more pages than the limit.
    #[error(
        "open the PDF: it has {pages} pages and the limit is {limit}; split it and upload the parts"
    )]
    TooManyPages {
        /// Pages of the document.
        pages: usize,
        /// The limit.
        limit: u32,
    },
}
