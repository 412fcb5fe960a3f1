//! Jobs: the kinds of work, their steps, and the message that carries a step.
//!
//! Names of steps are wire format. They are never derived from a type's name, and a
//! rename keeps the old name as an alias for as long as old messages may exist.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Time;
use crate::ids::{
    BatchId, CollectionId, ConversationId, DocumentId, ExportId, GenerationId, JobId, MessageId,
    OutboxId, PrincipalId, WorkspaceId,
};

/// What a client asked for: one job has one kind and one id, whatever steps it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// A question and its answer.
    #[serde(rename = "chat")]
    Chat,
    /// A file made searchable.
    #[serde(rename = "documents")]
    Documents,
    /// Work on a whole collection: the next index generation built.
    #[serde(rename = "collections")]
    Collections,
    /// Answers or tables written as a file.
    #[serde(rename = "exports")]
    Exports,
}

impl JobKind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Documents, Self::Collections, Self::Exports];

    /// The name in rows, URLs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Documents => "documents",
            Self::Collections => "collections",
            Self::Exports => "exports",
        }
    }
}

/// One step of a job. Each step has a queue of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Find the passages for a question.
    #[serde(rename = "chat.retrieve")]
    ChatRetrieve,
    /// Write the answer from the passages.
    #[serde(rename = "chat.generate")]
    ChatGenerate,
    /// Parse a file into pages and chunks, and make it searchable by words.
    #[serde(rename = "documents.ingest")]
    DocumentsIngest,
    /// Make a document's chunks searchable by meaning.
    #[serde(rename = "documents.embed")]
    DocumentsEmbed,
    /// Make the vectors that an index generation of a collection lacks, and switch to it.
    #[serde(rename = "collections.reindex")]
    CollectionsReindex,
    /// Write an export into the object store.
    #[serde(rename = "exports.write")]
    ExportsWrite,
}

impl Step {
    /// Every step there is.
    pub const ALL: [Self; 6] = [
        Self::ChatRetrieve,
        Self::ChatGenerate,
        Self::DocumentsIngest,
        Self::DocumentsEmbed,
        Self::CollectionsReindex,
        Self::ExportsWrite,
    ];

    /// The wire name, which is also the queue's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatRetrieve => "chat.retrieve",
            Self::ChatGenerate => "chat.generate",
            Self::DocumentsIngest => "documents.ingest",
            Self::DocumentsEmbed => "documents.embed",
            Self::CollectionsReindex => "collections.reindex",
            Self::ExportsWrite => "exports.write",
        }
    }
}

impl Step {
    /// The kind of job that has this step: what its name begins with.
    #[must_use]
    pub fn kind(self) -> JobKind {
        match self {
            Self::ChatRetrieve | Self::ChatGenerate => JobKind::Chat,
            Self::DocumentsIngest | Self::DocumentsEmbed => JobKind::Documents,
            Self::CollectionsReindex => JobKind::Collections,
            Self::ExportsWrite => JobKind::Exports,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step's name that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no step of a job is named {0:?}")]
pub struct UnknownName(pub String);

impl FromStr for Step {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|step| step.as_str() == name)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }
}

impl FromStr for JobKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownName(name.to_owned()))
    }
}

/// The payload of `chat.retrieve` and `chat.generate`: ids, never contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPayload {
    /// The chat the question was asked in.
    pub conversation_id: ConversationId,
    /// The question.
    pub message_id: MessageId,
    /// The answer to be written.
    pub answer_id: MessageId,
    /// Under what the answer is kept, to be given again; known from `chat.generate` on,
    /// where answers are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_key: Option<String>,
}

/// The payload of `documents.ingest` and `documents.embed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPayload {
    /// The document.
    pub document_id: DocumentId,
    /// The version of it, from 1.
    pub version: u32,
    /// The collection it belongs to.
    pub collection_id: CollectionId,
    /// The collection's index generation when `documents.embed` was enqueued. It makes vectors
    /// for those that the collection has when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<GenerationId>,
}

/// The payload of `collections.reindex`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReindexPayload {
    /// The collection.
    pub collection_id: CollectionId,
    /// The index generation whose vectors are made.
    pub generation_id: GenerationId,
}

/// The payload of `exports.write`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPayload {
    /// The export; its row says the rest.
    pub export_id: ExportId,
}

/// What travels on the queue (design §6): a step of a job, with ids and no contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of this format.
    pub v: u32,
    /// The outbox row that this message came from; the message's `message_id`.
    pub outbox_id: OutboxId,
    /// The job.
    pub job_id: JobId,
    /// The step to run.
    pub step: Step,
    /// The tenant.
    pub workspace_id: WorkspaceId,
    /// Who asked.
    pub principal_id: PrincipalId,
    /// The step's payload.
    pub payload: Value,
    /// W3C trace context of the request that caused it, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When it was put into the outbox.
    pub enqueued_at: Time,
    /// After this the work is no longer wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

