//! An answer that is being streamed, whichever provider's words it comes in.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{ChatDelta, FinishReason};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use tokio::time::{Instant, timeout_at};

use super::{Ended, Event, Events, Words};

/// An answer is cut here, as if the model had reached its limit.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How long a finished answer waits for the usage that may follow it.
const USAGE_WAIT: Duration = Duration::from_secs(5);

/// How long it waits for the end of the response after the end of the answer.
const DRAIN_WAIT: Duration = Duration::from_millis(100);

/// What an event means.
#[derive(Debug)]
pub(in crate::models) enum Piece {
    /// More of the answer.
    Text(String),
    /// What it cost so far; a later one replaces it.
    Usage(Usage),
    /// The model ended it.
    Finish(FinishReason),
    /// Nothing comes after this.
    End,
}

/// What is wrong with an event.
#[derive(Debug)]
pub(in crate::models) enum Trouble {
    /// It cannot be read, in words without anything of it.
    Malformed(String),
    /// It tells of an error.
    Reported(Words),
    /// The model gave up.
    BrokenOff,
}

/// How one provider's events are read.
pub(in crate::models) trait Dialect: Send + 'static {
    /// The pieces of an event, added in their order.
    fn read(&mut self, event: &Event, pieces: &mut Vec<Piece>) -> Result<(), Trouble>;
}

/// The answer in the events. What came before an error is handed on before it.
pub(in crate::models) fn deltas(
    events: Events,
    dialect: impl Dialect,
) -> BoxStream<'static, Result<ChatDelta, ModelError>> {
    let reading = Reading {
        events,
        dialect,
        ready: VecDeque::new(),
        usage_until: None,
        answer_bytes: 0,
        finish: None,
        usage: None,
        ended: false,
    };
    stream::unfold(reading, Reading::next).boxed()
}

struct Reading<D> {
    events: Events,
    dialect: D,
    /// Read and not yet handed on; at most what one event holds.
    ready: VecDeque<Result<ChatDelta, ModelError>>,
    /// Set when the answer is whole and only its usage is missing.
    usage_until: Option<Instant>,
    answer_bytes: usize,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    ended: bool,
}

impl<D: Dialect> Reading<D> {
    async fn next(mut self) -> Option<(Result<ChatDelta, ModelError>, Self)> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some((delta, self));
            }
            if self.ended {
                return None;
            }
            let event = match self.usage_until {
                Some(until) => {
                    timeout_at(until, self.events.next()).await.unwrap_or(Err(Ended::Whole))
                }
                None => self.events.next().await,
            };
            self.take(event).await;
        }
    }

    /// Takes in what came: an event, or the end of them.
    async fn take(&mut self, event: Result<Event, Ended>) {
        let event = match (event, self.finish) {
            (Ok(event), _) => event,
            // Whatever happens after the reason: the answer is whole.
            (Err(_), Some(reason)) => return self.finish(reason),
            (Err(Ended::Whole), None) => return self.fail(self.broken_off()),
            (Err(Ended::Failed(error)), None) => return self.fail(error),
            (Err(Ended::TooLong(_)), None) if self.answer_bytes > 0 => {
                return self.finish(FinishReason::Length);
            }
            (Err(Ended::TooLong(what)), None) => {
                return self.fail(self.events.opened.malformed(what));
            }
        };
        let mut pieces = Vec::new();
        let read = self.dialect.read(&event, &mut pieces);
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    if self.text(text) {
                        return self.finish(FinishReason::Length);
                    }
                }
                Piece::Usage(usage) => self.usage = Some(usage),
                Piece::Finish(reason) => {
                    self.finish = Some(reason);
                    self.usage_until = Some(Instant::now() + USAGE_WAIT);
                }
                Piece::End => {
                    self.events.drain(DRAIN_WAIT).await;
                    return match self.finish {
                        Some(reason) => self.finish(reason),
                        None if self.answer_bytes > 0 => self.fail(self.broken_off()),
                        None => self.fail(self.nothing()),
                    };
                }
            }
        }
        if let Err(trouble) = read
            && self.finish.is_none()
        {
            let error = match trouble {
                Trouble::Malformed(reason) => self.events.opened.malformed(reason),
                Trouble::Reported(words) => self.events.opened.reported(&words),
                Trouble::BrokenOff => self.broken_off(),
            };
            self.fail(error);
        }
    }

    /// Hands text on as far as an answer may be long. Whether that is reached.
    fn text(&mut self, mut text: String) -> bool {
        let left = MAX_ANSWER_BYTES - self.answer_bytes;
        let full = text.len() > left;
        if full {
            text.truncate(text.floor_char_boundary(left));
        }
        self.answer_bytes += text.len();
        if !text.is_empty() {
            self.ready.push_back(Ok(ChatDelta::Text(text)));
        }
        full
    }

    fn finish(&mut self, reason: FinishReason) {
        self.ready.push_back(Ok(ChatDelta::Finished { reason, usage: self.usage.take() }));
        self.ended = true;
    }

    fn fail(&mut self, error: ModelError) {
        self.ready.push_back(Err(error));
        self.ended = true;
    }

    fn broken_off(&self) -> ModelError {
        self.events
            .opened
            .error(ErrorClass::Unavailable)
            .because("the stream broke off before the answer was finished")
    }

    /// The stream said that it is at its end, and there was no answer in it.
    fn nothing(&self) -> ModelError {
        self.events.opened.error(ErrorClass::Refused).because("it ended its answer without one")
    }
}
