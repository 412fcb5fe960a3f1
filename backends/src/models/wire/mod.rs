//! What all providers behind HTTP share: a request is sent once, and what comes back is
//! watched for its length, its class if it is an error, and what its headers tell.

mod answer;
mod failure;
mod sse;
mod told;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use quaestor_core::clock::Clock;
use quaestor_core::ids::CallId;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::trace;
use reqwest::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use answer::{Dialect, Piece, Trouble, deltas};
pub(super) use failure::Words;
pub(super) use sse::Event;
use sse::Parser;
pub(super) use told::Told;

/// The header with our own name for a request. It is OpenAI's, whose support finds a request
/// by it; others take no notice.
const OUR_NAME: &str = "x-client-request-id";

/// A response may be this long. An event of a stream is some 300 bytes for one token, so
/// that this is more than fifty thousand tokens.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// What is read of the body of an error, and for how long.
const MAX_ERROR_BYTES: usize = 64 * 1024;
const ERROR_WAIT: Duration = Duration::from_secs(2);

/// A model at a server. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// `provider:model`.
    pub(super) name: Arc<str>,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

/// A response that says that the request failed.
#[derive(Debug, thiserror::Error)]
#[error("the server answered {status}{}", code.as_deref().map(|c| format!(" ({c})")).unwrap_or_default())]
struct Rejected {
    status: u16,
    code: Option<String>,
}

/// The head of a response came, and it is no error.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) told: Told,
    remote: Remote,
    response: Response,
    /// Bytes that were read of its body.
    read: usize,
}

impl Remote {
    /// Makes the client; nothing is sent yet.
    pub(super) fn new(
        name: &str,
        connect_timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ModelError> {
        // No redirects: the key would go wherever a server points. No retries: that is
        // decided above.
        let http = reqwest::Client::builder()
            .connect_timeout(connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| ModelError::new(name, ErrorClass::Unavailable).caused_by(error))?;
        Ok(Self { name: name.into(), http, clock })
    }

    /// An error in the model's name.
    pub(super) fn error(&self, class: ErrorClass) -> ModelError {
        ModelError::new(&*self.name, class)
    }

    /// The time that answers are dated by.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends JSON under our own name for the request, once, and waits for the head of the
    /// response.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: &(impl Serialize + Sync),
        call: CallId,
    ) -> Result<Opened, ModelError> {
        let mut request = self.http.post(url).headers(headers).header(OUR_NAME, call.to_string());
        if let Some(traceparent) = trace::for_providers() {
            request = request.header("traceparent", traceparent);
        }
        self.send(request.json(body)).await
    }

    /// Sends a form, once, and waits for the head of the response.
    pub(super) async fn post_form(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Opened, ModelError> {
        let mut form = reqwest::Url::parse("form:")
            .map_err(|_| self.error(ErrorClass::Refused).because("the request cannot be made"))?;
        form.query_pairs_mut().extend_pairs(fields);
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Opened, ModelError> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let told = Told::of(response.headers(), &*self.clock);
        if response.status().is_success() {
            return Ok(Opened { told, remote: self.clone(), response, read: 0 });
        }
        Err(self.rejected(told, response).await)
    }

    /// An error of the client or the connection. The address may hold a secret.
    fn broken(&self, error: reqwest::Error) -> ModelError {
        let error = error.without_url();
        if error.is_builder() {
            return self
                .error(ErrorClass::Refused)
                .because("the request cannot be made")
                .caused_by(error);
        }
        let class = if error.is_timeout() { ErrorClass::TooSlow } else { ErrorClass::Unavailable };
        self.error(class).caused_by(error)
    }

    async fn rejected(&self, told: Told, mut response: Response) -> ModelError {
        let status = response.status().as_u16();
        let reading = async {
            let mut body = Vec::new();
            // A body that breaks off tells less, and changes nothing about the rejection.
            while let Ok(Some(piece)) = response.chunk().await {
                if body.len() + piece.len() > MAX_ERROR_BYTES {
                    break;
                }
                body.extend_from_slice(&piece);
            }
            body
        };
        let body = tokio::time::timeout(ERROR_WAIT, reading).await.unwrap_or_default();
        let words =
            serde_json::from_slice::<Value>(&body).map(|body| Words::of(&body)).unwrap_or_default();
        let class = words.class_with(status);
        let rejected = Rejected { status, code: words.first().map(str::to_owned) };
        self.error(class)
            .because(rejected.to_string())
            .caused_by(rejected)
            .retry_after(told.wait().filter(|_| class.is_transient()))
            .of_request(told.request_id)
    }
}

impl Opened {
    /// An error of this request.
    pub(super) fn error(&self, class: ErrorClass) -> ModelError {
        self.remote.error(class).of_request(self.told.request_id.clone())
    }

