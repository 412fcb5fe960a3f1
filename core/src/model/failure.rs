//! What went wrong when a step was tried, as it is kept on the job and in the dead letters.

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::WorkerId;
use crate::jobs::Step;

/// Causes that are kept of one error; chains are shorter, and a loop must not be endless.
const MOST_CAUSES: usize = 8;
/// Characters that are kept of one sentence.
const MOST_CHARS: usize = 500;

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class of the error: `model_malformed`, `store_unavailable`.
    pub code: String,
    /// The error's own sentence.
    pub detail: String,
    /// What caused it, from the outside in.
    #[serde(default)]
    pub causes: Vec<String>,
    /// The step that was tried.
    pub step: Step,
    /// The attempt that tried it.
    pub attempt: u32,
    /// Who tried it; not known of one that somebody else reports.
    #[serde(default)]
    pub worker_id: Option<WorkerId>,
    /// When it failed.
    pub at: Time,
    /// Since when it is the same one again and again, where it is an outage of the
    /// installation's own servers: no try of the step counts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl Failure {
    /// What an error says, with its causes as text. Errors hold no secrets by the rules of
    /// the house; what stands before the `@` of an address is left out all the same, since
    /// other people's libraries may not know them.
    #[must_use]
    pub fn of(
        code: impl Into<String>,
        error: &(dyn Error + 'static),
        (step, attempt): (Step, u32),
        worker_id: Option<WorkerId>,
        at: Time,
    ) -> Self {
        let mut causes: Vec<String> = Vec::new();
        let detail = shown(&error.to_string());
        let mut next = error.source();
        while let Some(cause) = next {
            let text = shown(&cause.to_string());
            // Some errors print their causes themselves.
            if !text.is_empty() && !detail.contains(&text) && !causes.contains(&text) {
                causes.push(text);
            }
            if causes.len() == MOST_CAUSES {
                break;
            }
            next = cause.source();
        }
        Self { code: code.into(), detail, causes, step, attempt, worker_id, at, since: None }
    }

    /// The error and its causes in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = self.detail.clone();
        for cause in &self.causes {
            text.push_str(": ");
            text.push_str(cause);
        }
        text
    }
}

/// A sentence within bounds and without the login of any address.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        shown.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | ')'))
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => &after[at + 1..],
            None => after,
        };
    }
    shown.push_str(rest);
    match shown.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: String,
        #[source]
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&str]) -> Told {
        let (first, rest) = texts.split_first().unwrap();
        let source = if rest.is_empty() { None } else { Some(Box::new(told(rest))) };
        Told { text: (*first).to_owned(), source }
    }

    fn failure(texts: &[&str]) -> Failure {
        Failure::of("x", &told(texts), (Step::ChatGenerate, 3), None, Time::UNIX_EPOCH)
    }

    #[test]
    fn the_chain_is_kept_each_cause_once() {
        let kept = failure(&["asking failed", "no answer", "no answer", "connection refused"]);
        assert_eq!(kept.detail, "asking failed");
        assert_eq!(kept.causes, ["no answer", "connection refused"]);
        assert_eq!(kept.sentence(), "asking failed: no answer: connection refused");
    }

    #[test]
    fn a_login_in_an_address_is_left_out() {
        for (text, wanted) in [
            ("dialing amqp://me:s3cret@host:5672/q failed", "dialing amqp://host:5672/q failed"),
            ("https://host/a@b is gone", "https://host/a@b is gone"),
            ("two: redis://:p@a/0 and s3://b", "two: redis://a/0 and s3://b"),
        ] {
            assert_eq!(failure(&[text]).detail, wanted);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "é".repeat(10_000);
        let texts: Vec<String> = (0..50).map(|n| format!("{n} {long}")).collect();
        let kept = failure(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(kept.detail.chars().count(), MOST_CHARS + 1);
        assert_eq!(kept.causes.len(), MOST_CAUSES);
    }
}
