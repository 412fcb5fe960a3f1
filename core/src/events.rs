//! Events: what happened to a job, numbered `<attempt>-<seq>`, for whoever watches it.
//!
//! One terminal event ends a job. A job that is dead can be replayed: it then has another
//! life, under higher attempts, with a terminal event of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Time;
use crate::model::{Citation, Figure, Usage};
use crate::problem::Problem;

/// The number of an event within its job. Ordered: every claim raises the attempt, and
/// within an attempt the sequence counts from 1. The front's own `queued` is `0-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The attempt that wrote the event; 0 for what happened before the first claim.
    pub attempt: u32,
    /// Counts from 1 within the attempt.
    pub seq: u64,
}

impl EventId {
    /// The id of the `queued` event of every job.
    pub const FIRST: Self = Self { attempt: 0, seq: 1 };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.seq)
    }
}

/// An event id that is not `<attempt>-<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is `<attempt>-<seq>`, such as `1-42`")]
pub struct BadEventId;

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (attempt, seq) = text.split_once('-').ok_or(BadEventId)?;
        Ok(Self {
            attempt: attempt.parse().map_err(|_| BadEventId)?,
            seq: seq.parse().map_err(|_| BadEventId)?,
        })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What happened to a job. Exactly one of `done`, `failed` and `cancelled` ends each life
/// of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The job was accepted.
    Queued,
    /// A worker took its first step.
    Started {
        /// The attempt that started.
        attempt: u32,
        /// The W3C trace context of the step, where traces are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
    },
    /// How far a long step has come.
    Progress {
        /// Finished units.
        done: u64,
        /// All units; 0 where not known yet.
        total: u64,
        /// What is counted: `pages`, `passages`.
        unit: String,
    },
    /// The job cannot go on now, and why.
    Waiting {
        /// Machine-readable.
        reason: String,
        /// When it is tried again.
        until: Time,
    },
    /// The passages for the question are known.
    Retrieved {
        /// How many there are.
        passages: u32,
    },
    /// The next piece of the answer's text.
    Token {
        /// To be appended to what came before.
        text: String,
    },
    /// A step that had begun is run again: forget the partial text.
    Restarted {
        /// The attempt that starts anew.
        attempt: u32,
        /// The W3C trace context of the step, where traces are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
    },
    /// The answer's citations, checked.
    Citations {
        /// In the order of their ordinals.
        citations: Vec<Citation>,
        /// Every number of the answer, looked up in the cited passages.
        figures: Vec<Figure>,
    },
    /// The job ended well; its result is stored.
    Done {
        /// What it cost, for answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// The job ended badly.
    Failed {
        /// Why, and what mends it.
        problem: Problem,
    },
    /// The job was cancelled.
    Cancelled,
}

impl Event {
    /// Its kind, as it stands in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started { .. } => "started",
            Self::Progress { .. } => "progress",
            Self::Waiting { .. } => "waiting",
            Self::Retrieved { .. } => "retrieved",
            Self::Token { .. } => "token",
            Self::Restarted { .. } => "restarted",
            Self::Citations { .. } => "citations",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the event ends its job.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

/// Whether these events begin a try. Appended under a later attempt than the one that has
/// ended the job, they say that it was replayed, and the log begins anew.
#[must_use]
pub fn begins_anew(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Started { .. } | Event::Restarted { .. }))
}

/// An event with its number, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// The number.
    pub id: EventId,
    /// The event.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_ordered_by_attempt_then_sequence() {
        let ids: Vec<EventId> =
            ["0-1", "1-2", "1-10", "2-1"].iter().map(|text| text.parse().unwrap()).collect();
        assert!(ids.is_sorted());
        assert!("1".parse::<EventId>().is_err());
        assert!("1-x".parse::<EventId>().is_err());
    }

    #[test]
    fn events_are_written_as_the_contract_says() {
        let token = Event::Token { text: "a".into() };
        assert_eq!(serde_json::to_string(&token).unwrap(), r#"{"kind":"token","text":"a"}"#);
        assert_eq!(serde_json::to_string(&Event::Queued).unwrap(), r#"{"kind":"queued"}"#);
        let started = Event::Started { attempt: 2, traceparent: None };
        let json = serde_json::to_value(&started).unwrap();
        assert_eq!(json, serde_json::json!({"kind": started.name(), "attempt": 2}));
    }
}
