//! A connection that is hung up politely.
//!
//! Whoever closes a TCP connection while something is on its way to it answers that with a
//! reset, and a reset may take along what the other side has not read yet. So the end is
//! said first, and for a short while what still comes is read and thrown away: a client that
//! sends its next request at that moment, or is still sending the body of a request that was
//! refused, reads the answer and an orderly end.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use quaestor_core::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long the other side may take to hang up too.
const LINGER: Duration = Duration::from_secs(1);
/// What is read at a time, and thrown away.
const DISCARD_BYTES: usize = 8 << 10;

/// A TCP stream whose shutdown waits a bounded while for the other side's.
pub(crate) struct Polite {
    stream: TcpStream,
    clock: Arc<dyn Clock>,
    /// Runs once the end was said.
    linger: Option<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Polite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polite").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Polite {
    pub(crate) fn new(stream: TcpStream, clock: Arc<dyn Clock>) -> Self {
        Self { stream, clock, linger: None }
    }
}

impl AsyncRead for Polite {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Polite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let clock = &this.clock;
        let linger = this.linger.get_or_insert_with(|| {
            let clock = Arc::clone(clock);
            Box::pin(async move { clock.sleep(LINGER).await })
        });
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // The other side has hung up, one way or the other.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
