//! A job's events as server-sent events. A client that comes back names the last id it
//! has and gets the rest.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, Uri, header};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use quaestor_core::clock::Time;
use quaestor_core::events::EventId;
use quaestor_core::ids::JobId;

use crate::app::App;
use crate::auth::{Who, in_force};
use crate::input::{Params, PathId};
use crate::jobs::{WatchItem, watch_job};
use crate::problem::ApiError;

/// What a browser waits before it comes back.
const RETRY: &str = "retry: 2000\n\n";
/// What it waits where the process goes away, and over how long the clients are spread.
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_SPREAD: Duration = Duration::from_secs(2);
const COMMENT: &str = ": ping\n\n";

pub(super) async fn events(
    State(app): State<App>,
    who: Who,
    PathId(id): PathId<JobId>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    const WANTED: &str = "the id of an event, such as 1-42";
    let mut params = Params::of(&uri)?;
    let from_query = params.parsed::<EventId>("after", WANTED)?;
    params.finish()?;
    // The header is the browser's own word and newer than the address it was given.
    let after = match headers.get("last-event-id") {
        None => from_query,
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| ApiError::invalid("Last-Event-ID", WANTED))?,
        ),
    };
    let items = watch_job(&app, &who.caller, id, after).await?;
    let now = app.front.clock.now();
    let sse = Sse {
        job_id: id,
        items,
        pending: VecDeque::from([RETRY.to_owned()]),
        ping_at: now + app.front.settings.sse_ping,
        check_at: now + app.front.settings.sockets.key_check,
        ended: false,
        who,
        app,
    };
    let body = stream::unfold(sse, |mut sse| async move {
        let frame = sse.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(frame)), sse))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that collect answers would hold the events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Sse {
    app: App,
    who: Who,
    job_id: JobId,
    items: BoxStream<'static, WatchItem>,
    pending: VecDeque<String>,
    ping_at: Time,
    check_at: Time,
    ended: bool,
}

impl Sse {
    /// The next piece of the stream; none at its end, when the key is revoked, and after
    /// the last word of a process that stops (the client comes back elsewhere).
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(frame) = self.pending.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            let clock = self.app.front.clock.clone();
            tokio::select! {
                biased;
                () = self.app.stop.close.cancelled() => {
                    // The stream ends whole, and its client resumes after its last id; not
                    // all clients at once.
                    self.ended = true;
                    let pause = RETRY_LEAST + self.app.spread(RETRY_SPREAD);
                    return Some(format!("retry: {}\n\n", pause.as_millis()));
                }
                () = clock.sleep_until(self.check_at) => {
                    if !in_force(&self.app, &self.who).await {
                        return None;
                    }
                    self.check_at = clock.now() + self.app.front.settings.sockets.key_check;
                }
                item = self.items.next() => match item {
                    Some(item) => return Some(frame(self.job_id, &item)),
                    None => self.ended = true,
                },
                () = clock.sleep_until(self.ping_at) => {
                    self.ping_at = clock.now() + self.app.front.settings.sse_ping;
                    return Some(COMMENT.to_owned());
                }
            }
        }
    }
}

/// One event. JSON text has no line breaks, so it fits one `data` line.
fn frame(job_id: JobId, item: &WatchItem) -> String {
    match item {
        WatchItem::Gap => format!("event: gap\ndata: {{\"job_id\":\"{job_id}\"}}\n\n"),
        WatchItem::Event(numbered) => {
            let data = serde_json::to_value(&numbered.event).unwrap_or_default();
            let kind = data["kind"].as_str().unwrap_or("event");
            format!("id: {}\nevent: {kind}\ndata: {data}\n\n", numbered.id)
        }
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::events::{Event, NumberedEvent};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_is_one_block_whatever_its_text_holds() {
        let event = Event::Token { text: "a\n\nid: 9-9\n".into() };
        let item = WatchItem::Event(NumberedEvent { id: EventId { attempt: 1, seq: 2 }, event });
        let text = frame(JobId(Uuid::nil()), &item);
        assert_eq!(
            text,
            "id: 1-2\nevent: token\ndata: {\"kind\":\"token\",\"text\":\"a\\n\\nid: 9-9\\n\"}\n\n"
        );
    }
}
