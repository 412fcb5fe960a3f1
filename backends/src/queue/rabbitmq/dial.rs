//! One attempt to connect, bounded in time at every stage.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use quaestor_core::clock::Clock;

use super::address::BrokerAddress;
use super::error::{BrokerError, meaning};

/// How long one address may take to accept a TCP connection.
const TCP_CONNECT: Duration = Duration::from_secs(5);
/// How long everything up to the opened connection may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The socket beneath a connection, to end it by force. lapin's thread waits for ever for
/// a server that accepts and then says nothing; a socket that is shut down ends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket(Arc<Mutex<Option<std::net::TcpStream>>>);

impl Socket {
    /// Ends the connection, whatever state it is in.
    pub(super) fn cut(&self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It fails only where the connection has ended, which is what was wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn hold(&self, socket: std::net::TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }
}

/// Connects once. `name` is shown by the broker's tools.
pub(super) async fn dial(
    address: &BrokerAddress,
    name: &str,
    clock: &Arc<dyn Clock>,
) -> Result<(Connection, Socket), BrokerError> {
    let socket = Socket::default();
    let held = socket.clone();
    let runtime = lapin::runtime::default_runtime().map_err(|error| meaning(address, error))?;
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let timer = clock.clone();
    let connected = Connection::connector(
        address.uri().clone(),
        runtime,
        async move |uri, runtime| {
            let tls = matches!(uri.scheme, lapin::uri::AMQPScheme::AMQPS);
            let authority = &uri.authority;
            let connected = async {
                let found = tokio::net::lookup_host((authority.host.as_str(), authority.port));
                let found: Vec<_> = found.await?.collect();
                AsyncTcpStream::connect(&runtime, found).await
            };
            let stream = tokio::select! {
                stream = connected => stream?,
                () = timer.sleep(TCP_CONNECT) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
                }
            };
            if let AsyncTcpStream::Plain(plain) = &stream {
                held.hold(plain.get_ref().as_fd().try_clone_to_owned()?.into());
            }
            Ok(if tls {
                let tls = lapin::tcp::OwnedTLSConfig::default();
                stream.into_tls(&authority.host, tls.as_ref()).await?
            } else {
                stream
            })
        },
        properties,
    );
    tokio::select! {
        connected = connected => {
            let connection = connected.map_err(|error| meaning(address, error))?;
            Ok((connection, socket))
        }
        () = clock.sleep(HANDSHAKE) => {
            socket.cut();
            Err(BrokerError::Silent { address: address.clone(), what: "the handshake" })
        }
    }
}
