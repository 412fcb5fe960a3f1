//! Dead letters: jobs that were given up and messages that could not be read, kept until
//! somebody replays or discards them.
//!
//! A job's letter is written in the transaction that ends the job as `dead`, and goes with
//! the replay or the discard. A letter is named by its job's id; a message that names no
//! job has an id of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Claim, IdempotencyKey, NewAuditEntry, StoreError};
use crate::clock::Time;
use crate::ids::{IdSource, JobId, WorkerId, WorkspaceId};
use crate::jobs::JobKind;
use crate::model::{Failure, JobState, Page, PageRequest};
use crate::ports::model_call::ModelCall;
use crate::problem::Problem;

/// Of what a letter is: a kind of job, or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadKind {
    /// A job of this kind.
    Job(JobKind),
    /// A message that no version of the program could have sent, or that its queue gave up.
    Message,
}

impl DeadKind {
    /// The name in rows, URLs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job(kind) => kind.as_str(),
            Self::Message => "message",
        }
    }
}

impl fmt::Display for DeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "message" => Ok(Self::Message),
            kind => kind
                .parse()
                .map(Self::Job)
                .map_err(|_| format!("no kind of dead letter is named {name:?}")),
        }
    }
}

impl Serialize for DeadKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DeadKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Only those of this class of error.
    pub code: Option<String>,
    /// Only those of this kind.
    pub kind: Option<DeadKind>,
    /// Only those that died at this moment or later.
    pub since: Option<Time>,
}

/// What is kept of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadMessage {
    /// The queue that it was on.
    pub queue: String,
    /// Why its queue let it go, in the broker's word: `rejected`, `delivery_limit`.
    pub reason: String,
    /// Its headers and properties, as text; bounded.
    pub headers: BTreeMap<String, String>,
    /// The size of its body.
    pub size_bytes: u64,
    /// SHA-256 of its body, in hexadecimal.
    pub sha256: String,
    /// The start of its body; null where it may be another workspace's.
    pub body: Option<String>,
    /// How the body stands here: `utf8` or `base64`.
    pub encoding: String,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job's id, or the message's own.
    pub id: Uuid,
    /// Of what it is.
    pub kind: DeadKind,
    /// The step that could not be done; of a message the one whose queue it was on.
    pub step: Option<String>,
    /// The class of the error.
    pub code: String,
    /// What went wrong, in one sentence.
    pub detail: String,
    /// What caused it, from the outside in.
    pub causes: Vec<String>,
    /// How often the job was claimed.
    pub attempts: u32,
    /// Who had it last.
    pub worker_id: Option<WorkerId>,
    /// When a try of it first failed.
    pub first_failed_at: Time,
    /// When it was given up.
    pub died_at: Time,
    /// The trace of the request that caused it, as W3C writes it.
    pub trace_id: Option<String>,
    /// What the step was given: ids, no contents.
    pub payload: Option<Value>,
    /// What is kept of a message.
    pub message: Option<DeadMessage>,
}

/// Letters of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadGroup {
    /// The class of the error.
    pub code: String,
    /// Of what they are.
    pub kind: DeadKind,
    /// How many there are.
    pub count: u64,
    /// When the first of them died.
    pub first_at: Time,
    /// When the last of them died.
    pub last_at: Time,
    /// What the last of them says.
    pub example: String,
}

/// What is needed to give jobs another life.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Where the ids of messages and audit entries come from.
    pub ids: IdSource,
    /// The moment it is now.
    pub now: Time,
    /// When the first is due.
    pub begin_at: Time,
    /// How long after one the next is due.
    pub every: chrono::TimeDelta,
    /// How long a question has from when it is due.
    pub chat_time: chrono::TimeDelta,
    /// How long a document has from when it is due.
    pub documents_time: chrono::TimeDelta,
    /// Who asks for it; each job that is replayed has an entry.
    pub audit: NewAuditEntry,
    /// The client's key, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
}

/// Which letters are replayed or discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadWhich {
    /// These. Nothing at all is done where one of them is missing.
    Named(Vec<Uuid>),
    /// Those that a filter leaves, the first that died first, at most so many.
    Filtered {
        /// Which.
        filter: DeadFilter,
        /// At most so many.
        limit: u32,
    },
}

/// What became of one job that was to be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Replayed {
    /// It is queued again.
    Replayed {
        /// The number that its new life begins with.
        attempt: u32,
        /// When it is due.
        due_at: Time,
    },
    /// It was not dead (any more): nothing was done.
    NotDead {
        /// How it stands.
        state: JobState,
    },
    /// Its document or its conversation was deleted: nothing was done.
    SubjectGone,
    /// It is a message that could not be read: nothing was done.
    NoJob,
}

