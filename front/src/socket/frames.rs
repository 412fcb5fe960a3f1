//! The frames of a WebSocket: what a client may say, and what is said to it.

use std::time::Duration;

use quaestor_core::events::{EventId, NumberedEvent};
use quaestor_core::ids::{ConversationId, JobId};
use quaestor_core::ports::store::AcceptedQuestion;
use serde_json::{Value, json};

use crate::http::route::{Access, IdOf, IdParam, Place};
use crate::input::{Fields, parse_json};
use crate::problem::{ApiError, Code};

/// What a client's frame may be called back by.
const REQUEST_ID_MAX_CHARS: usize = 128;

/// A kind of frame that a client may send.
#[derive(Clone, Copy, Debug)]
pub struct SocketMessage {
    /// Its `type`.
    pub name: &'static str,
    /// The role that it needs.
    pub access: Access,
    /// The ids in it. Another's id must answer as a missing one.
    pub ids: &'static [IdParam],
}

const JOB: IdParam = IdParam { name: "job_id", place: Place::Body, of: IdOf::Job };
const CONVERSATION: IdParam =
    IdParam { name: "conversation_id", place: Place::Body, of: IdOf::Conversation };

static MESSAGES: &[SocketMessage] = &[
    SocketMessage { name: "ask", access: Access::Read, ids: &[CONVERSATION] },
    SocketMessage { name: "subscribe", access: Access::Any, ids: &[JOB] },
    // Naming a job that is not watched is no error, whoever's it is.
    SocketMessage { name: "unsubscribe", access: Access::Any, ids: &[] },
    SocketMessage { name: "follow", access: Access::Read, ids: &[CONVERSATION] },
    SocketMessage { name: "unfollow", access: Access::Any, ids: &[] },
    SocketMessage { name: "cancel", access: Access::Read, ids: &[JOB] },
    SocketMessage { name: "ping", access: Access::Any, ids: &[] },
];

/// Every kind of frame that a client may send. One without an entry is refused.
#[must_use]
pub fn socket_messages() -> &'static [SocketMessage] {
    MESSAGES
}

/// A client's frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Ask { conversation_id: ConversationId, content: String },
    Subscribe { job_id: JobId, after: Option<EventId> },
    Unsubscribe { job_id: JobId },
    Follow { conversation_id: ConversationId },
    Unfollow { conversation_id: ConversationId },
    Cancel { job_id: JobId },
    Ping,
}

/// A client's frame with what it needs and how it is called back.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) request_id: Option<String>,
    pub(super) request: Result<(Request, &'static SocketMessage), ApiError>,
}

/// Reads a frame. Whatever is wrong with it, its `request_id` is kept if it has one.
pub(super) fn read(text: &str, question_max_chars: usize) -> Incoming {
    let mut fields = match parse_json(text.as_bytes()).and_then(Fields::of) {
        Ok(fields) => fields,
        Err(error) => return Incoming { request_id: None, request: Err(error) },
    };
    match fields.optional_text("request_id", REQUEST_ID_MAX_CHARS) {
        Ok(request_id) => {
            let request = message(fields, question_max_chars);
            Incoming { request_id, request }
        }
        Err(error) => Incoming { request_id: None, request: Err(error) },
    }
}

fn message(
    mut fields: Fields,
    question_max_chars: usize,
) -> Result<(Request, &'static SocketMessage), ApiError> {
    const NAME_MAX_CHARS: usize = 64;
    let name = fields.text("type", NAME_MAX_CHARS)?;
    let entry = MESSAGES.iter().find(|message| message.name == name).ok_or_else(|| {
        let names: Vec<&str> = MESSAGES.iter().map(|message| message.name).collect();
        ApiError::invalid("type", &format!("one of {}", names.join(", ")))
    })?;
    let request = match entry.name {
        "ask" => Request::Ask {
            conversation_id: fields.id("conversation_id")?,
            content: fields.text("content", question_max_chars)?,
        },
        "subscribe" => Request::Subscribe {
            job_id: fields.id("job_id")?,
            after: fields.optional_parsed("after", "the id of an event, such as 1-42")?,
        },
        "unsubscribe" => Request::Unsubscribe { job_id: fields.id("job_id")? },
        "follow" => Request::Follow { conversation_id: fields.id("conversation_id")? },
        "unfollow" => Request::Unfollow { conversation_id: fields.id("conversation_id")? },
        "cancel" => Request::Cancel { job_id: fields.id("job_id")? },
        "ping" => Request::Ping,
        _ => return Err(ApiError::new(Code::Internal, "a frame without a reader")),
    };
    fields.finish()?;
    Ok((request, entry))
}

