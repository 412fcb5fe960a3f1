//! How does a PDF's reader fit behind the other parsers?

use quaestor_core::problem::Problem;
use quaestor_pdf::PdfError;

use crate::limits::Limits;
use crate::refusal;
use crate::sink::Sink;

/// Reads a PDF page by page.
pub(crate) fn parse(bytes: Vec<u8>, limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let of_pdf = quaestor_pdf::Limits {
        max_pages: limits.pages,
        max_text_bytes: usize::try_from(limits.text_bytes).unwrap_or(usize::MAX),
        ..quaestor_pdf::Limits::default()
    };
    let mut document = quaestor_pdf::open(bytes, &of_pdf).map_err(|error| problem(&error))?;
    if let Some(title) = document.title() {
        sink.title(&title)?;
    }
    for index in 0..document.page_count() {
        sink.page(document.page(index))?;
    }
    Ok(())
}

fn problem(error: &PdfError) -> Problem {
    match error {
        PdfError::PasswordRequired | PdfError::UnsupportedEncryption => refusal::encrypted(),
        PdfError::Damaged => refusal::damaged("no page of the PDF can be found"),
        PdfError::TooManyPages { pages, limit } => refusal::limit_reached(&format!(
            "the document has {pages} pages and the limit is {limit}"
        )),
    }
}
