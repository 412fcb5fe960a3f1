//! A TCP proxy that stands before a server and makes the network bad.
//!
//! The words are those of toxiproxy, as far as they are used here: latency, bandwidth, a black
//! hole, a half-open connection, a reset.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is carried at a time.
const PIECE_BYTES: usize = 16 << 10;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// As it is.
    Good,
    /// Every piece comes so much later, each way.
    Latency(Duration),
    /// So many bytes in a second, each way.
    Slow(u64),
    /// Connections are taken, and nothing ever comes through.
    BlackHole,
    /// What the client sends arrives; what the server says does not.
    HalfOpen,
    /// Every connection is reset, and none is taken.
    Down,
}

/// A proxy; it ends with its value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    cut: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy before a server, on a port of its own.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn before(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (network, seen) = watch::channel(Network::Good);
        let (cut, cuts) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, seen, cuts));
        Ok(Self { address, network, cut, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the network is from now on, for connections that stand as well.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Resets every connection that stands. New ones are taken.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    network: watch::Receiver<Network>,
    cuts: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        // What has ended is let go of.
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connections.spawn(carry(client, server, network.clone(), cuts.clone()));
    }
}

async fn carry(
    client: TcpStream,
    server: SocketAddr,
    network: watch::Receiver<Network>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    if *network.borrow() == Network::Down {
        return resets(&client);
    }
    let Ok(server) = TcpStream::connect(server).await else { return resets(&client) };
    for stream in [&client, &server] {
        // What is carried is small and wanted at once; where this is refused it comes later.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let up = pump(&from_client, &mut to_server, network.clone(), false);
    let down = pump(&from_server, &mut to_client, network, true);
    let ended = tokio::select! {
        // Either side may close its half and still read the other's.
        ended = async { tokio::join!(up, down) } => ended.0 && ended.1,
        _ = cuts.changed() => false,
    };
    if !ended {
        resets(from_client.as_ref());
        resets(from_server.as_ref());
        // Dropped, they would end in order first.
        to_client.forget();
        to_server.forget();
    }
}

/// Carries one direction to its end. False where the connection is to be reset.
async fn pump(
    from: &OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    to_client: bool,
) -> bool {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            ready = from.readable() => match ready.and_then(|()| from.try_read(&mut piece)) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return false,
            },
            () = is_down(&mut network) => return false,
        };
        if !passes(&mut network, to_client, read).await {
            return false;
        }
        if read == 0 {
            // The other half may go on: only this direction has ended.
            let _ = to.shutdown().await;
            return true;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return false;
        }
    }
}

async fn is_down(network: &mut watch::Receiver<Network>) {
    if network.wait_for(|network| *network == Network::Down).await.is_err() {
        // The proxy is ending, and its tasks with it.
        std::future::pending::<()>().await;
    }
}

/// Returns when a piece may go on; false where nothing will.
async fn passes(network: &mut watch::Receiver<Network>, to_client: bool, bytes: usize) -> bool {
    loop {
        let now = *network.borrow_and_update();
        match now {
            Network::Good => return true,
            Network::Latency(time) => {
                tokio::time::sleep(time).await;
                return true;
            }
            Network::Slow(per_second) => {
                let seconds = bytes as f64 / per_second.max(1) as f64;
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                return true;
            }
            Network::HalfOpen if !to_client => return true,
            Network::Down => return false,
            Network::BlackHole | Network::HalfOpen => {
                if network.changed().await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// Has a connection end with a reset when it is dropped.
fn resets(stream: &TcpStream) {
    // Where it cannot be set an orderly end comes instead, which is as much an end.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// An echo behind a proxy, and a connection through it.
    async fn echo() -> (Proxy, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                streams.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, stream, tasks)
    }

    async fn said(stream: &mut TcpStream) -> io::Result<bool> {
        stream.write_all(b"word").await?;
        let mut heard = [0; 4];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut heard));
        match read.await {
            Ok(read) => read.map(|_| &heard == b"word"),
            Err(_) => Ok(false),
        }
    }

    #[tokio::test]
    async fn the_network_is_as_bad_as_it_is_told() {
        let (proxy, mut stream, _tasks) = echo().await;
        assert!(said(&mut stream).await.unwrap());
        for hole in [Network::BlackHole, Network::HalfOpen] {
            proxy.set(hole);
            assert!(!said(&mut stream).await.unwrap(), "{hole:?}");
            // What was held back comes when it is over.
            proxy.set(Network::Good);
            let mut heard = [0; 4];
            stream.read_exact(&mut heard).await.unwrap();
        }
        let begun = std::time::Instant::now();
        proxy.set(Network::Latency(Duration::from_millis(50)));
        assert!(said(&mut stream).await.unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(100), "each way");
        proxy.set(Network::Slow(100));
        let begun = std::time::Instant::now();
        assert!(said(&mut stream).await.unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(80));
    }

    #[tokio::test]
    async fn a_cut_connection_is_reset_and_a_new_one_taken() {
        let (proxy, mut stream, _tasks) = echo().await;
        assert!(said(&mut stream).await.unwrap());
        proxy.cut();
        let mut heard = [0; 4];
        assert_eq!(
            stream.read(&mut heard).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(said(&mut stream).await.unwrap());
        proxy.set(Network::Down);
        assert!(stream.read(&mut heard).await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(refused.read(&mut heard).await.is_err());
        proxy.set(Network::Good);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(said(&mut stream).await.unwrap());
    }
}
