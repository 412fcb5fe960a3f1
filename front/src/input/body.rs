//! Bodies, read in bounds of size and time, and the trace that a request belongs to.

use axum::body::Body;
use axum::http::{HeaderMap, Request};

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

/// The W3C trace context of a request, if it is well formed; it travels with the job.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let [version, trace, parent, flags] = parts.as_slice() else {
        return None;
    };
    let sound = *version == "00"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && parent.bytes().any(|b| b != b'0');
    sound.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_travels() {
        let trace = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            traceparent(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace(good).as_deref(), Some(good));
        assert_eq!(trace("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(trace("anything"), None);
    }
}
