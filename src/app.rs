//! Which parts make the program? The one function that picks backends stands here.

use std::ffi::OsString;
use std::net::SocketAddr;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;

/// A server that runs until its token is cancelled.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that was made because the installation had none; shown this once.
    pub first_key: Option<SecretString>,
}

impl Server {
    /// Returns when the server was stopped and what ran has ended or was given back.
    pub async fn finished(self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Starts everything in one process on this listener, until `stop` is cancelled.
pub async fn start(
    _settings: &Settings,
    _listener: TcpListener,
    _stop: CancellationToken,
) -> anyhow::Result<Server> {
    anyhow::bail!("this build has no server yet")
}

/// The parser child: reads one document as its arguments say, within its limits.
pub fn parse_child(_arguments: &[OsString]) -> anyhow::Result<()> {
    anyhow::bail!("this build has no parser yet")
}
