//! How is a running server called? The one HTTP client of the command line.

mod download;
mod error;
mod events;
mod sse;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::model::{Collection, MAX_PAGE, Page};
use quaestor_core::problem::Problem;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use error::ClientError;
pub(super) use events::Heard;
pub(super) use upload::{Progress, ToSend};
pub(super) use wire::{AcceptedQuestion, AcceptedUpload, CreatedKey, Health, ListedKey};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for so long has hung. Event streams send signs of life.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a call is made again that failed for a passing reason.
const RETRIES: u32 = 5;
/// The longest wait between two calls, whatever the server asks for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// More pages of a list than any installation fills.
const MAX_PAGES: usize = 10_000;
/// The start of a wrong answer's body that is read.
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// A client of one server with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    has_key: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the server at this address.
    pub fn new(
        server: &str,
        key: Option<&SecretString>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ClientError> {
        let bad = || ClientError::BadAddress(server.to_owned());
        let mut url = Url::parse(server).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad());
        }
        // Joined paths replace the last segment, unless the base ends with a slash.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret().trim()))
                .map_err(|_| ClientError::BadKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            // A redirect could carry the key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quaestor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        if is_loopback(&url) {
            // A proxy cannot reach what only this machine can.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Self { http, server: url, has_key: key.is_some(), clock, entropy })
    }

    /// The server's address, as people write it.
    #[must_use]
    pub fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    /// A fresh `Idempotency-Key`.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let url = self
            .server
            .join(path.trim_start_matches('/'))
            .map_err(|_| ClientError::BadAddress(self.server()))?;
        Ok(self.http.request(method, url))
    }

    /// Sends once, and turns every answer but success into a sentence.
    async fn send(&self, request: RequestBuilder, doing: &str) -> Result<Response, Failed> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(source) if source.is_connect() => {
                return Err(ClientError::Unreachable { server: self.server(), source }.into());
            }
            Err(source) => return Err(self.broken(doing, source).into()),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let error = self.refusal(response, status, doing).await;
        Err(Failed { error, retry_after: seconds.map(Duration::from_secs) })
    }

    fn broken(&self, doing: &str, source: reqwest::Error) -> ClientError {
        ClientError::Broken { server: self.server(), doing: doing.to_owned(), source }
    }

    fn foreign(&self, doing: &str, what: impl fmt::Display) -> ClientError {
        ClientError::Foreign {
            server: self.server(),
            doing: doing.to_owned(),
            what: what.to_string(),
        }
    }

    async fn refusal(
        &self,
        mut response: Response,
        status: StatusCode,
        doing: &str,
    ) -> ClientError {
        if status == StatusCode::UNAUTHORIZED {
            let server = self.server();
            return if self.has_key {
                ClientError::WrongKey { server }
            } else {
                ClientError::NoKey { server }
            };
        }
        let mut body = Vec::new();
        while body.len() < MAX_PROBLEM_BYTES {
            match response.chunk().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(source) => return self.broken(doing, source),
            }
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if status == StatusCode::NOT_FOUND && problem.code == "not_found" => {
                ClientError::NotFound { what: doing.to_owned() }
            }
            Ok(problem) => ClientError::Refused {
                doing: doing.to_owned(),
                status: status.as_u16(),
                code: problem.code,
                title: problem.title,
                detail: problem.detail,
            },
            Err(_) => self.foreign(doing, format!("status {status} and no problem document")),
        }
    }

    /// Makes a call that may be repeated, again while it fails for a passing reason.
    async fn repeat<T>(
        &self,
        mut call: impl AsyncFnMut() -> Result<T, Failed>,
    ) -> Result<T, ClientError> {
        let mut tried = 0;
        loop {
            let failed = match call().await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            tried += 1;
            // Nobody there at the very first call is news to tell at once.
            let hopeless = matches!(failed.error, ClientError::Unreachable { .. }) && tried == 1;
            if hopeless || tried > RETRIES || !failed.error.is_transient() {
                return Err(failed.error);
            }
            self.clock.sleep(pause(tried, failed.retry_after)).await;
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        response: Response,
        doing: &str,
    ) -> Result<T, Failed> {
        let bytes = response.bytes().await.map_err(|source| self.broken(doing, source))?;
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(doing, error).into())
    }

    /// Reads a thing. `what` names it for the sentence: `document 0190…`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, ClientError> {
        self.repeat(async || {
            let response = self.send(self.request(Method::GET, path)?, what).await?;
            self.json(response, what).await
        })
        .await
    }

    /// Sends JSON and reads the answer. With an idempotency key, it is safe to repeat.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        what: &str,
    ) -> Result<T, ClientError> {
        let key = self.idempotency_key();
        self.repeat(async || {
            let request = self.request(Method::POST, path)?.header("idempotency-key", &key);
            let response = self.send(request.json(body), what).await?;
            self.json(response, what).await
        })
        .await
    }

    /// Sends JSON to a route without idempotency keys, once.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        what: &str,
    ) -> Result<T, ClientError> {
        let sent = self.send(self.request(Method::POST, path)?.json(body), what).await;
        let response = sent.map_err(|failed| failed.error)?;
        self.json(response, what).await.map_err(|failed| failed.error)
    }

    /// Sends JSON to a route that may be called twice without harm, and needs no idempotency
    /// key for it.
    pub async fn post_again<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        what: &str,
    ) -> Result<T, ClientError> {
        self.repeat(async || {
            let response = self.send(self.request(Method::POST, path)?.json(body), what).await?;
            self.json(response, what).await
        })
        .await
    }

    /// Changes a thing, and reads it as it is then.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        what: &str,
    ) -> Result<T, ClientError> {
        self.repeat(async || {
            let response = self.send(self.request(Method::PATCH, path)?.json(body), what).await?;
            self.json(response, what).await
        })
        .await
    }

    /// Removes a thing.
    pub async fn delete(&self, path: &str, what: &str) -> Result<(), ClientError> {
        let sent = self.send(self.request(Method::DELETE, path)?, what).await;
        sent.map(|_| ()).map_err(|failed| failed.error)
    }

    /// Reads a list from `path`, page by page, at most `most` items.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
        what: &str,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        let mark = if path.contains('?') { '&' } else { '?' };
        for _ in 0..MAX_PAGES {
            let wanted = (most - items.len()).min(MAX_PAGE as usize);
            let page: Page<T> =
                self.get(&format!("{path}{mark}limit={wanted}{cursor}"), what).await?;
            items.extend(page.items);
            let Some(next) = page.next.filter(|_| items.len() < most) else { return Ok(items) };
            let turned = format!("&cursor={}", next.0);
            if turned == cursor {
                break;
            }
            cursor = turned;
        }
        Err(self.foreign(what, "a list without end"))
    }

    /// The collection of this name, if there is one.
    pub async fn collection(&self, name: &str) -> Result<Option<Collection>, ClientError> {
        let all: Vec<Collection> =
            self.list("/api/collections", usize::MAX, "the list of collections").await?;
        Ok(all.into_iter().find(|collection| collection.name == name))
    }

    /// The collection of this name; made where there is none.
    pub async fn collection_or_new(&self, name: &str) -> Result<Collection, ClientError> {
        if let Some(found) = self.collection(name).await? {
            return Ok(found);
        }
        let body = json!({ "name": name });
        let what = format!("making the collection `{name}`");
        match self.post_once("/api/collections", &body, &what).await {
            // Somebody else made it in between.
            Err(ClientError::Refused { status: 409, .. }) => {
                let found = self.collection(name).await?;
                found.ok_or_else(|| self.foreign(&what, "a conflict with no collection"))
            }
            made => made,
        }
    }
}

/// A call that failed, and when the server wants to be asked again.
struct Failed {
    error: ClientError,
    retry_after: Option<Duration>,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: None }
    }
}

/// The wait before the n-th repetition: what the server asks for, else doubling.
fn pause(tried: u32, retry_after: Option<Duration>) -> Duration {
    let doubling = Duration::from_millis(250).saturating_mul(1 << tried.min(8));
    retry_after.unwrap_or(doubling).min(MAX_PAUSE)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
