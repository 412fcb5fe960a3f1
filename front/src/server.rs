//! The listener: connections with bounds on headers and time, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use quaestor_core::clock::Clock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::Front;
use crate::app::App;
use crate::auth::Peer;
use crate::polite::Polite;

/// How long a connection may take to its first request while the listener closes.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Room for a request's headers; what is beyond is answered 431.
const HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// After a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a listener is stopped: in phases, so that whoever balances the load can take this
/// process out of its list before it refuses connections, and whoever sends something large
/// can come to its end or is told that it cannot.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled first: `/ready` says no, every answer asks its client to connect anew for
    /// the next request, and all else goes on.
    pub leave: CancellationToken,
    /// Cancelled then: no more connections are taken, running requests end, and sockets
    /// are closed with a hint to resume.
    pub close: CancellationToken,
    /// Cancelled last: requests that are still being sent are answered 503, and nothing of
    /// them is kept.
    pub cut: CancellationToken,
}

/// Which routes a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// All of them.
    Everything,
    /// `/health`, `/ready` and `/metrics` alone, as a worker has them.
    Operations,
}

/// Serves until it is stopped. Connections and uploads run on the tracker: who waits for
/// it (with a limit) waits for them.
pub async fn serve(
    listener: TcpListener,
    front: Arc<Front>,
    offer: Offer,
    stop: Stop,
    tracker: TaskTracker,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(front.settings.max_connections));
    let header_timeout = front.settings.header_timeout;
    let clock = front.clock.clone();
    let shutdown = stop.close.clone();
    let router = crate::http::router(App::new(front, stop.clone(), tracker.clone()), offer);
    let take = |(stream, peer): (TcpStream, SocketAddr), place: OwnedSemaphorePermit| {
        // Tokens are small and wanted at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection stays with delayed sending");
        }
        let stream = Polite::new(stream, clock.clone());
        let (router, clock, stop) = (router.clone(), clock.clone(), stop.clone());
        let connection = connection(stream, peer, router, clock, header_timeout, stop);
        tracker.spawn(async move {
            connection.await;
            drop(place);
        });
    };
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = places.clone().acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => take(accepted, place),
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Those that have connected already would be reset together with the listener. Each of
    // them gets its one answer. The system is asked, and not the runtime, which learns of
    // them only with its next turn.
    let listener = listener.into_std()?;
    while let Ok(place) = places.clone().try_acquire_owned() {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                take((TcpStream::from_std(stream)?, peer), place);
            }
            // It left while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn connection(
    stream: Polite,
    peer: SocketAddr,
    router: Router,
    clock: Arc<dyn Clock>,
    header_timeout: Duration,
    stop: Stop,
) {
    let Stop { leave, close: shutdown, .. } = stop;
    let asked = CancellationToken::new();
    let first = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Peer(Some(peer.ip())));
        first.cancel();
        let (router, leave) = (router.clone(), leave.clone());
        async move {
            let mut response = router.oneshot(request).await.unwrap_or_else(|e| match e {});
            // Its next request goes to another process, and does not meet the end of this one.
            if leave.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            // Who has connected and whose first request was not read yet would be hung up on
            // without an answer.
            let ended = tokio::select! {
                () = asked.cancelled() => None,
                () = clock.sleep(FIRST_REQUEST) => None,
                ended = connection.as_mut() => Some(ended),
            };
            if let Some(ended) = ended {
                ended
            } else {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        // A client that leaves or sends no HTTP; nobody needs to act.
        tracing::debug!(error = %error, "a connection ended early");
    }
}
