//! What every request gets: an id, a span, metrics, safe headers, and an answer even
//! where its handler panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::problem::{ApiError, Code};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names, measures and logs a request. The path's pattern is logged, never the path,
/// the query or the body.
pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let id: Uuid = app.front.ids.next();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = method_name(request.method());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = method,
        http.route = route,
        http.status = tracing::field::Empty,
    );
    let started = app.front.clock.now();
    let handled = AssertUnwindSafe(next.run(request).instrument(span.clone())).catch_unwind();
    let mut response = match handled.await {
        Ok(response) => response,
        Err(panic) => {
            // The panic's own message was written by the panic hook; it may hold anything.
            drop(panic);
            tracing::error!(parent: &span, "a handler panicked");
            ApiError::new(
                Code::Internal,
                "the fault is in the server's log under this request's id",
            )
            .into_response()
        }
    };
    let seconds = (app.front.clock.now() - started).as_seconds_f64().max(0.0);
    let status = response.status().as_u16();
    span.record("http.status", status);
    tracing::debug!(parent: &span, duration_ms = seconds * 1_000.0, "answered {status}");
    metrics::counter!(
        "quaestor_http_requests_total",
        "route" => route.clone(), "method" => method, "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("quaestor_http_request_seconds", "route" => route, "method" => method)
        .record(seconds);
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Headers that keep a browser from making more of an answer than it is. A handler that
/// set one of them knows better.
pub(super) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A bounded set of names: a stranger's method must not become a label.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
