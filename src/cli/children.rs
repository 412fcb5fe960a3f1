//! `quaestor parse-child` and `quaestor render-child`: the hidden commands that the server
//! starts for each file that it reads, and for exports that it lays out.

use std::ffi::OsString;

use super::Ended;

/// Runs the parser. No runtime and no other thread exists in this process.
pub(super) fn parse(arguments: &[OsString]) -> anyhow::Result<Ended> {
    crate::app::parse_child(arguments).map(|()| Ended::Well)
}

/// Runs the renderer. No runtime and no other thread exists in this process.
pub(super) fn render(arguments: &[OsString]) -> anyhow::Result<Ended> {
    crate::app::render_child(arguments).map(|()| Ended::Well)
}
