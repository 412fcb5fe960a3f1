//! Batches: the port's methods. What is counted and read is in `look`, what changes in `steer`.
//!
//! Rows are locked in the order batch, job, message. A claim locks no batch: what it sees of
//! one that is being changed at that moment is what was before.

mod look;
mod steer;

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{BatchId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Batch, BatchItem, BatchSummary, JobState, Page, PageRequest};
use quaestor_core::ports::store::{
    Batches, CancelledFiles, NewAuditEntry, NewBatch, Replay, Retried, Steer, Steered, StoreError,
    Unclaimed,
};

use super::connections::Commit;
use super::dialect::{DbConnection, DbStore};
use super::fault::{Fault, corrupt, during};
use super::{audit, idempotency, rows};

pub(super) use look::to_cancel;
pub(super) use steer::{Added, Room, add_files, is_there, name, take_in};

// How a batch stands in its row; whether its files have ended stands in theirs.
pub(super) const ACTIVE: &str = "active";
pub(super) const PAUSED: &str = "paused";
pub(super) const CANCELLING: &str = "cancelling";
pub(super) const CANCELLED: &str = "cancelled";

#[async_trait]
impl Batches for DbStore {
    async fn create_batch(
        &self,
        workspace: WorkspaceId,
        batch: NewBatch,
        audit: NewAuditEntry,
    ) -> Result<Batch, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            if let Some(key) = &batch.idempotency {
                idempotency::refuse_taken(&mut tx, workspace, key).await?;
            }
            steer::insert(&mut tx, workspace, &batch).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            let made = read(&mut tx, workspace, None, batch.id, batch.created_at).await?;
            let made = made.ok_or_else(|| corrupt("batch", "it vanished in its transaction"))?;
            if let Some(key) = &batch.idempotency {
                idempotency::remember(&mut tx, workspace, key, &made).await?;
            }
            tx.commit().await?;
            Ok(made)
        };
        work.await.map_err(during("begin a batch"))
    }

    async fn list_batches(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        page: PageRequest,
        now: Time,
    ) -> Result<Page<Batch>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            look::list(&mut reader, workspace, principal, page, now).await
        };
        work.await.map_err(during("list batches"))
    }

    async fn batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        now: Time,
    ) -> Result<Option<Batch>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            read(&mut reader, workspace, principal, batch, now).await
        };
        work.await.map_err(during("read a batch"))
    }

    async fn batch_summary(
        &self,
        workspace: WorkspaceId,
        batch: &Batch,
    ) -> Result<BatchSummary, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            look::summary(&mut reader, workspace, batch).await
        };
        work.await.map_err(during("sum a batch up"))
    }

    async fn batch_items(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        state: Option<JobState>,
        page: PageRequest,
    ) -> Result<Option<Page<BatchItem>>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            if look::row(&mut reader, workspace, principal, batch, false).await?.is_none() {
                return Ok(None);
            }
            look::items(&mut reader, workspace, batch, state, page).await.map(Some)
        };
        work.await.map_err(during("list the files of a batch"))
    }

    async fn steer_batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        steer: Steer,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<Steered>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let Some(row) = look::row(&mut tx, workspace, principal, batch, true).await? else {
                return Ok(None);
            };
            let before = look::counted(&mut tx, workspace, row, now).await?;
            match steer::wanted(&before, steer) {
                steer::Wanted::Refused => return Ok(Some(Steered::Refused(before.state))),
                steer::Wanted::Nothing => return Ok(Some(Steered::Unchanged(before))),
                steer::Wanted::Change => {}
            }
            steer::change(&mut tx, workspace, batch, steer, now).await?;
            audit::record(&mut tx, workspace, &audit).await?;
            let after = read(&mut tx, workspace, None, batch, now).await?;
            tx.commit().await?;
            Ok(after.map(Steered::Changed))
        };
        work.await.map_err(during("steer a batch"))
    }

    async fn cancel_batch_files(
        &self,
        workspace: WorkspaceId,
        batch: BatchId,
        limit: u32,
        now: Time,
    ) -> Result<CancelledFiles, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let cancelled = steer::cancel_files(&mut tx, workspace, batch, limit, now).await?;
            tx.commit().await?;
            Ok(cancelled)
        };
        work.await.map_err(during("cancel the files of a batch"))
    }

    async fn retry_batch(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        batch: BatchId,
        limit: u32,
        replay: Replay,
    ) -> Result<Option<Retried>, StoreError> {
        let work = async {
            let mut writer = self.connections.request_writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let Some(row) = look::row(&mut tx, workspace, principal, batch, true).await? else {
                return Ok(None);
            };
            if row.is_cancelled() {
                let now = look::counted(&mut tx, workspace, row, replay.now).await?;
                return Ok(Some(Retried::Refused(now.state)));
            }
            let report = steer::retry(&mut tx, workspace, batch, limit, &replay).await?;
            if report.replayed > 0 {
                audit::record(&mut tx, workspace, &replay.audit).await?;
            }
            tx.commit().await?;
            Ok(Some(Retried::Retried(report)))
        };
        work.await.map_err(during("retry the files of a batch"))
    }

    async fn wait_for_batch(
        &self,
        workspace: WorkspaceId,
        step: Unclaimed,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.bulk_writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let waits = steer::wait(&mut tx, workspace, &step).await?;
            if waits {
                tx.commit().await?;
            }
            Ok(waits)
        };
        work.await.map_err(during("have a file wait for its batch"))
    }
}

async fn read(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
    batch: BatchId,
    now: Time,
) -> Result<Option<Batch>, Fault> {
    match look::row(connection, workspace, principal, batch, false).await? {
        Some(row) => look::counted(connection, workspace, row, now).await.map(Some),
        None => Ok(None),
    }
}

/// A count of files as a row keeps it.
fn count(files: u64) -> i64 {
    rows::signed(files)
}
