//! Tells which class an error of the provider is of.

use std::time::Duration;

use async_openai::error::OpenAIError;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use reqwest::StatusCode;

use super::transport::{ErrorDetail, Rejected};

/// Makes errors in the name of one model.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    pub(super) name: String,
}

/// The provider reported an error within its answer.
#[derive(Debug, thiserror::Error)]
#[error("the provider reported an error in its stream{}", .0.as_deref().map(|c| format!(" ({c})")).unwrap_or_default())]
struct Reported(Option<String>);

/// The stream ended before the answer did.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off before the answer was finished")]
struct BrokenOff;

/// The text of an error that has the key or the prompt in it is never kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(&'static str);

impl Failures {
    pub(super) fn new(name: String) -> Self {
        Self { name }
    }

    pub(super) fn class(&self, class: ErrorClass) -> ModelError {
        ModelError::new(&self.name, class)
    }

    pub(super) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ModelError {
        self.class(ErrorClass::Unavailable).caused_by(source)
    }

    pub(super) fn refused(&self, reason: String) -> ModelError {
        self.class(ErrorClass::Refused).because(reason)
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> ModelError {
        self.class(ErrorClass::Malformed).because(reason)
    }

    pub(super) fn broken_off(&self) -> ModelError {
        self.unavailable(BrokenOff)
    }

    /// An error within a stream that began well.
    pub(super) fn reported(&self, detail: &ErrorDetail) -> ModelError {
        let word = detail.word();
        let class = word.as_deref().and_then(class_of).unwrap_or(ErrorClass::Unavailable);
        self.class(class).caused_by(Reported(word))
    }

    /// An error of the client.
    pub(super) fn of(&self, error: OpenAIError) -> ModelError {
        match error {
            OpenAIError::Boxed(error) => match error.downcast::<Rejected>() {
                Ok(rejected) => self.rejected(&rejected),
                Err(error) => self.unavailable(error),
            },
            // The address may hold a secret in its query.
            OpenAIError::Reqwest(error) if error.is_builder() => {
                self.refused(format!("the request cannot be made: {}", error.without_url()))
            }
            OpenAIError::Reqwest(error) => self.unavailable(error.without_url()),
            OpenAIError::ApiError(error) => self.rejected(&Rejected {
                status: error.status_code,
                code: error.api_error.code.or(error.api_error.r#type),
                retry_after_ms: None,
            }),
            // What could not be read may be the answer, or words of a document.
            OpenAIError::JSONDeserialize(error, _) => self.malformed(format!(
                "no JSON of the expected shape ({:?} at column {})",
                error.classify(),
                error.column()
            )),
            OpenAIError::StreamError(_) => self.unavailable(Told("the stream of events broke off")),
            OpenAIError::InvalidArgument(_) => {
                self.refused("the request cannot be made: an argument is not valid".to_owned())
            }
            OpenAIError::FileSaveError(_) | OpenAIError::FileReadError(_) => {
                self.malformed("the client spoke of files")
            }
        }
    }

    fn rejected(&self, rejected: &Rejected) -> ModelError {
        let status = rejected.status;
        let by_status = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ErrorClass::Overloaded
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorClass::Credentials,
            StatusCode::PAYMENT_REQUIRED => ErrorClass::Quota,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => ErrorClass::Unavailable,
            status if status.as_u16() == 529 => ErrorClass::Overloaded,
            status if status.is_server_error() => ErrorClass::Unavailable,
            _ => ErrorClass::Refused,
        };
        // A quota that is used up is told as 429, but does not come back by waiting.
        let class = match rejected.code.as_deref().and_then(class_of) {
            Some(class) if !status.is_server_error() => class,
            _ => by_status,
        };
        let after = rejected.retry_after_ms.map(Duration::from_millis);
        self.class(class).because(rejected.to_string()).retry_after(after)
    }
}

/// What a provider's own word for an error says about it, where it says anything.
fn class_of(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "insufficient_quota" | "billing_hard_limit_reached" => ErrorClass::Quota,
        "invalid_api_key" => ErrorClass::Credentials,
        "context_length_exceeded" => ErrorClass::TooLong,
        "content_policy_violation" | "content_filter" => ErrorClass::Filtered,
        "invalid_request_error" | "model_not_found" => ErrorClass::Refused,
        "rate_limit_exceeded" | "overloaded_error" => ErrorClass::Overloaded,
        _ => return None,
    })
}
