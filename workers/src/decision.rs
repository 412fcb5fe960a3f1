//! How a handler ends: what it answers, and what an error decides about the job.

use std::time::Duration;

use quaestor_core::events::Event;
use quaestor_core::model::Reason;
use quaestor_core::ports::event_log::EventLogError;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::objects::ObjectError;
use quaestor_core::ports::store::StoreError;
use quaestor_core::problem::Problem;
use quaestor_core::retrieval::SearchError;

use crate::following::Next;

/// A handler that did its work. What it stored is committed already.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The job has ended in the store; these events tell the watchers.
    Ended(Vec<Event>),
    /// The next step stands in the outbox.
    Advanced,
    /// The next step is this process's own, which goes on with it at once.
    Followed(Box<Next>),
    /// What the job was about is gone: nothing to do, and nothing went wrong.
    SubjectGone,
}

/// What is done about a job whose handler did not do its work.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Tried again after a while; the reason is shown meanwhile.
    Retry {
        /// Machine-readable: `store_unavailable`, `model_unavailable`.
        reason: &'static str,
        /// Not before this has passed; by the number of attempts where none is given.
        after: Option<Duration>,
        /// What goes wrong, for the log and for the dead letter.
        error: BoxError,
    },
    /// Goes on later, though nothing went wrong: it counts as no try.
    PutOff {
        /// Why, as it is shown meanwhile.
        reason: Reason,
        /// Not before this has passed.
        after: Duration,
    },
    /// Ends as failed: trying again is of no use.
    Fail(Problem),
    /// Somebody else holds the job by now: stop, write nothing.
    Fenced,
    /// The job was cancelled while it ran.
    Cancelled,
}

/// An error whose type no one needs to know.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Decision {
    /// Tried again, at a pace that follows from the attempts.
    pub(crate) fn retry(
        reason: &'static str,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Retry { reason, after: None, error: Box::new(error) }
    }

    /// Tried again when the model may answer.
    fn wait(reason: &'static str, error: ModelError) -> Self {
        Self::Retry { reason, after: error.retry_after, error: Box::new(error) }
    }
}

impl From<StoreError> for Decision {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            error @ StoreError::Unavailable { .. } => Self::retry("store_unavailable", error),
            error @ (StoreError::Conflict { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Failed { .. }) => Self::retry("store_failed", error),
        }
    }
}

impl From<EventLogError> for Decision {
    fn from(error: EventLogError) -> Self {
        Self::retry("events_unavailable", error)
    }
}

impl From<ObjectError> for Decision {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(_) | ObjectError::BadKey => Self::Fail(Problem::new(
                "file_missing",
                "The stored file is gone",
                "the uploaded file is no longer in the object store; upload it again",
            )),
            error => Self::retry("objects_unavailable", error),
        }
    }
}

impl From<ModelError> for Decision {
    fn from(error: ModelError) -> Self {
        let (code, title, mend) = match error.class {
            ErrorClass::Overloaded => return Self::wait("model_overloaded", error),
            ErrorClass::Unavailable => return Self::wait("model_unavailable", error),
            ErrorClass::TooSlow => return Self::wait("model_too_slow", error),
            ErrorClass::Malformed => return Self::wait("model_malformed", error),
            ErrorClass::BreakerOpen => return Self::wait("model_breaker_open", error),
            ErrorClass::LimitReached => return Self::wait("model_limit_reached", error),
            ErrorClass::NotSent => return Self::wait("store_unavailable", error),
            ErrorClass::Unusable => (
                "model_unusable",
                "The model does not give what it is configured for",
                "name another model, or set `models.embed_dimensions` to its length",
            ),
            ErrorClass::Quota => (
                "model_quota",
                "The model's quota is used up",
                "raise the quota at the provider, or name another model in `models.chat`",
            ),
            ErrorClass::Credentials => (
                "model_credentials",
                "The model's provider does not accept the key",
                "an administrator sets a valid key",
            ),
            ErrorClass::Refused => (
                "model_refused",
                "The model refused the request",
                "check the model's name and configuration",
            ),
            ErrorClass::TooLong => (
                "model_prompt_too_long",
                "The question and its passages are longer than the model reads",
                "ask a shorter question, or lower `models.prompt.passage_tokens`",
            ),
            ErrorClass::Filtered => {
                ("content_filtered", "The provider withheld the answer", "ask in other words")
            }
            ErrorClass::OverBudget => (
                "over_budget",
                "The budget is spent",
                "an administrator raises it, or the question waits for the next day or month",
            ),
        };
        Self::Fail(Problem::new(code, title, format!("{error}; {mend}")))
    }
}

impl From<SearchError> for Decision {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Store(error) => error.into(),
            SearchError::Embed(error) => error.into(),
        }
    }
}

/// How long a step waits before it is tried again for the `attempt`-th time: doubling
/// from one second, at most a minute.
pub(crate) fn pause_before_retry(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(6);
    Duration::from_secs(1_u64 << doublings).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_a_minute() {
        let pauses: Vec<u64> =
            [1, 2, 3, 7, 8, 100].iter().map(|n| pause_before_retry(*n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 60, 60, 60]);
    }
}
