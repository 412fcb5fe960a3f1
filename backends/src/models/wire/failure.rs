//! Of which class is what a provider answered instead of an answer?

use quaestor_core::ports::model_error::ErrorClass;
use serde_json::Value;

/// The provider's own words for an error: codes and types, such as `insufficient_quota`.
/// Never its message, which may repeat the prompt, or parts of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::models) struct Words {
    words: Vec<String>,
    /// What the message was seen to say, where no code says it.
    meant: Option<ErrorClass>,
}

/// What a word may be long.
const MAX_WORD: usize = 40;

/// How messages begin or what they hold where a provider has no code for it. Anthropic
/// tells the first two, the servers of local models the others.
const MEANINGS: [(&str, ErrorClass); 5] = [
    ("prompt is too long", ErrorClass::TooLong),
    ("credit balance is too low", ErrorClass::Quota),
    ("maximum context length", ErrorClass::TooLong),
    ("context size has been exceeded", ErrorClass::TooLong),
    ("exceeds the available context size", ErrorClass::TooLong),
];

impl Words {
    /// The words of a body or an event, in any of the shapes that providers have.
    pub(in crate::models) fn of(body: &Value) -> Self {
        let error = &body["error"];
        let places = [
            error,
            &error["code"],
            &error["type"],
            &error["status"],
            &error["innererror"]["code"],
            &body["code"],
            &body["error_type"],
            &body["type"],
        ];
        let words = places.into_iter().filter_map(word).filter(|word| word != "error").collect();
        let messages = [&error["message"], error, &body["message"], &body["detail"]];
        let meant = messages.into_iter().filter_map(Value::as_str).find_map(|message| {
            let message = message.to_ascii_lowercase();
            MEANINGS.iter().find(|(said, _)| message.contains(said)).map(|(_, class)| *class)
        });
        Self { words, meant }
    }

    /// The word to show, where there is one.
    pub(in crate::models) fn first(&self) -> Option<&str> {
        self.words.first().map(String::as_str)
    }

    fn class(&self) -> Option<ErrorClass> {
        self.words.iter().find_map(|word| class_of_word(word)).or(self.meant)
    }

    /// The class of an error within a stream that began well.
    pub(in crate::models) fn class_in_stream(&self) -> ErrorClass {
        let by_number = self.words.iter().find_map(|word| word.parse().ok()).map(class_of_status);
        self.class().or(by_number).unwrap_or(ErrorClass::Unavailable)
    }

    /// The class of a response with this status.
    pub(in crate::models) fn class_with(&self, status: u16) -> ErrorClass {
        match self.class() {
            // A quota that is used up is told as 429, but does not come back by waiting.
            Some(class) if !(500..600).contains(&status) => class,
            _ => class_of_status(status),
        }
    }
}

/// A word, if it looks like one: a name of letters, or a short number. What has both may
/// be a key that the server repeats.
fn word(value: &Value) -> Option<String> {
    let word = match value {
        Value::String(word) => word.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let letters = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name = (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(letters);
    let is_number = (1..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    (is_name || is_number).then_some(word)
}

fn class_of_status(status: u16) -> ErrorClass {
    match status {
        429 | 503 | 529 => ErrorClass::Overloaded,
        401 | 403 => ErrorClass::Credentials,
        402 => ErrorClass::Quota,
        413 => ErrorClass::TooLong,
        408 | 409 | 425 | 500..=599 => ErrorClass::Unavailable,
        _ => ErrorClass::Refused,
    }
}

/// What a provider's own word says, where it says more than the status.
fn class_of_word(word: &str) -> Option<ErrorClass> {
    Some(match word {
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_error"
        | "quota_exceeded" => ErrorClass::Quota,
        "invalid_api_key"
        | "authentication_error"
        | "permission_error"
        | "invalid_client"
        | "unauthorized_client" => ErrorClass::Credentials,
        "context_length_exceeded"
        | "request_too_large"
        | "string_above_max_length"
        | "exceed_context_size_error" => ErrorClass::TooLong,
        "content_policy_violation" | "content_filter" | "ResponsibleAIPolicyViolation" => {
            ErrorClass::Filtered
        }
        "model_not_found" | "DeploymentNotFound" | "not_found_error" => ErrorClass::Refused,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "RateLimitReached"
        | "overloaded_error"
        | "overloaded"
        | "server_overloaded" => ErrorClass::Overloaded,
        "server_error" | "api_error" | "timeout_error" => ErrorClass::Unavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_class_follows_from_the_code_and_else_from_the_status() {
        use ErrorClass::{Credentials, Filtered, Overloaded, Quota, Refused, TooLong, Unavailable};
        for (status, body, wanted) in [
            (429, json!({"error": {"code": "rate_limit_exceeded"}}), Overloaded),
            (429, json!({"error": {"type": "insufficient_quota", "code": null}}), Quota),
            (400, json!({"error": {"code": "context_length_exceeded"}}), TooLong),
            (
                400,
                json!({"type": "error", "error": {"type": "invalid_request_error",
                    "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
                TooLong,
            ),
            (400, json!({"error": {"code": "content_filter", "status": 400}}), Filtered),
            (400, json!({"object": "error", "code": 400, "type": "BadRequestError"}), Refused),
            (401, json!({"error": {"code": "401", "message": "Access denied"}}), Credentials),
            (403, json!({}), Credentials),
            (402, json!(null), Quota),
            (404, json!({"error": {"code": "DeploymentNotFound"}}), Refused),
            (302, json!(null), Refused),
            (408, json!(null), Unavailable),
            (409, json!(null), Unavailable),
            (413, json!(null), TooLong),
            (500, json!({"error": {"code": "insufficient_quota"}}), Unavailable),
            (503, json!({"error": "busy", "error_type": "overloaded"}), Overloaded),
            (529, json!({"type": "error", "error": {"type": "overloaded_error"}}), Overloaded),
        ] {
            assert_eq!(Words::of(&body).class_with(status), wanted, "{status} {body}");
        }
        for (body, wanted) in [
            (json!({"error": {"type": "overloaded_error"}}), Overloaded),
            (json!({"error": {"code": 429}}), Overloaded),
            (json!({"error": {"message": "boom"}}), Unavailable),
            (json!({"error": {"code": "insufficient_quota"}}), Quota),
        ] {
            assert_eq!(Words::of(&body).class_in_stream(), wanted, "{body}");
        }
    }

    #[test]
    fn what_is_no_word_is_not_repeated() {
        let words = Words::of(&json!({"error": {"code": "key sk-secret is wrong", "type": "t"}}));
        assert_eq!(words.first(), Some("t"));
        assert!(!format!("{words:?}").contains("secret"));
    }
}
