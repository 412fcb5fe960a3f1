//! Exports: questions, answers and tables written as files.
//!
//! Pure: parts of data come in one after the other, bytes go out, and nothing else is
//! looked at: no clock, no random number, no network, and no file but the fonts that whoever
//! runs the program names. So the same parts give the same bytes. What people or models have written is data everywhere: it is escaped for the
//! format, or handed to a template as a value, and never becomes a part of its source.

pub mod cell;
pub mod child;
mod csv;
mod docx;
mod fonts;
mod html;
mod json;
mod markdown;
pub mod part;
mod pdf;
mod render;
mod text;
pub mod view;
pub mod wire;
mod xlsx;

pub use fonts::{FONTS_MAX_BYTES, FontError, Fonts};
pub use part::{Cover, Generation, Part, TableHead, Turn};
pub use render::{Render, Template, needs_child, renderer};
