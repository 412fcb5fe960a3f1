//! How do a file's bytes become pages, and pages passages?
//!
//! Pure: nothing here knows a store, a queue or a runtime. [`child`] is the side that
//! parses, in a process of its own with limits; [`wire`] is what its parent reads.

mod archive;
mod charset;
pub mod child;
pub mod chunk;
mod delimited;
mod html;
mod inline;
mod limits;
mod mail;
mod markdown;
mod media;
mod office;
mod paper;
mod parse;
mod pdf;
mod progress;
pub mod refusal;
mod sheets;
mod sink;
mod table;
mod text;
pub mod tokens;
pub mod wire;

pub use limits::Limits;
pub use media::{Kind, Workbook, detect};
pub use parse::{Source, parse};
pub use progress::{PARSER, Progress, parser_of, parsers};
pub use sink::Sink;