    /// A body that is no answer.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> ModelError {
        self.error(ErrorClass::Malformed).because(reason)
    }

    /// The next bytes of the body; none at its end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, ModelError> {
        let chunk =
            self.response.chunk().await.map_err(|error| {
                self.remote.broken(error).of_request(self.told.request_id.clone())
            })?;
        self.read += chunk.as_ref().map_or(0, Bytes::len);
        Ok(chunk)
    }

    /// The whole body as JSON of this shape. Errors in it are told as such.
    pub(super) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ModelError> {
        let body = self.body().await?;
        serde_json::from_slice(&body).map_err(|error| {
            // Some servers tell of an error with 200.
            let told = serde_json::from_slice::<Value>(&body).ok();
            match told.filter(|body| !body["error"].is_null()) {
                Some(body) => self.reported(&Words::of(&body)),
                None => self.malformed(no_json(&error)),
            }
        })
    }

    async fn body(&mut self) -> Result<Vec<u8>, ModelError> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if self.read > MAX_BODY_BYTES {
                return Err(self.malformed(format!("it has more than {MAX_BODY_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// An error that is told where the answer should be.
    fn reported(&self, words: &Words) -> ModelError {
        let code = words.first().map(|code| format!(" ({code})")).unwrap_or_default();
        self.error(words.class_in_stream())
            .because(format!("it reports an error in place of an answer{code}"))
    }

    /// The body as a stream of events.
    pub(super) fn events(self) -> Events {
        Events { opened: self, parser: Parser::default(), ready: VecDeque::new() }
    }

    fn is_json(&self) -> bool {
        let kind = self.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.is_some_and(|kind| kind.trim_start().starts_with("application/json"))
    }
}

/// The events of a response. Dropping them closes the connection.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) opened: Opened,
    parser: Parser,
    /// Complete and not yet handed on: at most what one read of the connection holds.
    ready: VecDeque<Event>,
}

/// Why no more events come.
#[derive(Debug)]
pub(super) enum Ended {
    /// The response is at its end.
    Whole,
    /// It outgrew a limit.
    TooLong(&'static str),
    /// It broke off.
    Failed(ModelError),
}

impl Events {
    /// The next event.
    async fn next(&mut self) -> Result<Event, Ended> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if self.opened.read > MAX_BODY_BYTES {
                return Err(Ended::TooLong("the stream is too long"));
            }
            if self.opened.read == 0 && self.opened.is_json() {
                // A server that does not stream sends all at once, or an error.
                let body = self.opened.body().await.map_err(Ended::Failed)?;
                let data = String::from_utf8_lossy(&body).into_owned();
                return Ok(Event { kind: String::new(), data });
            }
            let Some(bytes) = self.opened.chunk().await.map_err(Ended::Failed)? else {
                return Err(Ended::Whole);
            };
            if self.parser.read(&bytes, &mut self.ready).is_err() {
                self.ready.clear();
                return Err(Ended::TooLong("an event is too long"));
            }
        }
    }

    /// Reads on to the end of the response, so that its connection can be used again.
    async fn drain(&mut self, within: Duration) {
        let reading = async {
            while let Ok(Some(_)) = self.opened.chunk().await {
                if self.opened.read > MAX_BODY_BYTES {
                    return;
                }
            }
        };
        // Where it does not end soon, another connection is cheaper.
        let _ = tokio::time::timeout(within, reading).await;
    }
}

/// What is wrong with JSON, without repeating any of it.
pub(super) fn no_json(error: &serde_json::Error) -> String {
    format!("no JSON of the expected shape ({:?} at column {})", error.classify(), error.column())
}
