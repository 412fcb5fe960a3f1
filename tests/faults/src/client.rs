//! A client: asks until it is accepted, watches until it is told the end, and writes down what
//! comes, over as many connections as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Asked, Ledger, Seen, Uploaded, is_terminal};
use crate::place::Workspace;

/// How long a request is sent again before the client gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How soon a lost connection is made again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long opening a socket may take.
const OPEN: Duration = Duration::from_secs(5);
/// A socket that says nothing for so long is given up, as a person reloads the page. The
/// program pings every 20 s.
const SILENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One client of one workspace.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// The fronts; the first is tried first.
    addresses: Vec<String>,
    workspace: usize,
    token: String,
    /// What must never come to this client.
    foreign: Arc<Vec<String>>,
    ledger: Arc<Ledger>,
}

impl Client {
    /// A client of the workspace at this place of the list.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn of(
        workspaces: &[Workspace],
        workspace: usize,
        addresses: Vec<String>,
        ledger: Arc<Ledger>,
    ) -> anyhow::Result<Self> {
        let foreign = workspaces
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != workspace)
            .map(|(_, other)| other.canary.clone())
            .collect();
        Ok(Self {
            http: crate::place::http(Duration::from_secs(10))?,
            addresses,
            workspace,
            token: workspaces[workspace].token().to_owned(),
            foreign: Arc::new(foreign),
            ledger,
        })
    }

    fn look_for_leaks(&self, text: &str, place: &str) {
        for canary in self.foreign.iter().filter(|canary| text.contains(canary.as_str())) {
            let leak = format!("workspace {} got {canary} by {place}", self.workspace);
            self.ledger.book().leaks.push(leak);
        }
    }

    /// Sends a request until a front answers it well, always under the same key: an answer that
    /// was lost on the way must not become a second effect.
    ///
    /// # Errors
    /// No front answers it well in time, or one refuses it for good.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        self.until_well(path, |address| {
            let mut request = self.http.request(method.clone(), format!("{address}{path}"));
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            request
        })
        .await
    }

    async fn until_well(
        &self,
        path: &str,
        request: impl Fn(&str) -> reqwest::RequestBuilder,
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        for address in self.addresses.iter().cycle() {
            let said = match request(address).bearer_auth(&self.token).send().await {
                Ok(response) => {
                    let status = response.status();
                    match response.text().await {
                        Ok(text) => {
                            self.look_for_leaks(&text, path);
                            if status.is_success() {
                                return Ok(serde_json::from_str(&text).unwrap_or_default());
                            }
                            if !may_be_sent_again(status) {
                                let said = format!("{path}: {status} {text}");
                                self.ledger.book().surprises.push(said.clone());
                                bail!(said);
                            }
                            self.ledger.book().refused += 1;
                            format!("{status} {text}")
                        }
                        Err(error) => self.lost(&error),
                    }
                }
                Err(error) => self.lost(&error),
            };
            if Instant::now() > until {
                bail!("{path} was not answered: {said}");
            }
            tokio::time::sleep(AGAIN).await;
        }
        bail!("there is no front")
    }

    fn lost(&self, error: &reqwest::Error) -> String {
        self.ledger.book().lost += 1;
        error.to_string()
    }

    /// Makes a conversation; its id.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn conversation(&self) -> anyhow::Result<String> {
        let made = self.send(Method::POST, "/api/conversations", Some(&json!({})), None).await?;
        text_of(&made, "id")
    }

    /// Makes a collection; its id.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn collection(&self, name: &str) -> anyhow::Result<String> {
        let body = json!({"name": name});
        let made = self.send(Method::POST, "/api/collections", Some(&body), Some(name)).await?;
        text_of(&made, "id")
    }

    /// Uploads a file, and writes down what was accepted.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upload(
        &self,
        collection: &str,
        name: &str,
        text: &str,
        sections: usize,
    ) -> anyhow::Result<Uploaded> {
        self.upload_to(None, collection, name, text, sections).await
    }

    /// The same, to a batch.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upload_to(
        &self,
        batch: Option<&str>,
        collection: &str,
        name: &str,
        text: &str,
        sections: usize,
    ) -> anyhow::Result<Uploaded> {
        let accepted = self
            .until_well("/api/documents", |address| {
                let part = reqwest::multipart::Part::bytes(text.as_bytes().to_vec());
                let mut form =
                    reqwest::multipart::Form::new().text("collection_id", collection.to_owned());
                if let Some(batch) = batch {
                    form = form.text("batch_id", batch.to_owned());
                }
                let form = form.part("file", part.file_name(name.to_owned()));
                let url = format!("{address}/api/documents");
                self.http.post(url).header("idempotency-key", name).multipart(form)
            })
            .await?;
        let item = &accepted["items"][0];
        let uploaded = Uploaded {
            workspace: self.workspace,
            job: text_of(item, "job_id")?,
            document: text_of(item, "document_id")?,
            sections,
        };
        self.ledger.book().uploaded.push(uploaded.clone());
        Ok(uploaded)
    }

    /// Writes down that it was promised this job, which is no question's and no file's.
    pub fn takes_part_in(&self, job: &str) {
        self.ledger.book().others.push(job.to_owned());
    }

    /// Fetches a file by its link; how many bytes came.
    ///
    /// # Errors
    /// It does not come whole in time.
    pub async fn fetch(&self, url: &str) -> anyhow::Result<u64> {
        let until = Instant::now() + PATIENCE;
        loop {
            for address in &self.addresses {
                let url = match url.strip_prefix('/') {
                    Some(path) => format!("{address}/{path}"),
                    None => url.to_owned(),
                };
                if let Ok(response) = self.http.get(url).send().await
                    && response.status().is_success()
                    && let Ok(bytes) = response.bytes().await
                {
                    self.look_for_leaks(&String::from_utf8_lossy(&bytes), "an export");
                    return Ok(bytes.len() as u64);
                }
            }
            anyhow::ensure!(Instant::now() < until, "an export cannot be fetched");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Waits until a job has ended; as it is then.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn ended(&self, job: &str) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.send(Method::GET, &format!("/api/jobs/{job}"), None, None).await?;
            let state = seen["state"].as_str().unwrap_or_default();
            if ["done", "failed", "cancelled", "dead"].contains(&state) {
                return Ok(seen);
            }
            anyhow::ensure!(Instant::now() < until, "job {job} does not end: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks, watches to the end, and writes it all down. `stop` ends the watching early: what
    /// was seen by then is written down as it is.
    ///
    /// # Errors
    /// The question is not accepted.
    pub async fn ask(
        &self,
        conversation: &str,
        question: &str,
        key: &str,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let asked_at = Instant::now();
        let path = format!("/api/conversations/{conversation}/messages");
        let body = json!({"content": question});
        let accepted = self.send(Method::POST, &path, Some(&body), Some(key)).await?;
        let mut asked = Asked {
            workspace: self.workspace,
            key: key.to_owned(),
            job: text_of(&accepted, "job_id")?,
            answer: text_of(&accepted, "answer_id")?,
            accepted_in: asked_at.elapsed(),
            ..Asked::default()
        };
        tokio::select! {
            () = self.watch(&mut asked, asked_at) => {}
            () = stop.cancelled() => {}
        }
        self.ledger.book().asked.push(asked);
        Ok(())
    }

    /// Watches a job to its end, over as many sockets as it takes.
    async fn watch(&self, asked: &mut Asked, asked_at: Instant) {
        let mut lost_at = None;
        // A client comes to whichever front a balancer gives it.
        for address in self.addresses.iter().rev().cycle() {
            asked.sockets += 1;
            if self.one_socket(address, asked, asked_at, &mut lost_at).await {
                asked.ended_in = Some(asked_at.elapsed());
                return;
            }
            lost_at.get_or_insert_with(Instant::now);
            self.ledger.book().lost += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// True where the end was told; false where the socket could not be had or was lost.
    async fn one_socket(
        &self,
        address: &str,
        asked: &mut Asked,
        asked_at: Instant,
        lost_at: &mut Option<Instant>,
    ) -> bool {
        let opened = tokio::time::timeout(OPEN, connect(address, &self.token)).await;
        let Ok(Ok(mut socket)) = opened else { return false };
        let mut subscribe = json!({"type": "subscribe", "job_id": asked.job});
        if let Some(last) = asked.last_id() {
            subscribe["after"] = last.into();
        }
        if socket.send(Message::text(subscribe.to_string())).await.is_err() {
            return false;
        }
        loop {
            let Ok(Some(Ok(message))) = tokio::time::timeout(SILENCE, socket.next()).await else {
                return false;
            };
            let Message::Text(text) = message else { continue };
            self.look_for_leaks(&text, "a socket");
            if let Some(lost_at) = lost_at.take() {
                asked.resumed_in.push(lost_at.elapsed());
            }
            let frame: Value = serde_json::from_str(&text).unwrap_or_default();
            match frame["type"].as_str() {
                Some("gap") => asked.gaps += 1,
                // A server behind is away: another socket asks again.
                Some("error") => return false,
                Some("event") => {
                    let Some(seen) = seen(&frame) else {
                        self.ledger.book().surprises.push(format!("a frame without id: {text}"));
                        return false;
                    };
                    if seen.kind == "token" && asked.first_token_in.is_none() {
                        asked.first_token_in = Some(asked_at.elapsed());
                    }
                    let ended = is_terminal(&seen.kind);
                    asked.events.push(seen);
                    if ended {
                        // Nobody waits for the answer to this.
                        let _ = socket.close(None).await;
                        return true;
                    }
                }
                _ => {}
            }
        }
    }
}

/// An open socket.
///
/// # Errors
/// It cannot be opened.
pub async fn connect(address: &str, token: &str) -> anyhow::Result<Socket> {
    let url = format!("{}/ws", address.replace("http:", "ws:"));
    let mut request = url.into_client_request()?;
    let bearer = http::HeaderValue::from_str(&format!("Bearer {token}"))?;
    request.headers_mut().insert("authorization", bearer);
    Ok(connect_async(request).await?.0)
}

fn seen(frame: &Value) -> Option<Seen> {
    let (attempt, seq) = frame["id"].as_str()?.split_once('-')?;
    Some(Seen {
        attempt: attempt.parse().ok()?,
        seq: seq.parse().ok()?,
        kind: frame["event"]["kind"].as_str()?.to_owned(),
        text: frame["event"]["text"].as_str().unwrap_or_default().to_owned(),
    })
}

/// Busy, away, or ending: the same request may be sent once more.
fn may_be_sent_again(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::CONFLICT
}

pub(crate) fn text_of(value: &Value, name: &str) -> anyhow::Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("no `{name}` in {value}"))
}
