//! The router: made from the route table, with the same checks before every handler.

mod audit;
mod batches;
mod budgets;
pub(crate) mod collections;
mod content;
mod conversations;
mod dead;
mod documents;
mod exports;
pub(crate) mod guard;
pub(crate) mod health;
mod idempotency;
mod job_events;
mod jobs;
mod keys;
mod messages;
pub(crate) mod metrics;
mod observe;
pub(crate) mod openapi;
mod process;
mod providers;
mod reindex;
mod reparse;
pub(crate) mod route;
pub(crate) mod routes;
mod schedule_metrics;
mod schedules;
mod search;
mod stuck;
mod tickets;
mod upload;
mod usage;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::cors::CorsLayer;

use crate::app::App;
use crate::problem::{ApiError, Code};
use crate::server::Offer;
use route::Route;

/// What every process has, whatever it does.
const OPERATIONS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The router over the application's state.
pub(crate) fn router(app: App, offer: Offer) -> Router {
    let mut router = Router::new();
    let offered = |route: &&Route| offer == Offer::Everything || OPERATIONS.contains(&route.path);
    for route in routes::routes().iter().filter(offered) {
        let handler =
            (route.handler)().route_layer(from_fn_with_state((app.clone(), route), guard::guard));
        router = router.route(route.path, handler);
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        // Each route bounds what it reads itself; an upload has no common bound.
        .layer(DefaultBodyLimit::disable())
        .layer(cors(&app.front.settings.allowed_origins))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .layer(from_fn(observe::protect))
        .with_state(app)
}

async fn unknown_route(request: Request) -> ApiError {
    // The path may hold anything; it is not shown back.
    drop(request);
    ApiError::new(Code::UnknownRoute, "there is no such path; see /api/openapi.json")
}

async fn method_not_allowed(request: Request) -> ApiError {
    drop(request);
    ApiError::new(Code::MethodNotAllowed, "the header `Allow` names the methods of this path")
}

/// Cross-origin calls for the origins of the allow-list alone. No credentials: a key is
/// sent by the page's own code, never by the browser.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([
            header::CONTENT_DISPOSITION,
            header::RETRY_AFTER,
            HeaderName::from_static("idempotency-replayed"),
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("x-request-id"),
        ])
}
