//! What is a parse taken up with that was cut off?
//!
//! A reader that can enter a document in its middle tells after each range of pages what it
//! would go on with. Everybody between it and the parent adds what they go on with themselves.
//! The parent keeps the whole as bytes; a later child begins with them, and what it then finds
//! is what an undisturbed parse would have found.

use serde::{Deserialize, Serialize};

use crate::chunk::Chunker;
use crate::media::Kind;

/// Which parser a [`Progress`] is of. A parse is not taken up by another one: raise it with
/// every change of what is found in a file, or of what a progress holds. For the former, raise
/// the version in [`parser_of`] as well.
pub const PARSER: &str = concat!("2 of ", env!("CARGO_PKG_VERSION"));

/// How passages are cut of pages, where their sizes are the same. Raise it with every change of
/// what passages hold: the documents of all formats are then to be read again.
const PASSAGES: u32 = 1;

/// The formats, and the version of the parser of each. Raise one with every change of what is
/// found in files of this format: the documents that an older one has read are then to be read
/// again (`quaestor reparse`).
const PARSERS: [(&str, u32); 9] = [
    ("pdf", 1),
    ("docx", 1),
    ("pptx", 1),
    ("odt", 1),
    ("workbook", 1),
    ("html", 1),
    ("markdown", 1),
    ("text", 1),
    ("mail", 1),
];

fn label((format, version): (&str, u32)) -> String {
    format!("{format} {version}, passages {PASSAGES}")
}

/// The parser that reads a kind of file, as its documents remember it.
#[must_use]
pub fn parser_of(kind: Kind) -> String {
    let format = match kind {
        Kind::Pdf => "pdf",
        Kind::Docx => "docx",
        Kind::Pptx => "pptx",
        Kind::Odt => "odt",
        Kind::Workbook(_) => "workbook",
        Kind::Html => "html",
        Kind::Markdown => "markdown",
        Kind::Csv | Kind::Text => "text",
        Kind::Mail => "mail",
    };
    let version =
        PARSERS.iter().find(|(name, _)| *name == format).map_or(0, |(_, version)| *version);
    label((format, version))
}

/// All parsers that read files now: a document that none of them has read is to be read again.
#[must_use]
pub fn parsers() -> Vec<String> {
    PARSERS.into_iter().map(label).collect()
}

/// No progress is larger: one that would be is not told.
const MAX_BYTES: usize = 64 << 10;

/// Where a parse begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// At the beginning of a file of its own.
    Start,
    /// Behind what another parse of it has found.
    At(&'a Progress),
    /// In a file that stands in another, which is always read whole.
    Within,
}

/// What was counted of the pages of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) next: u32,
    pub(crate) text_bytes: u64,
    pub(crate) with_text: u32,
    pub(crate) images: u32,
    pub(crate) unreadable: u32,
}

/// What a parse is taken up with behind a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub(crate) reader: quaestor_pdf::Place,
    pub(crate) seen: Seen,
    pub(crate) chunker: Chunker,
    pub(crate) chunks: u32,
    pub(crate) warnings: Vec<String>,
}

impl Progress {
    /// As bytes; none where they would be too many.
    pub(crate) fn to_bytes(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok().filter(|bytes| bytes.len() <= MAX_BYTES)
    }

    /// Out of the bytes that a parse has told; none where they are of another parser.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Workbook;

    #[test]
    fn every_kind_of_file_has_a_parser_that_is_one_of_all() {
        let all = parsers();
        for kind in [
            Kind::Pdf,
            Kind::Docx,
            Kind::Pptx,
            Kind::Odt,
            Kind::Workbook(Workbook::Xlsx),
            Kind::Csv,
            Kind::Html,
            Kind::Markdown,
            Kind::Text,
            Kind::Mail,
        ] {
            assert!(all.contains(&parser_of(kind)), "{kind:?}");
        }
    }
}
