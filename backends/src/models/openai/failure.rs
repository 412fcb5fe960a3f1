//! Tells which class an error of the provider is of.

use async_openai::error::OpenAIError;
use quaestor_core::ports::chat_model::ModelError;
use reqwest::StatusCode;

use super::transport::{ErrorDetail, Rejected};

/// Makes errors in the name of one model.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    pub(super) name: String,
}

/// The provider took too long.
#[derive(Debug, thiserror::Error)]
#[error("no {0} came in time")]
struct TooSlow(&'static str);

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

    pub(super) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ModelError {
        ModelError::Unavailable {
            provider: self.name.clone(),
            retry_after_ms: None,
            source: source.into(),
        }
    }

    pub(super) fn refused(&self, reason: String) -> ModelError {
        ModelError::Refused { provider: self.name.clone(), reason }
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Malformed { provider: self.name.clone(), reason: reason.into() }
    }

    pub(super) fn too_slow(&self, what: &'static str) -> ModelError {
        self.unavailable(TooSlow(what))
    }

    pub(super) fn broken_off(&self) -> ModelError {
        self.unavailable(BrokenOff)
    }

    /// An error within a stream that began well.
    pub(super) fn reported(&self, detail: &ErrorDetail) -> ModelError {
        let word = detail.word();
        if word.as_deref().is_some_and(is_final) {
            return self.refused(Reported(word).to_string());
        }
        self.unavailable(Reported(word))
    }

    /// An error of the client.
    pub(super) fn of(&self, error: OpenAIError) -> ModelError {
        match error {
            OpenAIError::Boxed(error) => match error.downcast::<Rejected>() {
                Ok(rejected) => self.rejected(*rejected),
                Err(error) => self.unavailable(error),
            },
            // The address may hold a secret in its query.
            OpenAIError::Reqwest(error) if error.is_builder() => {
                self.refused(format!("the request cannot be made: {}", error.without_url()))
            }
            OpenAIError::Reqwest(error) => self.unavailable(error.without_url()),
            OpenAIError::ApiError(error) => self.rejected(Rejected {
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

    fn rejected(&self, rejected: Rejected) -> ModelError {
        let status = rejected.status;
        let later = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || status == StatusCode::CONFLICT;
        // A quota that is used up is told as 429, but does not come back by waiting.
        let used_up = rejected.code.as_deref().is_some_and(is_final) && !status.is_server_error();
        if later && !used_up {
            return ModelError::Unavailable {
                provider: self.name.clone(),
                retry_after_ms: rejected.retry_after_ms,
                source: rejected.into(),
            };
        }
        self.refused(rejected.to_string())
    }
}

/// Codes of errors that stay what they are, however often one asks.
fn is_final(code: &str) -> bool {
    matches!(
        code,
        "insufficient_quota"
            | "billing_hard_limit_reached"
            | "invalid_api_key"
            | "invalid_request_error"
            | "context_length_exceeded"
            | "model_not_found"
            | "content_policy_violation"
            | "content_filter"
    )
}
