//! Exports from outside: read back by the program's own parsers, the same bytes twice, and
//! nothing of their contents taken for markup, in any format.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

mod fonts;
mod injection;
mod pages;
mod support;
mod tables;
mod templates;
