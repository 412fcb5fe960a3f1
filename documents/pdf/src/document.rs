//! How does a file become pages?

use std::panic::{AssertUnwindSafe, catch_unwind};

use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use quaestor_core::parsed::{PageState, ParsedPage};
use serde::{Deserialize, Serialize};

use crate::content::{self, Budget, FontCache};
use crate::error::PdfError;
use crate::layout::{self, OpenTable};

/// How much a document may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Documents with more pages are refused.
    pub max_pages: u32,
    /// Bytes of text over all pages; the page that would pass it is unreadable.
    pub max_text_bytes: usize,
    /// Drawing operators of one page; what comes after is not read.
    pub max_operators_per_page: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pages: 5_000, max_text_bytes: 64 << 20, max_operators_per_page: 5_000_000 }
    }
}

/// What reading goes on with behind a page, in another process too: the pages read from here
/// are those of a reading that was not interrupted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The index of the next page.
    next: usize,
    text_bytes: usize,
    open_table: Option<(usize, OpenTable)>,
}

/// An open document. Pages are read one by one, so that each can be passed on before
/// the next is read.
pub struct PdfDocument {
    pdf: Pdf,
    fonts: FontCache,
    limits: Limits,
    text_bytes: usize,
    /// The table at the end of the page read last, and that page's index.
    open_table: Option<(usize, OpenTable)>,
}

impl std::fmt::Debug for PdfDocument {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PdfDocument")
            .field("pages", &self.page_count())
            .finish_non_exhaustive()
    }
}

/// Opens a document. Damaged files are repaired as far as that goes; encrypted ones are
/// opened with the empty password.
///
/// # Errors
/// [`PdfError`], when no page can be given at all.
pub fn open(bytes: Vec<u8>, limits: &Limits) -> Result<PdfDocument, PdfError> {
    // The parser is run on whatever people upload: a panic in it is one more way of
    // saying that the file is damaged.
    let encrypted = bytes.windows(8).any(|part| part == b"/Encrypt");
    let loaded =
        catch_unwind(AssertUnwindSafe(|| Pdf::new(bytes))).map_err(|_| PdfError::Damaged)?;
    let pdf = loaded.map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => PdfError::PasswordRequired,
        LoadPdfError::Decryption(_) => PdfError::UnsupportedEncryption,
        // A damaged cross-reference table hides what went wrong with the decryption.
        LoadPdfError::Invalid if encrypted => PdfError::PasswordRequired,
        LoadPdfError::Invalid => PdfError::Damaged,
    })?;
    let pages = pdf.pages().len();
    if pages == 0 {
        return Err(PdfError::Damaged);
    }
    if pages > limits.max_pages as usize {
        return Err(PdfError::TooManyPages { pages, limit: limits.max_pages });
    }
    Ok(PdfDocument {
        pdf,
        fonts: FontCache::default(),
        limits: *limits,
        text_bytes: 0,
        open_table: None,
    })
}

impl PdfDocument {
    /// How many pages the document has.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pdf.pages().len()
    }

    /// The title the document gives itself, if any.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let title = content::text_string(self.pdf.metadata().title.as_deref()?);
        let title = title.trim();
        (!title.is_empty()).then(|| title.chars().take(500).collect())
    }

    /// The place before the page with this index, once all before it were read.
    #[must_use]
    pub fn place(&self, next: usize) -> Place {
        Place { next, text_bytes: self.text_bytes, open_table: self.open_table.clone() }
    }

    /// Goes on at a place of the same document. Returns the index of the next page.
    pub fn enter(&mut self, place: Place) -> usize {
        let Place { next, text_bytes, open_table } = place;
        (self.text_bytes, self.open_table) = (text_bytes, open_table);
        next
    }

    /// Reads the page with this index, from 0. Never fails as a whole: a page that
    /// cannot be read says so in its state. Read in order, a table that goes on over
    /// several pages keeps its header on each.
    pub fn page(&mut self, index: usize) -> ParsedPage {
        match catch_unwind(AssertUnwindSafe(|| self.read(index))) {
            Ok(page) => page,
            Err(_) => {
                unreadable(index, "its content is damaged in a way the reader does not understand")
            }
        }
    }

    fn read(&mut self, index: usize) -> ParsedPage {
        let Some(page) = self.pdf.pages().get(index) else {
            return unreadable(index, "the document has no such page");
        };
        let left = self.limits.max_text_bytes.saturating_sub(self.text_bytes);
        if left == 0 {
            return unreadable(index, "the document has more text than the limit");
        }
        let budget = Budget { operators: self.limits.max_operators_per_page, text_bytes: left };
        let found = content::read_page(page, &mut self.fonts, budget);
        let size = page.render_dimensions();
        let open =
            self.open_table.as_ref().filter(|(last, _)| last + 1 == index).map(|(_, table)| table);
        let read = layout::read(&found, open);
        self.open_table = read.last_table.map(|table| (index, table));
        self.text_bytes += read.text.len();
        let state = if !read.text.is_empty() {
            PageState::Text
        } else if found.has_image {
            PageState::ImageOnly
        } else if page.raw().contains_key("Contents") && page.page_stream().is_none() {
            PageState::Unreadable { reason: "its content could not be decoded".to_owned() }
        } else {
            PageState::Empty
        };
        ParsedPage {
            ordinal: ordinal(index),
            number: Some(ordinal(index) + 1),
            label: None,
            state,
            text: read.text,
            blocks: read.blocks,
            boxes: read.boxes,
            size_pt: Some(size),
        }
    }
}

fn ordinal(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX - 1)
}

fn unreadable(index: usize, reason: &str) -> ParsedPage {
    ParsedPage {
        ordinal: ordinal(index),
        number: Some(ordinal(index) + 1),
        label: None,
        state: PageState::Unreadable { reason: reason.to_owned() },
        text: String::new(),
        blocks: Vec::new(),
        boxes: Vec::new(),
        size_pt: None,
    }
}
