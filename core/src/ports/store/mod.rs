//! The port to the store: rows, full text and vectors. The database is the truth.
//!
//! Every method takes the workspace, and touches no other one's rows. What concerns the
//! installation as a whole (finding a key's workspace, the outbox, sweeps) stands apart
//! in [`Installation`], and hands out ids and states only.
//!
//! "Not there" and "another workspace's" are the same answer: `None`.
//!
//! Two kinds of commit are on disk before the method returns: acceptances (the methods
//! named `accept_…`, `create_…`, `delete_…`, `revoke_…`) and results (`save_answer`,
//! `finish_…`, `fail`, `cancel`). What lies between can be redone and need not wait.

mod audit;
mod backups;
mod batches;
mod chat;
mod checkpoints;
mod checks;
mod collections;
mod conversations;
mod dead;
mod documents;
mod error;
mod exports;
mod generations;
mod idempotency;
mod ingest;
mod installation;
mod jobs;
mod keys;
mod money;
mod portable;
mod portable_columns;
mod readings;
mod schedules;
mod search;
mod snapshot;
mod strays;

pub use audit::{Audit, AuditEnd, AuditEntry, AuditLink, AuditLinks, NewAuditEntry};
pub use backups::{BackupClaim, BackupEnd, BackupRun, BackupState, Backups};
pub use batches::{Batches, CancelledFiles, NewBatch, Retried, Steer, Steered};
pub use chat::{
    AcceptQuestion, AcceptedQuestion, Answer, ChatStore, Grounding, NewFeedback, NewUsage,
    QuestionContext, RetrievedPassage, UnfinishedAnswer,
};
pub use checkpoints::{Checkpoint, Checkpoints};
pub use checks::{CheckedExport, CheckedVectors, CheckedVersion, CheckedVersions, Checks};
pub use collections::{Collections, NewCollection};
pub use conversations::{Conversations, NewConversation};
pub use dead::{
    DeadFilter, DeadGroup, DeadKind, DeadLetter, DeadLetters, DeadMessage, DeadWhich,
    DiscardReport, Discarded, DiscardedLetter, NewDeadMessage, Replay, ReplayReport, Replayed,
    ReplayedJob, trace_id,
};
pub use documents::{
    AcceptUpload, AcceptedFile, AcceptedUpload, DocumentFilter, Documents, NewFile, UploadStatus,
    UploadTo,
};
pub use error::StoreError;
pub use exports::{
    AcceptExport, AcceptedExport, ExportAcceptance, ExportDocument, ExportGeneration, ExportWork,
    Exports, NewTemplate,
};
pub use generations::{
    GenerationStatus, Generations, NewReindex, PassageCursor, PassagesToIndex, ReindexAccepted,
    ReindexOutcome, ReindexSize, ReindexSubject, Switch,
};
pub use idempotency::{Idempotency, IdempotencyKey, RememberedResponse};
pub use ingest::{
    EmbedBatch, EmbeddedChunk, IngestStore, IngestSubject, NewChunk, NewPage, ParsedSummary,
    TextHash,
};
pub use installation::{
    Backlog, Begun, DeadCount, Installation, KeptMessage, NewWorkspace, OutboxRow, QueueLoad,
    QueuedJob, Standing, StuckWork, Swept, Unfinished,
};
pub use jobs::{
    Advance, CancelOutcome, Claim, ClaimOutcome, ClaimRequest, Claimed, Heartbeat, JobFilter, Jobs,
    Kept, PutOff, Unclaimed,
};
pub use keys::{Keys, NewKey};
pub use money::{CallsOf, Money, Spending, UsageBy, UsagePart};
pub use portable::{Column, Cursor, Kind, Most, Portable, Record, RecordPage, Table, Value};
pub use readings::{NewReparse, READINGS_FROM, ReadAgain, ReadingDigest, Readings, ToReadAgain};
pub use schedules::{
    Asked, ClaimedRun, Fired, HeldRun, Moment, RunEnd, ScheduleChange, ScheduleOffer, Schedules,
};
pub use search::{ScopeFilter, Search, SearchScope, TermStats, TextHit, VectorHit};
pub use snapshot::{Snapshot, Snapshots};
pub use strays::{StrayCursor, StrayRows, Strays};

/// The whole store.
pub trait Store:
    Installation
    + Keys
    + Collections
    + Documents
    + IngestStore
    + Generations
    + Readings
    + Checkpoints
    + Search
    + Conversations
    + ChatStore
    + Exports
    + Jobs
    + DeadLetters
    + Idempotency
    + Audit
    + Money
    + Portable
    + Backups
    + Batches
    + Schedules
    + Checks
    + StrayRows
    + Snapshots
    + std::fmt::Debug
{
}

impl<T> Store for T where
    T: Installation
        + Keys
        + Collections
        + Documents
        + IngestStore
        + Generations
        + Readings
        + Checkpoints
        + Search
        + Conversations
        + ChatStore
        + Exports
        + Jobs
        + DeadLetters
        + Idempotency
        + Audit
        + Money
        + Portable
        + Backups
        + Batches
        + Schedules
        + Checks
        + StrayRows
        + Snapshots
        + std::fmt::Debug
{
}
