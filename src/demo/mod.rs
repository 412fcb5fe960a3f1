//! `quaestor demo`: the whole way, on documents of its own.

use crate::cli::{Ended, Terminal};

/// Runs the demonstration.
pub(crate) async fn run(
    _arguments: crate::cli::DemoArguments,
    _terminal: &Terminal,
) -> anyhow::Result<Ended> {
    anyhow::bail!("not yet")
}
