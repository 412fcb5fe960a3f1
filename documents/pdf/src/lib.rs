//! PDF pages as text with structure and word boxes.
//!
//! [`open`] takes the bytes of a file; [`PdfDocument::page`] gives one page at a time.
//! The way of a page: its content streams are read for the glyphs they draw
//! (`content`, with `font` for what the glyphs mean), glyphs become words, words become
//! lines, and lines become columns, paragraphs and tables (`layout`). Nothing is drawn.

mod content;
mod document;
mod error;
mod font;
mod layout;

pub use document::{Limits, PdfDocument, Place, open};
pub use error::PdfError;
