//! How is a job followed to its end, over connections that drop?

use futures::StreamExt;
use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::model::Job;
use reqwest::Method;
use reqwest::header::ACCEPT;

use super::sse::{SseEvent, SseReader};
use super::{Client, ClientError, pause};

/// How often a stream is opened again without having brought a single event.
const REOPENINGS: u32 = 8;

/// What was heard of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The next event, with its id.
    Event(String, Box<Event>),
    /// Events are gone: the result is read over HTTP when the job has ended.
    Gap,
}

/// A job that is being followed.
#[derive(Debug)]
pub struct Follow<'a> {
    client: &'a Client,
    job: JobId,
    last_id: Option<String>,
}

impl Client {
    /// Follows a job's events, from the first one.
    #[must_use]
    pub fn follow(&self, job: JobId) -> Follow<'_> {
        Follow { client: self, job, last_id: None }
    }
}

impl Follow<'_> {
    /// Calls `heard` with every event once and in order, until one ends the job. Resumes
    /// where a connection dropped; after a gap, what is still to come comes.
    pub async fn until_end<E: From<ClientError>>(
        mut self,
        mut heard: impl FnMut(Heard) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut barren = 0;
        loop {
            let before = self.last_id.clone();
            let ended = match self.connection(&mut heard).await {
                Ok(ended) => ended,
                Err(Stopped::Consumer(error)) => return Err(error),
                Err(Stopped::Client(error)) if error.is_transient() && barren < REOPENINGS => false,
                Err(Stopped::Client(error)) => return Err(error.into()),
            };
            if ended {
                return Ok(());
            }
            barren = if self.last_id == before { barren + 1 } else { 0 };
            // A stream that brings nothing more may have nothing more to bring.
            if barren > 0 && self.ended_unheard(barren).await? {
                return heard(Heard::Gap);
            }
            self.client.clock().sleep(pause(barren, None)).await;
        }
    }

    /// Whether the job's row says that it has ended.
    async fn ended_unheard(&self, barren: u32) -> Result<bool, ClientError> {
        let what = format!("job {}", self.job);
        let job: Job = self.client.get(&format!("/api/jobs/{}", self.job), &what).await?;
        if !job.state.is_terminal() && barren > REOPENINGS {
            return Err(self
                .client
                .foreign(&what, "an event stream that ends before the job does"));
        }
        Ok(job.state.is_terminal())
    }

    /// One connection; true where the job has ended.
    async fn connection<E>(
        &mut self,
        heard: &mut impl FnMut(Heard) -> Result<(), E>,
    ) -> Result<bool, Stopped<E>> {
        let what = format!("job {}", self.job);
        let mut request = self
            .client
            .request(Method::GET, &format!("/api/jobs/{}/events", self.job))?
            .header(ACCEPT, "text/event-stream");
        if let Some(id) = &self.last_id {
            request = request.header("last-event-id", id);
        }
        let response = self
            .client
            .send(request, &what)
            .await
            .map_err(|failed| Stopped::Client(failed.error))?;
        let (mut stream, mut reader, mut events) =
            (response.bytes_stream(), SseReader::default(), Vec::new());
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|source| self.client.broken(&what, source))?;
            reader.take(&bytes, &mut events).map_err(|error| self.client.foreign(&what, error))?;
            for event in events.drain(..) {
                if self.one(event, heard)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn one<E>(
        &mut self,
        sse: SseEvent,
        heard: &mut impl FnMut(Heard) -> Result<(), E>,
    ) -> Result<bool, Stopped<E>> {
        let what = format!("job {}", self.job);
        let data: serde_json::Value = match sse.data.as_str() {
            "" => serde_json::Value::Null,
            text => serde_json::from_str(text).map_err(|e| self.client.foreign(&what, e))?,
        };
        if sse.name.as_deref() == Some("gap") || data["type"] == "gap" || data["kind"] == "gap" {
            heard(Heard::Gap).map_err(Stopped::Consumer)?;
            return Ok(false);
        }
        let id = sse.id.or_else(|| data["id"].as_str().map(str::to_owned));
        let inner = if data["event"].is_object() { data["event"].clone() } else { data };
        // The contract grows by addition: a kind that is not known yet is passed over.
        let event = serde_json::from_value::<Event>(inner).ok();
        if let (Some(id), true) = (&id, id.is_some() && id == self.last_id) {
            tracing::debug!(event.id = %id, "the server repeated an event");
            return Ok(false);
        }
        let Some(id) = id else { return Ok(false) };
        self.last_id = Some(id.clone());
        let Some(event) = event else { return Ok(false) };
        let ends = event.is_terminal();
        heard(Heard::Event(id, Box::new(event))).map_err(Stopped::Consumer)?;
        Ok(ends)
    }
}

/// Why a connection was left.
enum Stopped<E> {
    Client(ClientError),
    Consumer(E),
}

impl<E> From<ClientError> for Stopped<E> {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
