//! The command line: which command was given, and how does the process end?

mod args;
mod ask;
mod audit;
mod backup;
mod batches;
mod check;
mod children;
mod client;
mod config;
mod dead;
mod doctor;
mod export;
mod ingest;
mod jobs;
mod key;
pub(crate) mod logging;
mod migrate;
mod moving;
mod reindex;
mod reparse;
mod schedules;
mod serve;
mod supervised;
mod terminal;
#[cfg(test)]
mod tests;
mod topology;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use quaestor_core::clock::SystemClock;
use secrecy::SecretString;

pub use args::{Arguments, Command, ConfigFile, Connection, DemoArguments, EvalArguments};
pub use ask::{Answered, ask_once, print_answer};
pub use client::{Client, ClientError};
pub use ingest::{Found, Ingested, Waiting, ingest_files, walk};
pub use terminal::{Style, Terminal, plain, size, wrap};

use crate::app::Role;
use crate::config::{Environment, Settings, Sources, load};
use quaestor_backends::entropy::OsEntropy;

/// How long what a command leaves behind may take to end.
const BROKEN_OFF: Duration = Duration::from_millis(500);

/// How a command ended that did what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is well.
    Well,
    /// It ran to its end and has something to complain of, which it has told.
    Badly,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::of_process();
    // Several crates bring TLS; without a default the first use would panic. It fails only
    // where a default is set already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(arguments.command, &terminal) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let mark = terminal.paint(Style::Red, "error:");
            // Where standard error is gone too, the exit code still tells.
            let _ = terminal.note(&format!("{mark} {}", sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Each cause once, from the outside in. Of an HTTP client's inner workings only the last
/// cause tells something.
fn sentence(error: &anyhow::Error) -> String {
    reasons(error.as_ref())
}

/// See [`sentence`].
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    if let Some(http) = causes.iter().position(|cause| cause.is::<reqwest::Error>()) {
        let last = causes.len() - 1;
        causes.drain(http..last);
    }
    let mut text = String::new();
    for cause in causes {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    plain(&text)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn run(command: Command, terminal: &Terminal) -> anyhow::Result<Ended> {
    // The child limits its memory: it must not have a runtime's threads.
    match &command {
        Command::ParseChild { arguments } => return children::parse(arguments),
        Command::RenderChild { arguments } => return children::render(arguments),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match command {
            Command::Serve(arguments) => serve::run(arguments, Role::Serve, terminal).await,
            Command::Front(arguments) => serve::run(arguments, Role::Front, terminal).await,
            Command::Worker(arguments) => serve::worker(arguments, terminal).await,
            Command::Scaler(arguments) => serve::scaler(arguments, terminal).await,
            Command::Migrate(arguments) => migrate::run(arguments, terminal).await,
            Command::Move(arguments) => moving::run(arguments, terminal).await,
            Command::Backup(arguments) => backup::run(arguments, terminal).await,
            Command::Restore(arguments) => backup::restore(arguments, terminal).await,
            Command::Ingest(arguments) => ingest::run(arguments, terminal).await,
            Command::Export(arguments) => export::run(arguments, terminal).await,
            Command::Ask(arguments) => ask::run(arguments, terminal).await,
            Command::Jobs { connection, action } => jobs::run(&connection, action, terminal).await,
            Command::Batches { connection, action } => {
                batches::run(&connection, action, terminal).await
            }
            Command::Dead { connection, action } => dead::run(&connection, action, terminal).await,
            Command::Reparse(arguments) => reparse::run(arguments, terminal).await,
            Command::Reindex { connection, action } => {
                reindex::run(&connection, action, terminal).await
            }
            Command::Schedules { connection, action } => {
                schedules::run(&connection, action, terminal).await
            }
            Command::Check(arguments) => check::run(arguments, terminal).await,
            Command::Key { connection, action } => key::run(&connection, action, terminal).await,
            Command::Audit { connection, action } => {
                audit::run(&connection, action, terminal).await
            }
            Command::Config { file, json } => config::run(&file, json, terminal),
            Command::Doctor { connection, file } => doctor::run(&connection, &file, terminal).await,
            Command::Topology { file, action } => topology::run(&file, action, terminal).await,
            Command::Eval(arguments) => crate::eval::run(arguments, terminal).await,
            Command::Demo(arguments) => crate::demo::run(arguments, terminal).await,
            Command::ParseChild { arguments } => children::parse(&arguments),
            Command::RenderChild { arguments } => children::render(&arguments),
        }
    });
    // Nobody waits for what was broken off: a file that is being written, a name that is
    // being looked up.
    runtime.shutdown_timeout(BROKEN_OFF);
    ended
}

/// The configuration as file, environment and flags say.
pub fn settings(file: &ConfigFile) -> anyhow::Result<Settings> {
    Ok(load(&Sources {
        file: file.config.clone(),
        environment: Environment::of_process(),
        flags: file.flags()?,
    })?)
}

/// A client as flags and environment say.
pub fn client(connection: &Connection) -> anyhow::Result<Client> {
    let key = key_of(connection, &Environment::of_process())?;
    let clock = Arc::new(SystemClock);
    Ok(Client::new(&connection.server, key.as_ref(), clock, Arc::new(OsEntropy))?)
}

/// The key: the flag, else `QUAESTOR_API_KEY`, else `QUAESTOR_ADMIN_KEY`, each also from
/// the file that `…_FILE` names.
fn key_of(
    connection: &Connection,
    environment: &Environment,
) -> anyhow::Result<Option<SecretString>> {
    if let Some(key) = &connection.key {
        return Ok(Some(key.clone()));
    }
    for name in ["QUAESTOR_API_KEY", "QUAESTOR_ADMIN_KEY"] {
        if let Some((key, _)) = environment.secret(name)? {
            return Ok(Some(SecretString::from(key)));
        }
    }
    Ok(None)
}
