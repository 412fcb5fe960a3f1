//! Bodies, read in bounds of size and time, and the trace that a request belongs to.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use quaestor_core::trace;

use super::{Fields, parse_json};
use crate::app::App;
use crate::problem::{ApiError, Code};

/// The fields of a JSON body.
pub(crate) async fn json_body(app: &App, request: Request<Body>) -> Result<Fields, ApiError> {
    let limit = app.front.settings.max_json_bytes;
    let read = axum::body::to_bytes(request.into_body(), limit);
    let bytes = tokio::select! {
        read = read => read.map_err(|_| too_large(limit))?,
        () = app.stop.cut.cancelled() => return Err(ApiError::leaving()),
        () = app.front.clock.sleep(app.front.settings.body_timeout) => {
            return Err(ApiError::new(Code::RequestTimeout, "the body did not arrive in time"));
        }
    };
    Fields::of(parse_json(&bytes)?)
}

/// A JSON body above its limit, or one that broke off (then nobody reads the answer).
pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::TooLarge, format!("a JSON body may have at most {limit} bytes"))
}

/// The W3C trace context that a request came with, if it is well formed.
pub(crate) fn told_traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    trace::well_formed(text).then_some(text)
}

/// The trace context that travels with the job: the request's own span, which is the child of
/// the caller's; the caller's where no spans are made.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    trace::current().or_else(|| told_traceparent(headers).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_travels() {
        let travels = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            traceparent(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(travels(good).as_deref(), Some(good));
        assert_eq!(travels("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(travels("anything"), None);
    }
}
