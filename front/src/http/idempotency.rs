//! The header `Idempotency-Key`, and the answer to a request that came before.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::jobs::Accepted;
use crate::problem::ApiError;

/// As the store keeps it.
const MAX_BYTES: usize = 255;

/// The client's key, if it sent one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|text| (1..=MAX_BYTES).contains(&text.len()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid("Idempotency-Key", "1 to 255 visible characters")),
    }
}

/// The answer, marked where it is one that was given before.
pub(super) fn respond<T: Serialize>(status: StatusCode, accepted: Accepted<T>) -> Response {
    let mut response = (status, Json(accepted.answer)).into_response();
    if accepted.replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}
