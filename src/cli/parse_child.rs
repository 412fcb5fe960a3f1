//! `quaestor parse-child`: the hidden command that the server starts for each file.

use std::ffi::OsString;

use super::Ended;

/// Runs the parser. No runtime and no other thread exists in this process.
pub(super) fn run(arguments: &[OsString]) -> anyhow::Result<Ended> {
    crate::app::parse_child(arguments).map(|()| Ended::Well)
}
