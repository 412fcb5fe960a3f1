//! What was backed up and when, and whose turn it is to do it.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ports::store::{BackupClaim, BackupEnd, BackupRun, Backups, StoreError};
use sqlx::Row;
use uuid::Uuid;

use super::connections::Commit;
use super::dialect::{DbRow, DbStore, INSTALLATION};
use super::fault::{Fault, during};
use super::rows;

/// So long, in days, a backup is remembered.
const REMEMBERED_DAYS: i64 = 400;

#[async_trait]
impl Backups for DbStore {
    async fn claim_backup(&self, claim: BackupClaim, now: Time) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let claimed = sqlx::query(
                "INSERT INTO backups (id, slot, state, tries, began_at, lease_until, place)
                 VALUES ($1, $2, 'running', 1, $3, $4, $5)
                 ON CONFLICT (slot) DO UPDATE SET id = excluded.id, state = 'running',
                     tries = backups.tries + 1, began_at = excluded.began_at,
                     lease_until = excluded.lease_until, place = excluded.place, ended_at = NULL,
                     error = NULL
                 WHERE backups.state <> 'done' AND backups.lease_until <= $3 AND backups.tries < $6
                 RETURNING id",
            )
            .bind(claim.id)
            .bind(claim.slot.map(rows::micros))
            .bind(rows::micros(now))
            .bind(rows::micros(claim.lease_until))
            .bind(claim.place)
            .bind(i64::from(claim.tries))
            .fetch_optional(&mut *tx)
            .await?
            .is_some();
            tx.commit().await?;
            Ok(claimed)
        };
        work.await.map_err(during("claim a backup"))
    }

    async fn renew_backup(&self, id: Uuid, lease_until: Time) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let renewed = sqlx::query(
                "UPDATE backups SET lease_until = $2 WHERE id = $1 AND state = 'running'",
            )
            .bind(id)
            .bind(rows::micros(lease_until))
            .execute(&mut *tx)
            .await?
            .rows_affected();
            tx.commit().await?;
            Ok(renewed == 1)
        };
        work.await.map_err(during("renew a backup"))
    }

    async fn end_backup(&self, id: Uuid, end: BackupEnd, now: Time) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let query = match end {
                BackupEnd::Done { name, size_bytes, records, files, damaged } => sqlx::query(
                    "UPDATE backups SET state = 'done', ended_at = $2, lease_until = $2, name = $3,
                         size_bytes = $4, records = $5, files = $6, damaged = $7, error = NULL
                     WHERE id = $1 AND state = 'running'",
                )
                .bind(id)
                .bind(rows::micros(now))
                .bind(name)
                .bind(rows::signed(size_bytes))
                .bind(rows::signed(records))
                .bind(rows::signed(files))
                .bind(rows::signed(damaged)),
                BackupEnd::Failed { error, retry_at } => sqlx::query(
                    "UPDATE backups SET state = 'failed', ended_at = $2, lease_until = $3,
                         error = $4
                     WHERE id = $1 AND state = 'running'",
                )
                .bind(id)
                .bind(rows::micros(now))
                .bind(rows::micros(retry_at))
                .bind(error),
            };
            let ended = query.execute(&mut *tx).await?.rows_affected();
            let forgotten = now - chrono::TimeDelta::days(REMEMBERED_DAYS);
            sqlx::query("DELETE FROM backups WHERE began_at < $1")
                .bind(rows::micros(forgotten))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(ended == 1)
        };
        work.await.map_err(during("end a backup"))
    }

    async fn last_backups(&self, limit: u32) -> Result<Vec<BackupRun>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(
                "SELECT id, slot, state, tries, began_at, ended_at, place, name, size_bytes,
                     records, files, damaged, error
                 FROM backups ORDER BY began_at DESC, id DESC LIMIT $1",
            )
            .bind(i64::from(limit))
            .fetch_all(&mut *reader)
            .await?;
            found.iter().map(run).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("read the backups"))
    }
}

fn run(row: &DbRow) -> Result<BackupRun, Fault> {
    Ok(BackupRun {
        id: row.try_get("id")?,
        slot: rows::optional_time(row, "slot")?,
        state: rows::named(row, "state")?,
        tries: rows::number(row, "tries")?,
        began_at: rows::time(row, "began_at")?,
        ended_at: rows::optional_time(row, "ended_at")?,
        place: row.try_get("place")?,
        name: row.try_get("name")?,
        size_bytes: rows::unsigned(row, "size_bytes")?,
        records: rows::unsigned(row, "records")?,
        files: rows::unsigned(row, "files")?,
        damaged: rows::unsigned(row, "damaged")?,
        error: row.try_get("error")?,
    })
}
