//! What went wrong, told to people and programs: the body of every error (RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A problem with a code that stays the same over versions.
///
/// `title` is the same for every problem of a code; `detail` tells what happened this
/// time and how to mend it. Neither ever holds a secret or a document's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Machine-readable and stable: `snake_case`.
    pub code: String,
    /// One line, the same for every problem of this code.
    pub title: String,
    /// What happened this time, and what mends it.
    pub detail: String,
}

impl Problem {
    /// A problem from its three parts.
    pub fn new(
        code: impl Into<String>,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { code: code.into(), title: title.into(), detail: detail.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}