/// The answer to `ask`.
pub(super) fn accepted(request_id: Option<&str>, answer: &AcceptedQuestion) -> Value {
    json!({
        "type": "accepted",
        "request_id": request_id,
        "job_id": answer.job_id,
        "message_id": answer.message_id,
        "answer_id": answer.answer_id,
    })
}

/// The answer to `follow`: the events of every question of the conversation come from now
/// on.
pub(super) fn following(conversation_id: ConversationId) -> Value {
    json!({ "type": "following", "conversation_id": conversation_id })
}

/// An event of a watched job.
pub(super) fn event(job_id: JobId, event: &NumberedEvent) -> Value {
    json!({ "type": "event", "job_id": job_id, "id": event.id, "event": event.event })
}

/// Events of a watched job are gone.
pub(super) fn gap(job_id: JobId) -> Value {
    json!({ "type": "gap", "job_id": job_id })
}

/// The answer to `ping`.
pub(super) fn pong() -> Value {
    json!({ "type": "pong" })
}

/// The process goes away, and the close frame is next: connect again, after this long so
/// that not everybody comes at once, and subscribe after the last event that was heard.
pub(super) fn going_away(reconnect_after: Duration) -> Value {
    json!({ "type": "going_away", "reconnect_after_ms": reconnect_after.as_millis() })
}

/// What is wrong with a frame.
pub(super) fn error(request_id: Option<&str>, problem: &ApiError) -> Value {
    json!({ "type": "error", "request_id": request_id, "problem": problem.document() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "018f0000-0000-7000-8000-000000000001";

    fn field(text: &str) -> Option<String> {
        read(text, 10).request.unwrap_err().field
    }

    #[test]
    fn every_message_of_the_table_is_read() {
        for message in socket_messages() {
            let text = match message.name {
                "ask" => format!(r#"{{"type":"ask","conversation_id":"{ID}","content":"x"}}"#),
                "ping" => r#"{"type":"ping"}"#.to_owned(),
                name @ ("follow" | "unfollow") => {
                    format!(r#"{{"type":"{name}","conversation_id":"{ID}"}}"#)
                }
                name => format!(r#"{{"type":"{name}","job_id":"{ID}"}}"#),
            };
            let (_, entry) = read(&text, 10).request.unwrap();
            assert_eq!(entry.name, message.name);
        }
    }

    #[test]
    fn a_bad_frame_names_its_field_and_keeps_its_request_id() {
        assert_eq!(field(r#"{"type":"shout"}"#).as_deref(), Some("type"));
        assert_eq!(field("{}").as_deref(), Some("type"));
        assert_eq!(field(r#"{"type":"ping","x":1}"#).as_deref(), Some("x"));
        assert_eq!(field(r#"{"type":"subscribe","job_id":7}"#).as_deref(), Some("job_id"));
        let bad = format!(r#"{{"type":"subscribe","job_id":"{ID}","after":"x","request_id":"r"}}"#);
        assert_eq!(field(&bad).as_deref(), Some("after"));
        assert_eq!(read(&bad, 10).request_id.as_deref(), Some("r"));
        let long = format!(r#"{{"type":"ping","request_id":"{}"}}"#, "r".repeat(129));
        assert_eq!(field(&long).as_deref(), Some("request_id"));
    }
}
