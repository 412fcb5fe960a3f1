//! Errors as clients see them: one table of codes, one form of document (RFC 9457).

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quaestor_core::clock::Time;
use quaestor_core::model::OverBudget;
use quaestor_core::ports::noticeboard::NoticeboardError;
use quaestor_core::ports::objects::ObjectError;
use quaestor_core::ports::store::StoreError;
use quaestor_core::retrieval::SearchError;
use serde_json::{Value, json};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// Every problem that the front answers with. The code is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        /// Every code there is.
        pub const ALL_CODES: &[Code] = &[$(Code::$name,)*];

        impl Code {
            /// The name in problem documents.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status of a response with it.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// One line, the same for every problem of this code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// No key, or none that is known and in force.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid API key is needed";
    /// The role may not do this.
    Forbidden = "forbidden", FORBIDDEN, "The key's role does not allow this";
    /// The page that opened the socket is not one of ours.
    OriginRefused = "origin_refused", FORBIDDEN, "Pages of this origin may not connect";
    /// A link to a file whose time is over.
    LinkExpired = "link_expired", FORBIDDEN, "The link has expired";
    /// No such thing for this caller.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// No such path.
    UnknownRoute = "unknown_route", NOT_FOUND, "No such path";
    /// The path exists, not with this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path has no such method";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long to arrive";
    /// Something of this name exists.
    Conflict = "conflict", CONFLICT, "Already there";
    /// A collection whose next index generation is being built already.
    ReindexUnderWay = "reindex_under_way", CONFLICT, "The collection is being reindexed";
    /// A collection that has no index generation of the state that is asked for.
    NoGeneration = "no_such_generation", CONFLICT, "There is no such index generation";
    /// A former index generation that has to be dropped first.
    FormerInTheWay = "former_generation_kept", CONFLICT,
        "The former index generation is in the way";
    /// A batch that takes no more files.
    BatchClosed = "batch_closed", CONFLICT, "The batch takes no more files";
    /// A batch whose files have ended, or that was cancelled.
    BatchEnded = "batch_ended", CONFLICT, "The batch has ended";
    /// A body or file above its limit.
    TooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "Too large";
    /// A body of another type than the route reads.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "The body's media type is not supported";
    /// A range that the file does not have.
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE,
        "The file does not have this range";
    /// A body that is no JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "The body is not valid JSON";
    /// A multipart body that breaks off or is none.
    InvalidMultipart = "invalid_multipart", BAD_REQUEST, "The multipart body cannot be read";
    /// A field that must be there is not.
    MissingField = "missing_field", UNPROCESSABLE_ENTITY, "A field is missing";
    /// A field or parameter that the route does not know.
    UnknownField = "unknown_field", UNPROCESSABLE_ENTITY, "A field is not known";
    /// A field of the wrong type or outside its bounds.
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field is not valid";
    /// The same key with another body.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "The idempotency key was used for another request";
    /// A plain request to the WebSocket's path.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, "This path is a WebSocket";
    /// A WebSocket frame that is no text.
    UnsupportedFrame = "unsupported_frame", BAD_REQUEST, "The frame is not supported";
    /// One socket watches too many jobs.
    TooManySubscriptions = "too_many_subscriptions", TOO_MANY_REQUESTS,
        "The socket watches too many jobs";
    /// A budget is used up.
    OverBudget = "over_budget", PAYMENT_REQUIRED, "The budget is used up";
    /// Above the quota.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The workspace has as much unfinished work as it may.
    WorkspaceBusy = "workspace_busy", TOO_MANY_REQUESTS,
        "The workspace has too much unfinished work";
    /// Too much accepted work waits for a worker, or for the queue.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much work waits";
    /// A service behind is busy or away.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Not available now";
    /// A fault of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong on the server";
}

/// An error of a route or of a WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// Which problem.
    pub(crate) code: Code,
    /// What happened this time, and what mends it.
    pub(crate) detail: String,
    /// The field or parameter that is wrong.
    pub(crate) field: Option<String>,
    /// When to come again.
    pub(crate) retry_after: Option<Duration>,
    /// The id that is not there for the caller, for the audit log.
    pub(crate) denied: Option<String>,
}

/// Rides on a response, for the audit log: the id that was not there for the caller.
#[derive(Clone, Debug)]
pub(crate) struct Denied(pub(crate) String);