/// One line of the answer to a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedJob {
    /// The job.
    pub id: Uuid,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Replayed,
    /// The conversation of a question that was replayed: those who follow it are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<crate::ids::ConversationId>,
}

/// The answer to a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// One line for each job that was looked at.
    pub items: Vec<ReplayedJob>,
    /// How many were replayed.
    pub replayed: u64,
    /// How many were left as they are.
    pub skipped: u64,
    /// How many dead jobs the filter leaves after this; 0 where jobs were named.
    pub remaining: u64,
    /// When one more would be due, to go on with.
    pub next_begin_at: Option<Time>,
}

/// What became of a letter that was to be discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Discarded {
    /// It is gone; its job has failed for good.
    Discarded,
    /// The job was not dead (any more): nothing was done.
    NotDead {
        /// How it stands.
        state: JobState,
    },
}

/// One line of the answer to a discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardedLetter {
    /// The letter.
    pub id: Uuid,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Discarded,
}

/// The answer to a discard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardReport {
    /// One line for each letter that was looked at.
    pub items: Vec<DiscardedLetter>,
    /// How many were discarded.
    pub discarded: u64,
    /// How many letters the filter leaves after this; 0 where letters were named.
    pub remaining: u64,
}

/// Dead letters of a workspace.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Ends the claimed job as `dead`, with its document or answer, and keeps why: the
    /// failure that is given, else the last one that stands on the job, else the problem.
    async fn bury(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        problem: Problem,
        failure: Option<Failure>,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError>;

    /// What the job's last failed try ran into.
    async fn last_failure(
        &self,
        workspace: WorkspaceId,
        job: JobId,
    ) -> Result<Option<Failure>, StoreError>;

    /// Letters, those of the latest jobs first. Bodies of messages are left out.
    async fn list_dead(
        &self,
        workspace: WorkspaceId,
        filter: DeadFilter,
        page: PageRequest,
    ) -> Result<Page<DeadLetter>, StoreError>;

    /// Letters by class and kind, the largest group first, at most `limit` groups.
    async fn dead_groups(
        &self,
        workspace: WorkspaceId,
        filter: DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadGroup>, StoreError>;

    /// One letter, with all that is kept.
    async fn dead_letter(
        &self,
        workspace: WorkspaceId,
        id: Uuid,
    ) -> Result<Option<DeadLetter>, StoreError>;

    /// Gives dead jobs another life: the same job at its step under a new attempt, queued
    /// or waiting with `replay_paced` until it is due, with a new deadline, its answer
    /// pending or its document queued again. One that is not dead is left alone. None where
    /// a named one is missing; `Conflict` under an idempotency key that is taken. The answer
    /// is kept under the key.
    async fn accept_replay(
        &self,
        workspace: WorkspaceId,
        which: DeadWhich,
        replay: Replay,
    ) -> Result<Option<ReplayReport>, StoreError>;

    /// Ends dead jobs for good as `failed`, with their problems, and removes their letters;
    /// the letter of a message is removed. Each has an audit entry like the given one. None
    /// where a named one is missing: then nothing is done.
    async fn delete_dead(
        &self,
        workspace: WorkspaceId,
        which: DeadWhich,
        ids: &IdSource,
        audit: NewAuditEntry,
    ) -> Result<Option<DiscardReport>, StoreError>;
}

/// A message that was found among the queue's dead, to be kept.
#[derive(Clone, Debug)]
pub struct NewDeadMessage {
    /// Its id, which follows from the message: kept twice, it is one letter.
    pub id: Uuid,
    /// The class of the error: `message_unreadable`, `message_given_up`.
    pub code: &'static str,
    /// Why it could not be read.
    pub detail: String,
    /// The step whose queue it was on.
    pub step: Option<String>,
    /// The workspace and the job that it names, where they can be read in it.
    pub names: Option<(WorkspaceId, JobId)>,
    /// What is kept of it.
    pub message: DeadMessage,
    /// How often it was delivered, as far as its broker tells.
    pub attempts: u32,
    /// When its queue let it go.
    pub died_at: Time,
    /// Its W3C trace context.
    pub traceparent: Option<String>,
}

/// The trace's id of a W3C trace context (`00-<trace>-<span>-<flags>`).
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| !id.is_empty())
}
