//! An S3 server over a folder, for tests and for `make services`.
//!
//! `quaestor-s3-server FOLDER 127.0.0.1:PORT`, with the key and the secret that it asks for
//! in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. A bucket is a folder in the folder.
//! It stops on SIGTERM or SIGINT, after the requests in flight.

use std::env;
use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for the requests in flight.
const GRACE: Duration = Duration::from_secs(5);

/// A full table of open files clears within this time or not at all soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(folder), Some(address), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        anyhow::bail!("usage: quaestor-s3-server FOLDER ADDRESS:PORT");
    };
    let files = FileSystem::new(&folder)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
        .with_context(|| format!("could not open the folder {folder}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(
        setting("AWS_ACCESS_KEY_ID")?,
        setting("AWS_SECRET_ACCESS_KEY")?,
    ));
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("could not listen on {address}"))?;
    say(format_args!("serves {folder} on {address}"));
    serve(&listener, &service.build()).await
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .with_context(|| format!("{name} is not set"))
}

fn say(what: impl Display) {
    // Where the log cannot be written, nobody can be told.
    let _ = writeln!(std::io::stderr(), "s3-server: {what}");
}

/// Serves every connection until a signal comes.
async fn serve(listener: &TcpListener, service: &S3Service) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, service.clone(), stop.clone()));
                }
                Err(error) => {
                    say(format_args!("could not accept a connection: {error}"));
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    stop.cancel();
    connections.close();
    if time::timeout(GRACE, connections.wait()).await.is_err() {
        say(format_args!("{} connections were cut", connections.len()));
    }
    Ok(())
}

async fn connection(socket: TcpStream, service: S3Service, stop: CancellationToken) {
    let mut server = http1::Builder::new();
    let connection =
        server.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        say(format_args!("a connection broke: {error}"));
    }
}
