//! Answers, each with the end of its job.

use std::sync::Arc;

use quaestor_core::clock::Time;
use quaestor_core::ids::{MessageId, WorkspaceId};
use quaestor_core::model::Usage;
use quaestor_core::ports::store::{Answer, Claim};

use super::super::connections::{Commit, Connections};
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::{dialect, rows};
use super::{column, held, workspaces};

/// An answer to be stored.
#[derive(Clone)]
pub(super) struct Save {
    workspace: WorkspaceId,
    claim: Claim,
    answer: MessageId,
    content: Arc<str>,
    citations: Arc<str>,
    figures: Arc<str>,
    model: Arc<str>,
    usage: Usage,
    now: Time,
}

impl Save {
    pub(super) fn new(
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        content: Answer,
        now: Time,
    ) -> Result<Self, Fault> {
        Ok(Self {
            workspace,
            claim: claim.clone(),
            answer,
            citations: rows::to_json(&content.citations)?.into(),
            figures: rows::to_json(&content.figures)?.into(),
            content: dialect::text(content.content).into(),
            model: dialect::text(content.model).into(),
            usage: content.usage,
            now,
        })
    }
}

const ANSWER: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::bigint[])
    WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, answer_id, content, citations,
        figures, model, input_tokens, output_tokens, cost_micros, now, place)
    ORDER BY job_id
), ended AS (
    UPDATE jobs j SET state = 'done', problem = NULL, reason = NULL, until = NULL,
        lease_until = NULL, worker_id = NULL, updated_at = i.now, finished_at = i.now
    FROM input i
    WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
        AND j.step = i.step AND j.state = 'running' AND j.subject_id = i.answer_id
    RETURNING i.place, j.principal_id
), removed AS (
    DELETE FROM outbox o USING input i JOIN ended USING (place)
    WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
), said AS (
    UPDATE messages m SET state = 'done', content = i.content, citations = i.citations,
        figures = i.figures, model = i.model, input_tokens = i.input_tokens,
        output_tokens = i.output_tokens, cost_micros = i.cost_micros
    FROM input i JOIN ended USING (place)
    WHERE m.id = i.answer_id AND m.workspace_id = i.workspace_id
), used AS (
    INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, model, input_tokens,
        output_tokens, cost_micros, created_at)
    SELECT i.workspace_id, ended.principal_id, i.job_id, i.attempt, i.model, i.input_tokens,
        i.output_tokens, i.cost_micros, i.now
    FROM input i JOIN ended USING (place)
)
SELECT place FROM ended";

impl Call for Save {
    type Answer = ();

    async fn write(
        connections: &Connections,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let named = workspaces(&calls, |call| call.workspace);
        let mut writer = connections.group(named, Commit::OnDisk);
        let mut tx = writer.begin().await?;
        let written = sqlx::query(ANSWER)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| call.answer.uuid()))
            .bind(column(&calls, |call| &*call.content))
            .bind(column(&calls, |call| &*call.citations))
            .bind(column(&calls, |call| &*call.figures))
            .bind(column(&calls, |call| &*call.model))
            .bind(column(&calls, |call| rows::signed(call.usage.input_tokens)))
            .bind(column(&calls, |call| rows::signed(call.usage.output_tokens)))
            .bind(column(&calls, |call| rows::signed(call.usage.cost_micros)))
            .bind(column(&calls, |call| rows::micros(call.now)))
            .fetch_all(&mut *tx)
            .await?;
        let answers = held(calls.len(), &written)?;
        tx.commit().await?;
        Ok(answers)
    }
}
