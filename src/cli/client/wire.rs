//! The server's answers as the command line reads them, beyond the words of core.

use quaestor_core::clock::Time;
use quaestor_core::ids::{DocumentId, JobId, KeyId, MessageId};
use quaestor_core::model::Role;
use serde::{Deserialize, Serialize};

/// The answer to a question that was accepted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AcceptedQuestion {
    /// The answer to come.
    pub answer_id: MessageId,
    /// The job that writes it.
    pub job_id: JobId,
}

/// The answer to an upload that was accepted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AcceptedUpload {
    /// One per file.
    pub items: Vec<AcceptedFile>,
}

/// One file of an upload that was accepted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AcceptedFile {
    /// The document.
    pub document_id: DocumentId,
    /// `queued`, or `duplicate` where the same bytes are there already.
    pub status: String,
}

/// An API key as the server lists it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ListedKey {
    /// Its row.
    pub id: KeyId,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The part that may be shown.
    pub prefix: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was revoked, if it was.
    #[serde(default)]
    pub revoked_at: Option<Time>,
}

/// A key that was just made, with its only showing.
#[derive(Clone, Deserialize)]
pub(crate) struct CreatedKey {
    /// Its row.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The whole key.
    #[serde(alias = "secret", alias = "token")]
    pub key: secrecy::SecretString,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The body of `/health`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Health {
    /// `ok`, or what is the matter.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// How long it runs.
    pub uptime_s: f64,
    /// What it looked at.
    #[serde(default)]
    pub checks: std::collections::BTreeMap<String, HealthCheck>,
}

/// One check of `/health`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HealthCheck {
    /// `ok`, or what is the matter.
    pub status: String,
    /// More about it.
    #[serde(default)]
    pub detail: Option<serde_json::Value>,
}
