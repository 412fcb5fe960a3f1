//! What every request gets: an id, a span, metrics, safe headers, and an answer even
//! where its handler panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use quaestor_core::{metrics, trace};
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::input::told_traceparent;
use crate::problem::{ApiError, Code, name_request};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names, measures and logs a request. The path's pattern is logged, never the path,
/// the query or the body.
pub(super) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let id: Uuid = app.front.ids.next();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = method_name(request.method());
    let told = told_traceparent(request.headers());
    let traced = trace::request(method, &route, told);
    let traceparent = trace::context_of(&traced);
    let trace_id = traceparent.as_deref().or(told).and_then(trace::id_of).map(str::to_owned);
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        http.method = method,
        http.route = route,
        http.status = tracing::field::Empty,
        trace.id = trace_id,
    );
    let started = app.front.clock.now();
    let handled =
        AssertUnwindSafe(next.run(request).instrument(traced.clone()).instrument(span.clone()))
            .catch_unwind();
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
    let seconds = metrics::seconds(started, app.front.clock.now());
    let status = response.status().as_u16();
    span.record("http.status", status);
    trace::answered(&traced, status);
    tracing::debug!(parent: &span, duration_ms = seconds * 1_000.0, "answered {status}");
    let route = metrics::SharedString::from(route);
    let labels = [route.clone(), method.into(), status.to_string().into()];
    metrics::HTTP_REQUESTS.of(labels).increment(1);
    metrics::HTTP_SECONDS.of([route, method.into(), class_of(status).into()]).record(seconds);
    let id = id.to_string();
    name_request(&mut response, &id, trace_id.as_deref());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    // Where a person looks who wants to find what the request became.
    if let Some(Ok(traceparent)) = traceparent.map(HeaderValue::try_from) {
        response.headers_mut().insert(TRACEPARENT, traceparent);
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

/// The class of a status, for a histogram that has a line for each of its bounds.
fn class_of(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// A bounded set of names: a stranger's method must not become a label.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
