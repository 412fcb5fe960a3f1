//! The WebSocket: who may open one, and with what bounds.

pub(crate) mod frames;
mod origin;
mod session;
mod traces;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::auth::{Peer, Who, authenticate, in_force};
use crate::http::route::RateClass;
use crate::input::Params;
use crate::problem::{ApiError, Code};
use session::Session;

/// Opens a socket, for a key in the header or a ticket in the query.
pub(crate) async fn open(State(app): State<App>, request: Request) -> Response {
    match upgrade(app, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn upgrade(app: App, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    origin::check(&parts.headers, &app.front.settings.allowed_origins)?;
    let mut params = Params::of(&parts.uri)?;
    let ticket = params.text("ticket");
    params.finish()?;
    let peer = Peer::of(&parts.extensions);
    let who = caller(&app, &parts.headers, peer, ticket).await?;
    app.admit(&who.caller, RateClass::Socket).await?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|_| {
        ApiError::new(Code::UpgradeRequired, "open it with a WebSocket handshake (RFC 6455)")
    })?;
    let settings = app.front.settings.sockets;
    // Until the session has begun, so that the end of the process waits for it too.
    let handshake = app.tasks.token();
    let session = Session::new(app, who);
    Ok(upgrade
        .read_buffer_size(settings.read_buffer_bytes)
        // Frames leave at once; what the peer does not take is bounded.
        .write_buffer_size(0)
        .max_write_buffer_size(settings.max_write_buffer_bytes)
        .max_message_size(settings.max_message_bytes)
        .max_frame_size(settings.max_message_bytes)
        .on_upgrade(move |socket| async move {
            session.run(socket).await;
            drop(handshake);
        }))
}

/// Who opens the socket. A ticket is taken once, whatever becomes of the handshake.
async fn caller(
    app: &App,
    headers: &HeaderMap,
    peer: Peer,
    ticket: Option<String>,
) -> Result<Who, ApiError> {
    let Some(ticket) = ticket else {
        return authenticate(app, headers, peer).await;
    };
    let used = || ApiError::new(Code::Unauthorized, "the ticket is unknown, used or too old");
    let caller = app.front.tickets.redeem(&ticket).await;
    let prefix = ticket.split_once('.').map(|(prefix, _)| prefix);
    let (Some(caller), Some(prefix)) = (caller, prefix) else {
        // Guessing tickets counts like guessing keys.
        let quota = app.front.settings.quotas.wrong_keys;
        app.count(&format!("wrong_key:{}", peer.bucket()), quota).await?;
        return Err(used());
    };
    let who = Who { caller, prefix: prefix.into() };
    if in_force(app, &who).await { Ok(who) } else { Err(used()) }
}
