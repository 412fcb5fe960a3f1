//! Sends requests and keeps watch over what comes back: status, length, lines.

use std::sync::Arc;
use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use chrono::DateTime;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};
use quaestor_core::clock::Clock;
use reqwest::header::HeaderMap;
use reqwest::{Body, Response, StatusCode};
use serde::Deserialize;

/// A response may be this long on the wire. An event of a stream is some 300 bytes for
/// one token, so that this is more than fifty thousand tokens.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A line may be this long; the parser of events holds it whole.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// What is read of the body of an error.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Sends each request once. Nothing is tried again here: that is decided above.
#[derive(Clone)]
pub(super) struct Transport {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

/// A response that says that the request failed.
#[derive(Debug, thiserror::Error)]
#[error("the server answered {status}{}", code.as_deref().map(|c| format!(" ({c})")).unwrap_or_default())]
pub(super) struct Rejected {
    pub(super) status: StatusCode,
    /// The provider's own code or type of the error.
    pub(super) code: Option<String>,
    pub(super) retry_after_ms: Option<u64>,
}

/// A response that is longer than anything sensible.
#[derive(Debug, thiserror::Error)]
#[error("the response has more than {0} bytes in {1}")]
pub(super) struct TooLong(usize, &'static str);

impl Transport {
    pub(super) fn new(client: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let request = request.build().await?;
            let response = this.client.execute(request).await?;
            if !response.status().is_success() {
                let rejected = rejection(response, this.clock.as_ref()).await;
                return Err(OpenAIError::Boxed(Box::new(rejected)));
            }
            let headers = response.headers().clone();
            let body = Body::wrap_stream(watched(response.bytes_stream()));
            let mut watched = http::Response::new(body);
            *watched.headers_mut() = headers;
            Ok(watched.into())
        })
    }
}

/// The bytes of a response, until they become too many.
fn watched<E>(
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> impl Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let (mut total, mut line) = (0, 0);
    bytes.map(move |piece| {
        let piece = piece?;
        total += piece.len();
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line += part.len();
            if line > MAX_LINE_BYTES {
                return Err(TooLong(MAX_LINE_BYTES, "one line").into());
            }
            if part.ends_with(b"\n") || part.ends_with(b"\r") {
                line = 0;
            }
        }
        if total > MAX_BODY_BYTES {
            return Err(TooLong(MAX_BODY_BYTES, "all").into());
        }
        Ok(piece)
    })
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

/// Only the codes: a message may repeat the prompt, or parts of the key.
#[derive(Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default, rename = "type")]
    kind: Option<serde_json::Value>,
}

impl ErrorDetail {
    /// The error's code, or its type where it has none, if it looks like a word.
    pub(super) fn word(&self) -> Option<String> {
        [&self.code, &self.kind].into_iter().flatten().find_map(|value| {
            let word = match value {
                serde_json::Value::String(word) => word.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                _ => return None,
            };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            let clean = !word.is_empty() && word.len() <= 64 && word.bytes().all(plain);
            clean.then_some(word)
        })
    }
}

async fn rejection(response: Response, clock: &dyn Clock) -> Rejected {
    let status = response.status();
    let retry_after_ms = retry_after_ms(response.headers(), clock);
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    // A body that breaks off tells less, and changes nothing about the rejection.
    while let Ok(Some(piece)) = bytes.try_next().await {
        if body.len() + piece.len() > MAX_ERROR_BYTES {
            break;
        }
        body.extend_from_slice(&piece);
    }
    let code = serde_json::from_slice::<ErrorBody>(&body).ok().and_then(|body| body.error.word());
    Rejected { status, code, retry_after_ms }
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after_ms(headers: &HeaderMap, clock: &dyn Clock) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(millis);
    }
    let text = text("retry-after")?;
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let moment = DateTime::parse_from_rfc2822(text).ok()?;
    let wait = moment.signed_duration_since(clock.now());
    Some(u64::try_from(wait.num_milliseconds()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::ManualClock;

    use super::*;

    #[test]
    fn the_wait_is_read_in_every_form_it_is_sent_in() {
        let clock = ManualClock::at_millis(1_445_412_470_000);
        for (name, value, wanted) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(10_000)),
            ("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(retry_after_ms(&headers, &clock), wanted, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut_off() {
        let piece = Bytes::from(vec![b'x'; 300 * 1024]);
        let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
        let read: Vec<_> = watched(endless).take(4).collect().await;
        assert!(read[2].is_ok() && read[3].is_err());
    }
}
