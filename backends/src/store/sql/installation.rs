//! What concerns the installation: workspaces, the search for a key, sweeps.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{BatchId, JobId, OutboxId, WorkspaceId};
use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::model::{JobState, StoredKey};
use quaestor_core::ports::store::{
    Begun, DeadCount, Installation, KeptMessage, NewAuditEntry, NewDeadMessage, NewKey,
    NewWorkspace, OutboxRow, QueueLoad, QueuedJob, Standing, StoreError, StuckWork, Swept,
    Unfinished,
};
use quaestor_core::problem::Problem;
use sqlx::Row;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore, INSTALLATION, skip_locked};
use super::ending::{self, Ending};
use super::fault::{Fault, corrupt, during, unique};
use super::{
    audit, batches, exports, hot, keys, load, money, outbox, relay, rows, search, standing, stuck,
};

async fn insert_workspace(tx: &mut DbConnection, workspace: NewWorkspace) -> Result<(), Fault> {
    let made = sqlx::query(
        "INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3) RETURNING key",
    )
    .bind(workspace.id.uuid())
    .bind(dialect::text(workspace.name))
    .bind(rows::micros(workspace.created_at))
    .fetch_one(&mut *tx)
    .await
    .map_err(unique("a workspace with this id"))?;
    search::workspace_made(tx, made.try_get("key")?).await
}

async fn oldest_workspace(connection: &mut DbConnection) -> Result<Option<WorkspaceId>, Fault> {
    sqlx::query("SELECT id FROM workspaces ORDER BY created_at, key LIMIT 1")
        .fetch_optional(connection)
        .await?
        .map(|row| rows::id(&row, "id"))
        .transpose()
}

