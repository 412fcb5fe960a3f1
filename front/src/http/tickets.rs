//! One-time tickets for WebSockets of browsers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quaestor_core::clock::Time;
use serde::Serialize;

use crate::app::App;
use crate::auth::Who;

/// A ticket, this once.
#[derive(Serialize)]
pub(super) struct Ticket {
    ticket: String,
    expires_at: Time,
}

pub(super) async fn create(State(app): State<App>, who: Who) -> (StatusCode, Json<Ticket>) {
    let mut secret = [0_u8; 32];
    app.front.entropy.fill(&mut secret);
    // The key's public part rides along: the socket asks by it whether the key is in force.
    let ticket = format!("{}.{}", who.prefix, URL_SAFE_NO_PAD.encode(secret));
    let ttl = app.front.settings.sockets.ticket_ttl;
    app.front.tickets.keep(&ticket, who.caller, ttl).await;
    let expires_at = app.front.clock.now() + ttl;
    (StatusCode::CREATED, Json(Ticket { ticket, expires_at }))
}
