//! Readings of versions: the one that is searched, one beside it that another parser makes, one
//! that is cut otherwise for the generation that is built.
//!
//! Each is a row of `versions`, so that what hangs on a version (pages, passages, terms, blocks
//! of bits) is parted by readings without further ado. A document names two: that of the even
//! cut (`current_key`) and that of the odd one (`other_key`). Which is searched follows from
//! the collection's current generation, so that a switch changes the states of generations and
//! no document. Both are of the same version of the document, wherever there are both.

mod again;
mod clear;
mod compare;
mod place;

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{CollectionId, DocumentId, GenerationId, WorkspaceId};
use quaestor_core::model::Chunking;
use quaestor_core::ports::store::{
    Claim, IngestSubject, NewReparse, ParsedSummary, ReadAgain, ReadingDigest, Readings,
    StoreError, ToReadAgain,
};
use quaestor_core::problem::Problem;
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{DbRow, DbStore};
use super::fault::{Fault, during};
use super::rows;

pub(super) use again::count_lacking_of;
pub(super) use clear::dropped as clear_dropped;
pub(super) use place::{fail, keep_old, name_version, place, summarise};

/// The documents with the key of the reading that is searched of each, instead of a table:
/// `workspace_id`, `id`, `collection_id`, `version_key`.
macro_rules! searched {
    () => {
        "(SELECT y.workspace_id, y.id, y.collection_id,
              CASE WHEN y.collection_id IN (SELECT o.collection_id FROM generations o
                       WHERE o.state = 'current' AND o.cut % 2 = 1)
                  THEN coalesce(y.other_key, y.current_key)
                  ELSE coalesce(y.current_key, y.other_key) END AS version_key
          FROM documents y)"
    };
}
pub(super) use searched;

/// The key of the reading that documents `d` are searched by under a generation `g`.
macro_rules! searched_under {
    () => {
        "CASE WHEN g.cut % 2 = 1 THEN coalesce(d.other_key, d.current_key)
              ELSE coalesce(d.current_key, d.other_key) END"
    };
}
pub(super) use searched_under;

/// The columns of `documents` for a cut: its own reading's key, and the other one's.
pub(super) fn keys_of(cut: i64) -> (&'static str, &'static str) {
    if cut % 2 == 1 { ("other_key", "current_key") } else { ("current_key", "other_key") }
}

/// The sizes that a generation's row has.
pub(super) fn chunking(row: &DbRow) -> Result<Chunking, Fault> {
    let target = rows::optional_number(row, "target_chars")?;
    let max = rows::optional_number(row, "max_chars")?;
    Ok(match (target, max) {
        (Some(target_chars), Some(max_chars)) => Chunking { target_chars, max_chars },
        _ => Chunking::default(),
    })
}

#[async_trait]
impl Readings for DbStore {
    async fn to_read_again(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        which: ReadAgain<'_>,
    ) -> Result<Option<ToReadAgain>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            again::count(&mut reader, workspace, collection, which).await
        };
        work.await.map_err(during("look for documents to read again"))
    }

    async fn begin_reparse(
        &self,
        workspace: WorkspaceId,
        reparse: NewReparse<'_>,
    ) -> Result<Option<u64>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let queued = again::begin(&mut tx, workspace, &reparse).await?;
            if queued.is_some() {
                tx.commit().await?;
            }
            Ok(queued)
        };
        work.await.map_err(during("queue documents to be read again"))
    }

    async fn reading_digest(
        &self,
        workspace: WorkspaceId,
        subject: &IngestSubject,
    ) -> Result<Option<ReadingDigest>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            compare::digest(&mut reader, workspace, subject).await
        };
        work.await.map_err(during("compare two readings"))
    }

    async fn keep_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        parser: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            keep_old(&mut tx, workspace, claim, subject, parser, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("keep a reading"))
    }

    async fn documents_to_read(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            again::lacking(&mut reader, workspace, generation, after, limit).await
        };
        work.await.map_err(during("look for documents to read"))
    }

    async fn count_to_read(
        &self,
        workspace: WorkspaceId,
        generation: GenerationId,
    ) -> Result<u64, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            again::count_lacking(&mut reader, workspace, generation).await
        };
        work.await.map_err(during("count documents to read"))
    }

    async fn open_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        generation: GenerationId,
        document: DocumentId,
    ) -> Result<Option<IngestSubject>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let opened = again::open(&mut tx, workspace, claim, generation, document).await?;
            tx.commit().await?;
            Ok(opened)
        };
        work.await.map_err(during("open a reading"))
    }

    async fn finish_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        summary: ParsedSummary,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            place::finish(&mut tx, workspace, claim, subject, summary).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(())
        };
        work.await.map_err(during("finish a reading"))
    }

    async fn fail_reading(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        problem: Problem,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let key = super::ingest::held_version(&mut tx, workspace, claim, subject).await?;
            fail(&mut tx, workspace, key, Some(&problem)).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("fail a reading"))
    }

    async fn clear_readings(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let more = clear::piece(&mut tx, workspace, collection).await?;
            tx.commit().await?;
            self.term_counts.forget(workspace);
            Ok(more)
        };
        work.await.map_err(during("remove readings that nobody searches"))
    }
}

/// An integer that may be missing.
fn optional(row: &DbRow, column: &str) -> Result<Option<i64>, Fault> {
    Ok(row.try_get(column)?)
}
