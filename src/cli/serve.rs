//! `quaestor serve`, `front`, `worker` and `scaler`: a process that runs until it is told to stop.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use quaestor_core::clock::SystemClock;
use quaestor_core::jobs::{JobKind, Step};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{ServeArguments, WorkerArguments};
use super::{ConfigFile, Ended, Style, Terminal, settings, supervised};
use crate::app::{self, Role, Stopping};
use crate::config::Settings;

/// `quaestor serve` and `front`.
pub(super) async fn run(
    arguments: ServeArguments,
    role: Role,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    serve(&arguments.file, role, Owner::Itself, terminal).await
}

/// `quaestor worker`.
pub(super) async fn worker(
    arguments: WorkerArguments,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let steps = steps_of(&arguments.queues)?;
    let owner = if arguments.supervised { Owner::Scaler } else { Owner::Itself };
    serve(&arguments.file, Role::Worker(steps), owner, terminal).await
}

/// `quaestor scaler`.
pub(super) async fn scaler(
    arguments: ServeArguments,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let role = Role::Scaler(arguments.file.passed_on());
    serve(&arguments.file, role, Owner::Itself, terminal).await
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Whoever sends it signals has it end within the time of its drain, or at once.
    Itself,
    /// A scaler's: what it does is waited for as long as the scaler lives.
    Scaler,
}

/// The steps that the names mean; all of them where there are no names.
fn steps_of(names: &[String]) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for name in names {
        let before = steps.len();
        let of_kind = |step: &Step| {
            step.as_str().split_once('.').is_some_and(|(kind, _)| kind == name.as_str())
        };
        steps.extend(Step::ALL.into_iter().filter(|step| step.as_str() == name || of_kind(step)));
        if steps.len() == before {
            let kinds = JobKind::ALL.map(JobKind::as_str);
            let all = Step::ALL.map(Step::as_str);
            bail!(
                "--queues: no queue is named `{name}`; there are {}, and {} for all of a kind",
                all.join(", "),
                kinds.join(" and ")
            );
        }
    }
    if names.is_empty() {
        steps = Step::ALL.to_vec();
    }
    steps.sort_unstable();
    steps.dedup();
    Ok(steps)
}

/// Serves until the first SIGINT or SIGTERM, then drains.
async fn serve(
    file: &ConfigFile,
    role: Role,
    owner: Owner,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let settings = settings(file)?;
    let sending = super::logging::start_with_traces(&settings.config, &role)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let listener = listen(&settings, &role).await?;
    let stop = match owner {
        Owner::Itself => Stopping::at_once(CancellationToken::new()),
        Owner::Scaler => Stopping::default(),
    };
    let server = app::start(&settings, role.clone(), listener, stop.clone()).await?;
    // Whoever reads the next line may send one.
    let mut signals = Signals::listen()?;
    if let Some(key) = &server.first_key {
        show_first_key(key, terminal)?;
    }
    let plain = format!("http://{}", server.address);
    let address = terminal.paint(Style::Bold, &plain);
    terminal.note(&match &role {
        Role::Serve | Role::Front => format!("quaestor serves on {address}"),
        Role::Worker(steps) => {
            let steps: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
            format!("quaestor works on {}; its health serves on {address}", steps.join(", "))
        }
        Role::Scaler(_) => {
            format!("quaestor runs the workers of this machine; its health serves on {address}")
        }
    })?;
    let ended = match owner {
        Owner::Itself => {
            signals.next().await;
            stop.begin.cancel();
            // Who started the process may be gone: what runs is ended well all the same.
            let _ =
                terminal.note("stopping: running steps may finish; a second signal ends at once");
            tokio::select! {
                ended = server.finished() => ended.map(|()| Ended::Well),
                () = signals.next() => {
                    bail!("stopped at once; unfinished jobs are taken up by the next process")
                }
            }
        }
        Owner::Scaler => until_left(server, stop, signals, plain).await,
    };
    sending.end();
    ended
}

/// Works until the scaler says that it is to leave, or is gone. Further signals tell nothing
/// new, and nothing ends it before what it does has ended, but that the scaler is gone.
async fn until_left(
    server: app::Server,
    stop: Stopping,
    mut signals: Signals,
    address: String,
) -> anyhow::Result<Ended> {
    let telling = supervised::tell(server.work.clone(), address, Arc::new(SystemClock));
    let telling = async {
        telling.await;
        std::future::pending::<()>().await;
    };
    let told = async {
        signals.next().await;
        stop.begin.cancel();
        loop {
            signals.next().await;
        }
    };
    let gone = async {
        supervised::abandoned().await;
        stop.begin.cancel();
        stop.hurry.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = server.finished() => ended.map(|()| Ended::Well),
        () = telling => Ok(Ended::Well),
        () = told => Ok(Ended::Well),
        () = gone => Ok(Ended::Well),
    }
}

/// Where the process listens. A worker that was given no address takes any port of this
/// machine: several of them run beside a front.
async fn listen(settings: &Settings, role: &Role) -> anyhow::Result<TcpListener> {
    let told =
        settings.in_force.iter().any(|row| row.key == "server.listen" && row.origin != "default");
    let wanted = match role {
        Role::Worker(_) | Role::Scaler(_) if !told => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        _ => settings.config.server.listen,
    };
    TcpListener::bind(wanted).await.with_context(|| {
        format!(
            "listening on {wanted}; another program may have the port: `--listen` takes another"
        )
    })
}

/// Shows the key that an installation begins with, once.
pub(super) fn show_first_key(
    key: &secrecy::SecretString,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    terminal.note("This installation's first key, shown only now:")?;
    terminal.line(key.expose_secret())?;
    terminal.note("Keep it, and give it to the other commands as QUAESTOR_API_KEY.")?;
    Ok(())
}

/// The signals that stop a process, each of which is heard from the beginning on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    /// Returns with the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_by_step_or_by_kind() {
        let steps = |names: &[&str]| {
            steps_of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(steps(&[]).unwrap(), Step::ALL);
        assert_eq!(steps(&["chat"]).unwrap(), [Step::ChatRetrieve, Step::ChatGenerate]);
        assert_eq!(
            steps(&["documents.embed", "chat.generate", "chat"]).unwrap(),
            [Step::ChatRetrieve, Step::ChatGenerate, Step::DocumentsEmbed]
        );
        let sentence = steps(&["chats"]).unwrap_err().to_string();
        assert!(sentence.contains("`chats`") && sentence.contains("chat.retrieve"), "{sentence}");
    }
}
