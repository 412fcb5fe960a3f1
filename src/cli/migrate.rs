//! `quaestor migrate`: makes what a new installation needs, and brings an old one up to date.

use super::args::ServeArguments;
use super::serve::show_first_key;
use super::{Ended, Terminal, settings};
use crate::app;

/// Migrates, and shows the first key where one was made.
pub(super) async fn run(arguments: ServeArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    super::logging::start(&settings.config.log)?;
    let first_key = app::migrate(&settings).await?;
    terminal.note("the database is up to date")?;
    if let Some(key) = &first_key {
        show_first_key(key, terminal)?;
    }
    Ok(Ended::Well)
}