/// Rides on a response whose body is this problem document, for who knows the request's ids.
#[derive(Clone, Debug)]
struct Told(Value);

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), field: None, retry_after: None, denied: None }
    }

    /// An error that names the field at fault.
    pub(crate) fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(code, detail) }
    }

    /// A field of the wrong type or outside its bounds.
    pub(crate) fn invalid(field: impl Into<String>, wanted: &str) -> Self {
        let field = field.into();
        let detail = format!("`{field}` must be {wanted}");
        Self::field(Code::InvalidField, field, detail)
    }

    /// The same answer for what is missing and for what is another's.
    pub(crate) fn missing(what: &str, id: impl std::fmt::Display) -> Self {
        let mut error = Self::new(Code::NotFound, format!("there is no {what} with this id"));
        error.denied = Some(id.to_string());
        error
    }

    /// The workspace has as much unfinished work as it may: `what` says of which sort.
    pub(crate) fn workspace_busy(what: &str, retry_after: Duration) -> Self {
        let detail = format!("{what}; nothing was accepted now, come again when some have ended");
        let mut error = Self::new(Code::WorkspaceBusy, detail);
        error.retry_after = Some(retry_after);
        error
    }

    /// Too much accepted work waits for a worker, or for the queue, which may be away.
    pub(crate) fn overloaded(retry_after: Duration) -> Self {
        let mut error = Self::new(
            Code::Overloaded,
            "too much accepted work waits for a worker; nothing was accepted now, come again later",
        );
        error.retry_after = Some(retry_after);
        error
    }

    pub(crate) fn rate_limited(retry_after: Duration) -> Self {
        let seconds = seconds_up(retry_after);
        let mut error =
            Self::new(Code::RateLimited, format!("try again in {seconds} s; the quota is used up"));
        error.retry_after = Some(retry_after);
        error
    }

    /// A budget is used up until it begins anew.
    pub(crate) fn over_budget(over: &OverBudget, now: Time) -> Self {
        let mut error = Self::new(Code::OverBudget, over.problem().detail);
        error.retry_after = (over.resets_at - now).to_std().ok();
        error
    }

    /// A fault of ours, logged here with its cause and told without it.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "a request failed: {error}");
        Self::new(Code::Internal, "the fault is in the server's log under this request's id")
    }

    pub(crate) fn unavailable(error: &(dyn Error + 'static)) -> Self {
        tracing::warn!(error = %chain(error), "a request was put off: {error}");
        let mut answer = Self::new(Code::Unavailable, "a service behind is busy; try again soon");
        answer.retry_after = Some(Duration::from_secs(1));
        answer
    }

    /// The process ends before the request has arrived.
    pub(crate) fn leaving() -> Self {
        let mut answer = Self::new(
            Code::Unavailable,
            "this process is being stopped and the request had not arrived whole: nothing of it \
             was kept, send it again",
        );
        answer.retry_after = Some(Duration::from_secs(1));
        answer
    }

    /// The problem document.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:quaestor:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
        });
        if let Some(field) = &self.field {
            document["field"] = json!(field);
        }
        if let Some(wait) = self.retry_after {
            document["retry_after_s"] = json!(seconds_up(wait));
        }
        document
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let document = self.document();
        let mut response = Response::new(Body::from(document.to_string()));
        response.extensions_mut().insert(Told(document));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
        }
        if self.code == Code::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="quaestor""#),
            );
        }
        if let Some(subject) = self.denied {
            response.extensions_mut().insert(Denied(subject));
        }
        response
    }
}

/// Writes into a problem document under which ids the log and the traces have the request, so
/// that an error that was copied into a ticket is enough to find both.
pub(crate) fn name_request(response: &mut Response, request: &str, trace: Option<&str>) {
    let Some(Told(mut document)) = response.extensions_mut().remove::<Told>() else { return };
    document["request_id"] = json!(request);
    if let Some(trace) = trace {
        document["trace_id"] = json!(trace);
    }
    *response.body_mut() = Body::from(document.to_string());
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { what } => {
                Self::new(Code::Conflict, format!("there is already {what}"))
            }
            StoreError::Unavailable { .. } => Self::unavailable(&error),
            StoreError::Fenced | StoreError::Corrupt { .. } | StoreError::Failed { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<NoticeboardError> for ApiError {
    fn from(error: NoticeboardError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Store(error) => error.into(),
            SearchError::Embed(_) => Self::unavailable(&error),
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        match &error {
            ObjectError::TooLarge { limit_bytes } => Self::field(
                Code::TooLarge,
                "file",
                format!("a file may have at most {limit_bytes} bytes"),
            ),
            ObjectError::Source(_) => {
                Self::new(Code::InvalidMultipart, "the upload broke off before its end")
            }
            ObjectError::Missing(_) | ObjectError::BadKey | ObjectError::Io { .. } => {
                Self::internal(&error)
            }
        }
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn seconds_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_named_once_and_is_an_error() {
        let mut names: Vec<_> = ALL_CODES.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL_CODES.len());
        assert!(ALL_CODES.iter().all(|code| code.status().as_u16() >= 400));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_never_too_few() {
        let error = ApiError::rate_limited(Duration::from_millis(1_200));
        assert_eq!(error.document()["retry_after_s"], 2);
        assert_eq!(error.into_response().headers()["retry-after"], "2");
    }
}