#[async_trait]
impl Installation for DbStore {
    async fn create_workspace(&self, workspace: NewWorkspace) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            insert_workspace(&mut tx, workspace).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("create a workspace"))
    }

    async fn begin(
        &self,
        workspace: NewWorkspace,
        key: NewKey,
        audit: NewAuditEntry,
    ) -> Result<Begun, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            dialect::take_turn_to_begin(&mut tx).await?;
            let workspace_id = match oldest_workspace(&mut tx).await? {
                Some(found) => found,
                None => {
                    let made = workspace.id;
                    insert_workspace(&mut tx, workspace).await?;
                    made
                }
            };
            dialect::see(&mut tx, workspace_id).await?;
            let has_key = sqlx::query("SELECT 1 FROM api_keys WHERE workspace_id = $1 LIMIT 1")
                .bind(workspace_id.uuid())
                .fetch_optional(&mut *tx)
                .await?
                .is_some();
            if !has_key {
                keys::insert(&mut tx, workspace_id, &key).await?;
                audit::record(&mut tx, workspace_id, &audit).await?;
            }
            tx.commit().await?;
            Ok(Begun { workspace_id, key_made: !has_key })
        };
        work.await.map_err(during("begin the installation"))
    }

    async fn first_workspace(&self) -> Result<Option<WorkspaceId>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            oldest_workspace(&mut reader).await
        };
        work.await.map_err(during("find the first workspace"))
    }

    async fn workspaces_after(
        &self,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<WorkspaceId>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            standing::workspaces_after(&mut reader, after, limit).await
        };
        work.await.map_err(during("list workspaces"))
    }

    async fn workspaces_with_budgets(&self, limit: u32) -> Result<Vec<WorkspaceId>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query("SELECT DISTINCT workspace_id FROM budgets LIMIT $1")
                .bind(i64::from(limit))
                .fetch_all(&mut *reader)
                .await?;
            found.iter().map(|row| rows::id(row, "workspace_id")).collect::<Result<Vec<_>, Fault>>()
        };
        work.await.map_err(during("find who has budgets"))
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            standing::read(&mut reader).await
        };
        work.await.map_err(during("read whether the installation may be used"))
    }

    async fn set_standing(&self, standing: &Standing) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            standing::write(&mut tx, standing).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("say whether the installation may be used"))
    }

    async fn clear(&self) -> Result<(), StoreError> {
        while let Some(workspace) = self.first_workspace().await? {
            let work = async {
                let mut writer = self.connections.writer(workspace, Commit::Soon).await?;
                let mut tx = writer.begin().await?;
                standing::remove_workspace(&mut tx, workspace).await?;
                tx.commit().await?;
                self.term_counts.forget(workspace);
                Ok(())
            };
            work.await.map_err(during("remove a workspace"))?;
        }
        Ok(())
    }

    async fn find_key(&self, prefix: &str) -> Result<Option<StoredKey>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(
                "SELECT workspace_id, id, principal_id, name, role, prefix, secret_sha256,
                     created_at, revoked_at
                 FROM api_keys WHERE prefix = $1",
            )
            .bind(prefix.to_owned())
            .fetch_optional(&mut *reader)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let secret_sha256 = row
                .try_get::<Vec<u8>, _>("secret_sha256")?
                .try_into()
                .map_err(|_| corrupt("key", "its checksum is not 32 bytes long"))?;
            Ok(Some(StoredKey {
                workspace_id: rows::id(&row, "workspace_id")?,
                key: rows::api_key(&row)?,
                secret_sha256,
            }))
        };
        work.await.map_err(during("find a key"))
    }

    async fn outbox_take(
        &self,
        now: Time,
        hold_until: Time,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        hot::take_due(self, now, hold_until, limit).await.map_err(during("take from the outbox"))
    }

    async fn outbox_next_due(&self) -> Result<Option<Time>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            outbox::next_due(&mut reader).await
        };
        work.await.map_err(during("read the outbox"))
    }

    async fn outbox_unsent(&self, cap: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(dialect::INSTALLATION).await?;
            outbox::unsent(&mut reader, cap).await
        };
        work.await.map_err(during("count the outbox"))
    }

    async fn unfinished(
        &self,
        kind: JobKind,
        until: Time,
        limit: u32,
    ) -> Result<Vec<Unfinished>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            load::unfinished(&mut reader, kind, until, limit).await
        };
        work.await.map_err(during("count unfinished work"))
    }

    async fn outbox_sent(&self, sent: &[OutboxId], now: Time) -> Result<(), StoreError> {
        if sent.is_empty() {
            return Ok(());
        }
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            relay::mark_sent(&mut tx, sent, now).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("mark messages as sent"))
    }

    async fn outbox_give_back(&self, rows: &[OutboxId], due_at: Time) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            relay::give_back(&mut tx, rows, due_at).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("give messages back to the outbox"))
    }

    async fn outbox_restart(&self, now: Time) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            sqlx::query(
                "UPDATE jobs SET state = 'queued', lease_until = NULL, worker_id = NULL,
                     updated_at = $1
                 WHERE state = 'running'",
            )
            .bind(rows::micros(now))
            .execute(&mut *tx)
            .await?;
            let unsent = sqlx::query("UPDATE outbox SET sent_at = NULL, due_at = CASE WHEN due_at > $1 THEN $1 ELSE due_at END")
                .bind(rows::micros(now))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(unsent.rows_affected())
        };
        work.await.map_err(during("bring the outbox back after a restart"))
    }

    async fn outbox_resend(
        &self,
        step: Step,
        sent_before: Time,
        now: Time,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let lost = outbox::resend(&mut tx, step, sent_before, now, limit).await?;
            tx.commit().await?;
            Ok(lost)
        };
        work.await.map_err(during("bring lost messages back"))
    }

    async fn call_turns(
        &self,
        reason: &str,
        limit: u32,
        now: Time,
    ) -> Result<Vec<(WorkspaceId, JobId)>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let called = outbox::call_turns(&mut tx, reason, limit, now).await?;
            tx.commit().await?;
            Ok(called)
        };
        work.await.map_err(during("call jobs whose turn it is"))
    }

    async fn requeue_expired(&self, now: Time, limit: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let requeued = sqlx::query(concat!(
                "UPDATE jobs SET state = 'queued', lease_until = NULL, worker_id = NULL,
                     updated_at = $1
                 WHERE id IN (SELECT id FROM jobs WHERE state = 'running' AND lease_until <= $1
                              ORDER BY lease_until LIMIT $2",
                skip_locked!(),
                ")
                 RETURNING id",
            ))
            .bind(rows::micros(now))
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await?;
            for row in &requeued {
                sqlx::query(
                    "UPDATE outbox SET sent_at = NULL, due_at = CASE WHEN due_at > $2 THEN $2 ELSE due_at END WHERE job_id = $1",
                )
                .bind(row.try_get::<uuid::Uuid, _>("id")?)
                .bind(rows::micros(now))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(rows::length(&requeued))
        };
        work.await.map_err(during("requeue jobs whose lease ran out"))
    }

    async fn fail_overdue(&self, now: Time, limit: u32) -> Result<Vec<Swept>, StoreError> {
        dialect::keep_up(self, now).await;
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let overdue = sqlx::query(concat!(
                "SELECT id, workspace_id, attempt FROM jobs
                 WHERE state IN ('queued', 'waiting') AND deadline IS NOT NULL AND deadline < $1
                   AND NOT EXISTS (SELECT 1 FROM batches b
                                   WHERE b.id = jobs.batch_id AND b.state = 'paused')
                 ORDER BY deadline LIMIT $2",
                skip_locked!(),
            ))
            .bind(rows::micros(now))
            .bind(i64::from(limit))
            .fetch_all(&mut *tx)
            .await?;
            let mut swept = Vec::with_capacity(overdue.len());
            for row in overdue {
                let one = Swept {
                    workspace_id: rows::id(&row, "workspace_id")?,
                    job_id: rows::id(&row, "id")?,
                    attempt: rows::number(&row, "attempt")?,
                    state: JobState::Failed,
                };
                let problem = Problem::new(
                    "deadline_passed",
                    "The deadline has passed",
                    "The work was not finished in the time that was given for it. Ask again.",
                );
                dialect::see(&mut tx, one.workspace_id).await?;
                ending::end_with_subject(
                    &mut tx,
                    one.workspace_id,
                    one.job_id,
                    &Ending::Unsuccessful { state: JobState::Failed, problem },
                    now,
                )
                .await?;
                swept.push(one);
            }
            tx.commit().await?;
            Ok(swept)
        };
        work.await.map_err(during("end jobs that are past their deadline"))
    }

    async fn batches_to_cancel(
        &self,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, BatchId)>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            batches::to_cancel(&mut reader, limit).await
        };
        work.await.map_err(during("find batches that are being cancelled"))
    }

    async fn settle_lost_calls(
        &self,
        ended_before: Time,
        sent_before: Time,
        limit: u32,
    ) -> Result<u64, StoreError> {
        money::settle_lost(self, ended_before, sent_before, limit)
            .await
            .map_err(during("account requests that were lost"))
    }

    async fn forget_idempotency_keys(&self, before: Time, limit: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let forgotten = sqlx::query(
                "DELETE FROM idempotency_keys WHERE (workspace_id, principal_id, key) IN
                     (SELECT workspace_id, principal_id, key FROM idempotency_keys
                      WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
            )
            .bind(rows::micros(before))
            .bind(i64::from(limit))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(forgotten.rows_affected())
        };
        work.await.map_err(during("forget old idempotency keys"))
    }

    async fn expire_exports(
        &self,
        now: Time,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, String)>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let files = exports::expire(&mut tx, now, limit).await?;
            tx.commit().await?;
            Ok(files)
        };
        work.await.map_err(during("take old exports away"))
    }

    async fn keep_dead_message(
        &self,
        message: NewDeadMessage,
        cap: u32,
    ) -> Result<KeptMessage, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let Some(first) = oldest_workspace(&mut tx).await? else {
                return Ok(KeptMessage::NoWorkspace);
            };
            let kept = stuck::keep_message(&mut tx, first, message, cap).await?;
            tx.commit().await?;
            Ok(kept)
        };
        work.await.map_err(during("keep a dead message"))
    }

    async fn dead_counts(&self, limit: u32) -> Result<Vec<DeadCount>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            stuck::dead_counts(&mut reader, limit).await
        };
        work.await.map_err(during("count dead letters"))
    }

    async fn queue_front(&self, step: Step, limit: u32) -> Result<Vec<QueuedJob>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            stuck::queue_front(&mut reader, step, limit).await
        };
        work.await.map_err(during("read the front of a queue"))
    }

    async fn queue_loads(&self, turn: &str, now: Time) -> Result<Vec<QueueLoad>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            stuck::queue_loads(&mut reader, turn, now).await
        };
        work.await.map_err(during("count what the queues have"))
    }

    async fn stuck_work(&self, before: Time) -> Result<StuckWork, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            stuck::stuck_work(&mut reader, before).await
        };
        work.await.map_err(during("look for stuck work"))
    }

    async fn forget_ended_messages(&self, limit: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            // Dead jobs keep theirs: they may be called again.
            let forgotten = sqlx::query(
                "DELETE FROM outbox WHERE id IN
                     (SELECT o.id FROM outbox o JOIN jobs j ON j.id = o.job_id
                      WHERE j.state IN ('done', 'failed', 'cancelled') LIMIT $1)",
            )
            .bind(i64::from(limit))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(forgotten.rows_affected())
        };
        work.await.map_err(during("forget messages of ended jobs"))
    }

    async fn upkeep(&self) -> Result<(), StoreError> {
        dialect::upkeep(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            sqlx::query("SELECT count(*) FROM schema_migrations").fetch_one(&mut *reader).await?;
            Ok(())
        };
        work.await.map_err(during("answer a ping"))
    }
}
