//! How does a PDF's reader fit behind the other parsers?

use quaestor_core::problem::Problem;
use quaestor_pdf::PdfError;

use crate::limits::Limits;
use crate::progress::{Entry, Progress};
use crate::refusal;
use crate::sink::Sink;

/// So many pages after a place where the document can be entered comes the next: about a
/// second's work.
const RANGE_PAGES: usize = 32;

/// Reads a PDF page by page, from where another reading has stopped on. Only a file of its own
/// can be entered in its middle: one that stands in a mail is part of the mail.
pub(crate) fn parse(
    bytes: Vec<u8>,
    limits: &Limits,
    entry: Entry<'_>,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    let of_pdf = quaestor_pdf::Limits {
        max_pages: limits.pages,
        max_text_bytes: usize::try_from(limits.text_bytes).unwrap_or(usize::MAX),
        ..quaestor_pdf::Limits::default()
    };
    let mut document = quaestor_pdf::open(bytes, &of_pdf).map_err(|error| problem(&error))?;
    if let Some(title) = document.title() {
        sink.title(&title)?;
    }
    let first = match entry {
        Entry::At(progress) => document.enter(progress.reader.clone()),
        Entry::Start | Entry::Within => 0,
    };
    for index in first..document.page_count() {
        sink.page(document.page(index))?;
        let next = index + 1;
        if !matches!(entry, Entry::Within) && next % RANGE_PAGES == 0 {
            sink.checkpoint(Progress { reader: document.place(next), ..Progress::default() })?;
        }
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
