//! The port's job methods: lists, and the ways into claims and settlement.

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Job, JobState, Page, PageRequest};
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{
    Advance, CancelOutcome, Claim, ClaimOutcome, ClaimRequest, Heartbeat, JobFilter, Jobs,
    NewAuditEntry, PutOff, StoreError, Unclaimed,
};
use quaestor_core::problem::Problem;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbStore};
use super::ending::{self, Ending};
use super::fault::{Fault, during};
use super::{audit, claims, dead, hot, money, relay, rows, settle};

macro_rules! job_columns {
    () => {
        "id, kind, step, state, until, problem, attempt, batch_id, subject_id, created_at, \
         updated_at, finished_at, last_error, \
         CASE WHEN state = 'queued' AND EXISTS (SELECT 1 FROM batches b \
                 WHERE b.id = jobs.batch_id AND b.state = 'paused') \
             THEN 'batch_paused' ELSE reason END AS reason"
    };
}

pub(super) async fn find(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
    job: JobId,
) -> Result<Option<Job>, Fault> {
    let found = sqlx::query(concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs WHERE workspace_id = $1 AND id = $2
          AND ($3 IS NULL OR principal_id = $3)"
    ))
    .bind(workspace.uuid())
    .bind(job.uuid())
    .bind(principal.map(PrincipalId::uuid))
    .fetch_optional(connection)
    .await?;
    found.as_ref().map(rows::job).transpose()
}

#[async_trait]
impl Jobs for DbStore {
    async fn list_jobs(
        &self,
        workspace: WorkspaceId,
        filter: JobFilter,
        page: PageRequest,
    ) -> Result<Page<Job>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                job_columns!(),
                " FROM jobs WHERE workspace_id = $1 AND id < $2
                  AND ($4 IS NULL OR principal_id = $4)
                  AND ($5 IS NULL OR state = $5) AND ($6 IS NULL OR kind = $6)
                  ORDER BY id DESC LIMIT $3"
            ))
            .bind(workspace.uuid())
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .bind(filter.principal_id.map(PrincipalId::uuid))
            .bind(filter.state.map(JobState::as_str))
            .bind(filter.kind.map(|kind| kind.as_str()))
            .fetch_all(&mut *reader)
            .await?;
            let items = found.iter().map(rows::job).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(items, page, |job| job.id.uuid()))
        };
        work.await.map_err(during("list the jobs"))
    }

    async fn job(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        job: JobId,
    ) -> Result<Option<Job>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(workspace).await?;
            find(&mut reader, workspace, principal, job).await
        };
        work.await.map_err(during("read a job"))
    }

    async fn claim(
        &self,
        workspace: WorkspaceId,
        request: ClaimRequest,
    ) -> Result<ClaimOutcome, StoreError> {
        hot::claim(self, workspace, request).await.map_err(during("claim a job"))
    }

    async fn heartbeat(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        lease_until: Time,
    ) -> Result<Heartbeat, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let answer = claims::extend(&mut tx, workspace, claim, lease_until).await?;
            tx.commit().await?;
            Ok(answer)
        };
        work.await.map_err(during("extend a lease"))
    }

    async fn put_off(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        why: PutOff<'_>,
        next: Advance,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            settle::put_off(&mut tx, workspace, claim, why, &next, now).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("put a job off"))
    }

    async fn put_off_unclaimed(
        &self,
        workspace: WorkspaceId,
        step: Unclaimed,
    ) -> Result<bool, StoreError> {
        hot::put_off_unclaimed(self, workspace, step)
            .await
            .map_err(during("put a step off that nobody has claimed"))
    }

    async fn bring_forward(
        &self,
        workspace: WorkspaceId,
        jobs: &[JobId],
        reason: &str,
        now: Time,
    ) -> Result<Vec<JobId>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            let found = relay::bring_forward(&mut tx, workspace, jobs, reason, now).await?;
            tx.commit().await?;
            Ok(found)
        };
        work.await.map_err(during("bring jobs forward"))
    }

    async fn hand_back(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        next: Advance,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::Kept).await?;
            let mut tx = writer.begin().await?;
            settle::hand_back(&mut tx, workspace, claim, &next, now).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("hand a job back"))
    }

    async fn fail(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        state: JobState,
        problem: Problem,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError> {
        if !matches!(state, JobState::Failed | JobState::Dead) {
            return Err(StoreError::Failed {
                action: "fail a job",
                source: format!("a job that fails is failed or dead, never {state}").into(),
            });
        }
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            if state == JobState::Dead {
                dead::bury(&mut tx, workspace, claim.job_id, problem, None, now).await?;
            } else {
                let ending = Ending::Unsuccessful { state, problem };
                ending::end_with_subject(&mut tx, workspace, claim.job_id, &ending, now).await?;
            }
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("fail a job"))
    }

    async fn cancel(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        calls: &[ModelCall],
        now: Time,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            claims::hold(&mut tx, workspace, claim).await?;
            money::account(&mut tx, workspace, claim, calls).await?;
            ending::end_with_subject(&mut tx, workspace, claim.job_id, &Ending::Cancelled, now)
                .await?;
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("cancel a job"))
    }

    async fn finish_without_subject(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        now: Time,
    ) -> Result<(), StoreError> {
        hot::finish_without_subject(self, workspace, claim, now)
            .await
            .map_err(during("finish a job"))
    }

    async fn request_cancel(
        &self,
        workspace: WorkspaceId,
        principal: Option<PrincipalId>,
        job: JobId,
        now: Time,
        audit: NewAuditEntry,
    ) -> Result<Option<CancelOutcome>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(workspace, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            dialect::lock_job(&mut tx, workspace, job).await?;
            let Some(found) = find(&mut tx, workspace, principal, job).await? else {
                return Ok(None);
            };
            if found.state.is_terminal() {
                return Ok(Some(CancelOutcome::Ended(found)));
            }
            let running = found.state == JobState::Running;
            if running {
                claims::ask_to_stop(&mut tx, workspace, job, now).await?;
            } else {
                ending::end_with_subject(&mut tx, workspace, job, &Ending::Cancelled, now).await?;
            }
            audit::record(&mut tx, workspace, &audit).await?;
            let after = find(&mut tx, workspace, principal, job).await?;
            tx.commit().await?;
            Ok(after.map(|job| match running {
                true => CancelOutcome::Requested(job),
                false => CancelOutcome::Cancelled(job),
            }))
        };
        work.await.map_err(during("cancel a job"))
    }
}
