//! What is checked before a handler sees a request: key, role, quota, kind of body.
//! In this order, and all of it before a byte of the body is read.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::route::{Access, BodyKind, Route};
use crate::app::App;
use crate::auth::{Peer, Who, authenticate};
use crate::problem::{ApiError, Code, Denied};

/// The middleware of every route.
pub(super) async fn guard(
    State((app, route)): State<(App, &'static Route)>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = match admit(&app, route, Peer::of(request.extensions()), request.headers()).await {
        Ok(who) => who,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(route);
    if let Some(who) = who.clone() {
        request.extensions_mut().insert(who);
    }
    let mut response = next.run(request).await;
    if let (Some(Denied(subject)), Some(who)) = (response.extensions_mut().remove(), &who) {
        app.record_denied(&who.caller, &subject).await;
    }
    response
}

async fn admit(
    app: &App,
    route: &'static Route,
    peer: Peer,
    headers: &HeaderMap,
) -> Result<Option<Who>, ApiError> {
    let open = match route.access {
        // The socket's own handler takes a key or a ticket.
        Access::Open | Access::Socket => true,
        Access::Local => peer.is_loopback() && !proxied(headers),
        Access::Any | Access::Read | Access::Write | Access::Administer | Access::Audit => false,
    };
    if open {
        return Ok(None);
    }
    let who = authenticate(app, headers, peer).await?;
    if !route.access.allows(who.caller.role) {
        app.record_denied(&who.caller, route.operation).await;
        return Err(forbidden(route.access));
    }
    app.admit(&who.caller, route.rate).await?;
    check_body(app, route, headers)?;
    Ok(Some(who))
}

/// A refusal by role. Never given for an id: who may not see a thing is told that it is
/// not there.
pub(crate) fn forbidden(access: Access) -> ApiError {
    ApiError::new(Code::Forbidden, format!("this needs the role {}", access.roles()))
}

/// Whether a proxy on this machine passed the request on for somebody else.
fn proxied(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

fn check_body(app: &App, route: &Route, headers: &HeaderMap) -> Result<(), ApiError> {
    let (wanted, limit) = match route.body {
        BodyKind::None => return Ok(()),
        BodyKind::Json(_) => ("application/json", Some(app.front.settings.max_json_bytes)),
        BodyKind::Multipart => ("multipart/form-data", None),
    };
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase());
    if media_type.as_deref() != Some(wanted) {
        return Err(ApiError::field(
            Code::UnsupportedMediaType,
            "Content-Type",
            format!("send the body as `{wanted}`"),
        ));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ApiError::field(
            Code::UnsupportedMediaType,
            "Content-Encoding",
            "send the body without compression",
        ));
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    match (limit, length) {
        (Some(limit), Some(length)) if length > limit as u64 => Err(ApiError::new(
            Code::TooLarge,
            format!("a JSON body may have at most {limit} bytes"),
        )),
        _ => Ok(()),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            // Only a route whose access is open comes here without a caller.
            ApiError::new(Code::Unauthorized, "this route needs an API key")
        })
    }
}
