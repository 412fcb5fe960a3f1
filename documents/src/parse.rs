//! How does a file's content become pages, whatever its kind?

use std::borrow::Cow;

use quaestor_core::parsed::{PageState, ParsedPage};
use quaestor_core::problem::Problem;

use crate::charset;
use crate::limits::Limits;
use crate::media::{Kind, detect};
use crate::office::{docx, odt, pptx};
use crate::progress::{Entry, Progress, Seen};
use crate::sink::Sink;
use crate::{delimited, html, mail, markdown, paper::Paper, pdf, refusal, sheets, text};

/// A file as it was uploaded.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Its name; only its ending is looked at, and only for kinds of text.
    pub name: &'a str,
    /// Its content.
    pub bytes: Cow<'a, [u8]>,
}

/// Parses a file whose kind is known, page by page. The pages get their ordinals here.
///
/// # Errors
/// Any of the codes in [`refusal`]. Pages that were given to the sink before stand.
pub fn parse(
    source: Source<'_>,
    kind: Kind,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    parse_from(source, kind, limits, Entry::Start, sink)
}

/// As [`parse`], from a place on that another parse of the same file has told of. Kinds that
/// cannot be entered in their middle tell of none, and begin anew.
pub(crate) fn parse_from(
    source: Source<'_>,
    kind: Kind,
    limits: &Limits,
    entry: Entry<'_>,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    let size_bytes = source.bytes.len() as u64;
    if size_bytes > limits.file_bytes {
        return Err(refusal::too_large(size_bytes, limits.file_bytes));
    }
    let seen = match entry {
        Entry::At(progress) => progress.seen,
        Entry::Start | Entry::Within => Seen::default(),
    };
    let mut ordered = Ordered { sink, limits, seen };
    dispatch(source, kind, limits, 0, entry, &mut ordered)?;
    let Seen { with_text, images, unreadable, .. } = ordered.seen;
    if with_text == 0 {
        if images > 0 {
            return Err(refusal::no_text_layer());
        }
        if unreadable > 0 {
            return Err(refusal::damaged("none of the pages can be read"));
        }
        ordered.warn("the file holds no text".to_owned());
    }
    Ok(())
}

/// Parses a file that stands in another at the given depth.
pub(crate) fn parse_nested(
    source: Source<'_>,
    limits: &Limits,
    depth: u32,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    let kind = detect(source.name, &source.bytes, limits)?;
    dispatch(source, kind, limits, depth, Entry::Within, sink)
}

fn dispatch(
    source: Source<'_>,
    kind: Kind,
    limits: &Limits,
    depth: u32,
    entry: Entry<'_>,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    let bytes = source.bytes;
    let decoded = |declared: Option<String>| charset::decode(&bytes, declared.as_deref());
    match kind {
        // Its reader keeps the bytes: a copy would double what the child holds.
        Kind::Pdf => pdf::parse(bytes.into_owned(), limits, entry, sink),
        Kind::Docx => docx::parse(&bytes, limits, sink),
        Kind::Pptx => pptx::parse(&bytes, limits, sink),
        Kind::Odt => odt::parse(&bytes, limits, sink),
        Kind::Workbook(workbook) => sheets::parse(&bytes, workbook, limits, sink),
        Kind::Csv => delimited::parse(&decoded(None), limits, sink),
        Kind::Markdown => markdown::parse(&decoded(None), limits, sink),
        Kind::Text => text::parse(&decoded(None), limits, sink),
        Kind::Mail => mail::parse(&bytes, limits, depth, sink),
        Kind::Html => {
            let page = html::read(&decoded(charset::declared(&bytes)));
            if let Some(title) = &page.title {
                sink.title(title)?;
            }
            let mut paper = Paper::new(limits.text_bytes);
            page.write(&mut paper);
            sink.page(paper.finish(None, None)?)
        }
    }
}

/// Numbers the pages and holds them to the limits of the whole document.
struct Ordered<'a> {
    sink: &'a mut dyn Sink,
    limits: &'a Limits,
    seen: Seen,
}

impl Sink for Ordered<'_> {
    fn title(&mut self, title: &str) -> Result<(), Problem> {
        self.sink.title(title)
    }

    fn page(&mut self, mut page: ParsedPage) -> Result<(), Problem> {
        if self.seen.next >= self.limits.pages {
            return Err(refusal::limit_reached(&format!(
                "the document has more than {} pages",
                self.limits.pages
            )));
        }
        self.seen.text_bytes += page.text.len() as u64;
        if self.seen.text_bytes > self.limits.text_bytes {
            return Err(refusal::limit_reached(&format!(
                "the document holds more than {} MB of text",
                self.limits.text_bytes / 1_000_000
            )));
        }
        page.ordinal = self.seen.next;
        self.seen.next += 1;
        self.seen.with_text += u32::from(page.state == PageState::Text);
        self.seen.unreadable += u32::from(matches!(page.state, PageState::Unreadable { .. }));
        self.seen.images += u32::from(page.state == PageState::ImageOnly);
        self.sink.page(page)
    }

    fn checkpoint(&mut self, progress: Progress) -> Result<(), Problem> {
        self.sink.checkpoint(Progress { seen: self.seen, ..progress })
    }

    fn warn(&mut self, warning: String) {
        self.sink.warn(warning);
    }
}
