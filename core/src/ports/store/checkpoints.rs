//! Checkpoints: how far the parse of a version has come, so that one that was cut off goes on
//! where it stopped.
//!
//! A checkpoint is written in the transaction that stores the pages and chunks up to it. What
//! is stored of a version is therefore always exactly what its checkpoint says.

use async_trait::async_trait;

use super::{Advance, Claim, IngestSubject, NewChunk, NewPage, StoreError};
use crate::clock::Time;
use crate::ids::WorkspaceId;

/// How far the parse of a version has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which parser it is of: another one begins anew.
    pub parser: String,
    /// How many pages are stored, from the first.
    pub pages: u32,
    /// How many chunks are stored, from the first.
    pub chunks: u32,
    /// What the parse is taken up with, in the handler's own form.
    pub state: Vec<u8>,
}

/// The writes of a parse that may be taken up. Every one carries its claim and is refused as
/// `Fenced` where a later one holds the job.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// As [`IngestStore::begin_ingest`](super::IngestStore::begin_ingest), but what an earlier
    /// attempt of this parser has stored stays, and is returned with how far it is.
    async fn resume_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        parser: &str,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// Stores pages and chunks that come behind the last checkpoint, and the next one.
    async fn save_checkpoint(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        pages: Vec<NewPage>,
        chunks: Vec<NewChunk>,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError>;

    /// Hands a parse that takes long on to a further message of the same step. What was done
    /// counts: the step's tries begin anew.
    async fn continue_ingest(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        next: Advance,
        now: Time,
    ) -> Result<(), StoreError>;
}
