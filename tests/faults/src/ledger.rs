//! What the clients of a run were promised and saw: one side of the conservation check.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An event as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The attempt that its id names.
    pub attempt: u32,
    /// Its number within the attempt.
    pub seq: u64,
    /// `token`, `done`, …
    pub kind: String,
    /// A token's text.
    pub text: String,
}

/// A question that was accepted, and what its client saw of it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Whose it is: a place in the list of workspaces.
    pub workspace: usize,
    /// The idempotency key it was sent with, however often.
    pub key: String,
    /// The job.
    pub job: String,
    /// The answer.
    pub answer: String,
    /// In the order in which they came.
    pub events: Vec<Seen>,
    /// How often it was told that events are gone.
    pub gaps: u32,
    /// How many sockets it took.
    pub sockets: u32,
    /// From the loss of a socket to the first word on the next, each time.
    pub resumed_in: Vec<Duration>,
    /// From the question to its acceptance.
    pub accepted_in: Duration,
    /// From the question to the first token.
    pub first_token_in: Option<Duration>,
    /// From the question to its end; none where none was told.
    pub ended_in: Option<Duration>,
}

impl Asked {
    /// Whether the end was told.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.events.iter().any(|event| is_terminal(&event.kind))
    }

    /// The text, as a client that forgets what `restarted` voids has it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            match event.kind.as_str() {
                "token" => text.push_str(&event.text),
                "restarted" => text.clear(),
                _ => {}
            }
        }
        text
    }

    /// The id to resume after.
    #[must_use]
    pub fn last_id(&self) -> Option<String> {
        self.events.last().map(|event| format!("{}-{}", event.attempt, event.seq))
    }
}

/// Whether an event ends its job.
#[must_use]
pub fn is_terminal(kind: &str) -> bool {
    ["done", "failed", "cancelled"].contains(&kind)
}

/// A file that was accepted.
#[derive(Clone, Debug, Default)]
pub struct Uploaded {
    /// Whose it is.
    pub workspace: usize,
    /// The job; none where the file was a duplicate.
    pub job: String,
    /// The document.
    pub document: String,
    /// Its passages, if it is to have as many as another upload of the same text.
    pub sections: usize,
}

/// Everything that clients wrote down.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Questions.
    pub asked: Vec<Asked>,
    /// Files.
    pub uploaded: Vec<Uploaded>,
    /// Jobs of exports and reindexings.
    pub others: Vec<String>,
    /// What came to a client that is another workspace's.
    pub leaks: Vec<String>,
    /// Answers that nobody should get, such as a 400 to a good request.
    pub surprises: Vec<String>,
    /// Requests that were answered 429 or 503.
    pub refused: u64,
    /// Requests and sockets that were lost on the way.
    pub lost: u64,
}

/// The book, as all clients write it.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

impl Ledger {
    /// The book, to be written or read.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
