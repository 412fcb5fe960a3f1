//! `quaestor serve`: everything in one process, until it is told to stop.

use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::args::ServeArguments;
use super::{Ended, Style, Terminal, settings};
use crate::app;

/// Serves until the first SIGINT or SIGTERM, then drains.
pub(super) async fn run(arguments: ServeArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    super::logging::start(&settings.config.log)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let wanted = settings.config.server.listen;
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!(
            "listening on {wanted}; another program may have the port: `--listen` takes another"
        )
    })?;
    let stop = CancellationToken::new();
    let server = app::start(&settings, listener, stop.clone()).await?;
    if let Some(key) = &server.first_key {
        terminal.note("This installation's first key, shown only now:")?;
        terminal.line(key.expose_secret())?;
        terminal.note("Keep it, and give it to the other commands as QUAESTOR_API_KEY.")?;
    }
    let address = format!("http://{}", server.address);
    terminal.note(&format!("quaestor serves on {}", terminal.paint(Style::Bold, &address)))?;
    stop_signal().await?;
    terminal.note("stopping: running steps may finish; a second signal ends at once")?;
    stop.cancel();
    tokio::select! {
        ended = server.finished() => ended.map(|()| Ended::Well),
        again = stop_signal() => {
            again?;
            anyhow::bail!("stopped at once; unfinished jobs are taken up at the next start")
        }
    }
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