/// The version of [`Envelope`] that this program writes.
pub const ENVELOPE_VERSION: u32 = 1;

/// The largest body that is read as an envelope: it holds ids, and is below 1 KiB.
pub const MAX_ENVELOPE_BYTES: usize = 256 << 10;

/// Why a message's body is no envelope.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Larger than any envelope.
    #[error("it has {0} bytes, and a message of a job has at most {MAX_ENVELOPE_BYTES}")]
    TooLarge(usize),
    /// Of a version that this program does not know.
    #[error("it has version {0}, and this program reads up to {ENVELOPE_VERSION}")]
    Version(u32),
    /// No JSON, or not what an envelope holds: an unknown step among others.
    #[error("it is not what a message of a job holds: {0}")]
    Malformed(#[source] serde_json::Error),
}

impl Unreadable {
    /// The class in dead letters and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "message_too_large",
            Self::Version(_) => "message_version",
            Self::Malformed(_) => "message_unreadable",
        }
    }
}

impl Envelope {
    /// Reads a message's body.
    ///
    /// # Errors
    /// What is wrong with it. No version of this program that is still supported has sent it.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        if body.len() > MAX_ENVELOPE_BYTES {
            return Err(Unreadable::TooLarge(body.len()));
        }
        let envelope: Self = serde_json::from_slice(body).map_err(Unreadable::Malformed)?;
        match envelope.v {
            1..=ENVELOPE_VERSION => Ok(envelope),
            version => Err(Unreadable::Version(version)),
        }
    }
}

/// A job to be accepted, with the outbox row of its first step.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job.
    pub id: JobId,
    /// Its kind.
    pub kind: JobKind,
    /// Its first step.
    pub step: Step,
    /// Who asked.
    pub principal_id: PrincipalId,
    /// The first step's payload.
    pub payload: Value,
    /// The upload it belongs to, if any.
    pub batch_id: Option<BatchId>,
    /// The outbox row.
    pub outbox_id: OutboxId,
    /// When it was accepted, which is also when the first step is due.
    pub created_at: Time,
    /// Until when its message is held back, because the relay of the process that accepts
    /// it has been promised it.
    pub held_until: Option<Time>,
    /// After this the work is no longer wanted.
    pub deadline: Option<Time>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_read_back_from_its_wire_name() {
        for step in Step::ALL {
            assert_eq!(step.as_str().parse::<Step>().unwrap(), step);
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
            assert!(step.as_str().starts_with(step.kind().as_str()));
        }
        assert!("chat.unknown".parse::<Step>().is_err());
    }

    #[test]
    fn a_message_of_the_first_version_stays_readable() {
        let golden = r#"{"v":1,"outbox_id":"018f0000-0000-7000-8000-000000000001",
            "job_id":"018f0000-0000-7000-8000-000000000002","step":"chat.retrieve",
            "workspace_id":"018f0000-0000-7000-8000-000000000003",
            "principal_id":"018f0000-0000-7000-8000-000000000004",
            "payload":{"conversation_id":"018f0000-0000-7000-8000-000000000005",
            "message_id":"018f0000-0000-7000-8000-000000000006",
            "answer_id":"018f0000-0000-7000-8000-000000000007"},
            "enqueued_at":"2026-01-02T03:04:05Z","a_later_field":true}"#;
        let envelope: Envelope = serde_json::from_str(golden).unwrap();
        assert_eq!(envelope.step, Step::ChatRetrieve);
        let payload: ChatPayload = serde_json::from_value(envelope.payload).unwrap();
        assert_eq!(payload.answer_id.to_string(), "018f0000-0000-7000-8000-000000000007");
        assert_eq!(Envelope::read(golden.as_bytes()).unwrap().job_id, envelope.job_id);
        for (body, code) in [
            (golden.replace("\"v\":1", "\"v\":99"), "message_version"),
            (golden.replace("\"v\":1", "\"v\":0"), "message_version"),
            (golden.replace("chat.retrieve", "chat.sing"), "message_unreadable"),
            (
                golden.replace("true}", &format!("\"{}\"}}", "x".repeat(300_000))),
                "message_too_large",
            ),
            ("not JSON".to_owned(), "message_unreadable"),
        ] {
            assert_eq!(Envelope::read(body.as_bytes()).unwrap_err().code(), code);
        }
    }
}
