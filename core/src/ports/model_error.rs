//! Why a model gave nothing. The class decides what is done about it.

use std::fmt;
use std::time::Duration;

/// What went wrong between us and a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The provider has too much to do, or we ask too often (429, 503, 529).
    Overloaded,
    /// It cannot be reached, failed within (5xx), or broke off.
    Unavailable,
    /// It did not answer in time.
    TooSlow,
    /// It answered something that is no answer.
    Malformed,
    /// It answered, and what it sends is not what was asked for, now and later: vectors of
    /// another length, numbers that are none.
    Unusable,
    /// What was paid for is used up; waiting does not help.
    Quota,
    /// It does not accept the key.
    Credentials,
    /// It does not accept the request (other 4xx).
    Refused,
    /// The prompt is longer than the model reads.
    TooLong,
    /// It withholds the answer.
    Filtered,
    /// It was not asked: it failed too often just now.
    BreakerOpen,
    /// It was not asked: our own limit of requests or tokens a minute is reached.
    LimitReached,
    /// It was not asked: the budget is spent.
    OverBudget,
    /// It was not asked: the request could not be written down before.
    NotSent,
}

impl ErrorClass {
    /// Whether the same request may be answered later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Overloaded
            | Self::Unavailable
            | Self::TooSlow
            | Self::Malformed
            | Self::BreakerOpen
            | Self::LimitReached
            | Self::NotSent => true,
            Self::Unusable
            | Self::Quota
            | Self::Credentials
            | Self::Refused
            | Self::TooLong
            | Self::Filtered
            | Self::OverBudget => false,
        }
    }

    /// Whether a request was sent at all.
    #[must_use]
    pub fn was_sent(self) -> bool {
        !matches!(self, Self::BreakerOpen | Self::LimitReached | Self::OverBudget | Self::NotSent)
    }

    /// The name in logs, metrics and problems.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::TooSlow => "too_slow",
            Self::Malformed => "malformed",
            Self::Unusable => "unusable",
            Self::Quota => "quota",
            Self::Credentials => "credentials",
            Self::Refused => "refused",
            Self::TooLong => "too_long",
            Self::Filtered => "filtered",
            Self::BreakerOpen => "breaker_open",
            Self::LimitReached => "limit_reached",
            Self::OverBudget => "over_budget",
            Self::NotSent => "not_sent",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "has too much to do",
            Self::Unavailable => "cannot answer now",
            Self::TooSlow => "did not answer in time",
            Self::Malformed => "sent an answer that cannot be read",
            Self::Unusable => "sent what is not what it was asked for",
            Self::Quota => "has no quota left for this key",
            Self::Credentials => "does not accept the key",
            Self::Refused => "refused the request",
            Self::TooLong => "cannot read a prompt of this length",
            Self::Filtered => "withheld the answer",
            Self::BreakerOpen => "is not asked, because it failed too often just now",
            Self::LimitReached => "is not asked, because its limit a minute is reached",
            Self::OverBudget => "is not asked, because the budget is spent",
            Self::NotSent => "is not asked, because what it costs could not be written down",
        })
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A model gave no answer, no vectors or no order. Neither the text nor the sources of
/// such an error hold a key, a prompt, or what a document says.
#[derive(Debug, thiserror::Error)]
#[error("{provider} {class}{}", told(.reason))]
pub struct ModelError {
    /// `provider:model`.
    pub provider: String,
    /// What went wrong.
    pub class: ErrorClass,
    /// In words for an operator; may be empty.
    pub reason: String,
    /// The provider's own id of the request, where it told one.
    pub request_id: Option<String>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The cause.
    #[source]
    pub source: Option<Cause>,
}

fn told(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl ModelError {
    /// An error of `provider:model`.
    #[must_use]
    pub fn new(provider: impl Into<String>, class: ErrorClass) -> Self {
        Self {
            provider: provider.into(),
            class,
            reason: String::new(),
            request_id: None,
            retry_after: None,
            source: None,
        }
    }

    /// With words for an operator: no secret, no prompt.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// With its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With how long the provider asks to be left alone.
    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// With the provider's own id of the request.
    #[must_use]
    pub fn of_request(mut self, id: Option<String>) -> Self {
        self.request_id = id;
        self
    }
}
